import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { eventually, startScenario } from '../support/scenario.ts';
import type { RunningCu, Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-test-command';
const CONFIG = `
users: { app: { uid: 1234, gid: 2345 } }
secrets: { files: [.cu/secrets.env] }
images:
  app: { repository: ${PROJECT}, build: { context: . } }
  there: { repository: ${PROJECT}-there, build: { context: ., on: host1 } }
services:
  broker: { kind: redis, on: [host1] }
  worker: { kind: worker, image: app, user: app, env: { COLOUR: blue }, secrets: [DEPLOYED, API_TOKEN], on: [host1], health: { stable: 300ms } }
`;

/** Stands for pytest, so that nothing has to be installed: says what it finds and ends as it is told to. */
const PYTEST = `
import json, os, socket, sys, time

def redis(text):
    password = os.environ["CU_BROKER_URL"].split(":")[2].split("@")[0]
    with socket.create_connection(("broker", 6379)) as connection:
        connection.sendall(f"AUTH {password}\\r\\n{text}\\r\\n".encode())
        time.sleep(0.2)
        return connection.recv(1000).decode().split("\\r\\n")

root = os.environ["CU_STORAGE"].removeprefix("file://")
with open(f"{root}/written", "w") as file:
    file.write("x")
found = {"argv": sys.argv[1:], "user": [os.getuid(), os.getgid()], "env": dict(os.environ), "redis": redis("DBSIZE"),
         "secrets": os.listdir("/run/secrets"), "storage": os.listdir(root)}
print(json.dumps(found), flush=True)
print("to stderr", file=sys.stderr, flush=True)
time.sleep(float(os.environ.get("SECONDS", "0")))
sys.exit(3)
`;

const FILES = {
  Dockerfile: 'FROM python:3.13-slim\nWORKDIR /app\nCOPY pytest.py wait.py ./\n',
  '.dockerignore': '*\n!*.py\n!Dockerfile\n',
  'pytest.py': PYTEST,
  'wait.py': 'import sys, time\nprint("begun", flush=True)\ntime.sleep(float(sys.argv[1]))\n',
  '.cu/secrets.env': 'DEPLOYED=of-the-deploy\nAPI_TOKEN=also-of-the-deploy\n',
};

interface Found {
  readonly argv: readonly string[];
  readonly user: readonly number[];
  readonly env: Readonly<Record<string, string>>;
  readonly redis: readonly string[];
  readonly secrets: readonly string[];
  readonly storage: readonly string[];
}

let scenario: Scenario;
let config: string;

beforeAll(async () => {
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files: FILES, hosts: ['host1'] });
  config = await scenario.read('cu.config.yaml');
});

afterEach(() => scenario.write('cu.config.yaml', config));

afterAll(() => scenario[Symbol.asyncDispose]());

/** What this project has on this machine's engine, but for images. */
async function things(): Promise<readonly string[]> {
  const label = `label=cu.project=${PROJECT}`;
  const lists = [
    ['ps', '--all', '--format', 'container {{.Names}}'],
    ['network', 'ls', '--format', 'network {{.Name}}'],
    ['volume', 'ls', '--format', 'volume {{.Name}}'],
  ];
  const env = { DOCKER_HOST: `unix://${scenario.testbed.engineSocket}` };
  const outputs = await Promise.all(lists.map((argv) => execa('docker', [...argv, '--filter', label], { env })));
  return outputs.flatMap(({ stdout }) => stdout.split('\n')).filter((line) => line !== '');
}

/** A run whose tests have begun and go on for long. */
async function begin(seconds: number): Promise<{ readonly cu: RunningCu }> {
  const running = scenario.start({}, 'test', '--image', 'app', '--', 'python', 'wait.py', String(seconds));
  let said = '';
  running.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await eventually(() => expect(said).toContain('begun'));
  // In an object, because to return what can be awaited is to wait for its end.
  return { cu: running };
}

test('the tests run as the service does, with a broker and a storage of their own and no secret of the deploy', async () => {
  const result = await scenario.cu('test', '--image', 'app');

  expect(result.exitCode, result.all).toBe(3);
  const found: Found = JSON.parse(result.stdout);
  expect(found).toMatchObject({
    argv: ['-q', '-o', 'cache_dir=/tmp/.pytest_cache'],
    user: [1234, 2345],
    redis: ['+OK', ':0', ''],
    secrets: ['API_TOKEN'],
    storage: ['written'],
    env: {
      COLOUR: 'blue',
      CU_PROJECT: PROJECT,
      CU_ENV: 'test',
      CU_HOST: 'local',
      CU_SERVICE: 'test',
      CU_STORAGE: 'file:///var/lib/cu/storage',
    },
  });
  expect(found.env['API_TOKEN']).toMatch(/^[0-9a-f]{48}$/);
  expect(found.env).not.toHaveProperty('DEPLOYED');
  expect(result.stderr).toContain('to stderr');
  expect(await things()).toEqual([]);
});

test.each([1, 2, 130, 255])('exit code %i of the tests is that of cu', async (exitCode) => {
  const result = await scenario.cu('test', '--image', 'app', '--', 'python', '-c', `raise SystemExit(${exitCode})`);

  expect(result.exitCode, result.all).toBe(exitCode);
});

test('words that begin with a dash are for pytest', async () => {
  const { stdout } = await scenario.cu('test', '--image', 'app', '--', '-k', 'fast');

  const found: Found = JSON.parse(stdout);
  expect(found.argv.slice(-2)).toEqual(['-k', 'fast']);
});

test('with --json every line of the tests is one of JSON, and the last is the result', async () => {
  const { exitCode, stdout } = await scenario.cu(
    'test',
    '--image',
    'app',
    '--json',
    '--',
    'python',
    '-c',
    'print("a\\nb")',
  );

  expect(exitCode).toBe(0);
  const lines = stdout.split('\n').map((line): unknown => JSON.parse(line));
  expect(lines.slice(-3)).toMatchObject([
    { type: 'output', stream: 'stdout', text: 'a' },
    { type: 'output', stream: 'stdout', text: 'b' },
    { type: 'result', command: 'test', exitCode: 0, image: 'app', host: 'local' },
  ]);
});

test('an image that is built on a host is tested there, and nothing is left there', async () => {
  const result = await scenario.cu('test', '--image', 'there');

  expect(result.exitCode, result.all).toBe(3);
  const found: Found = JSON.parse(result.stdout);
  expect(found.env['CU_HOST']).toBe('host1');
  const left = await scenario.docker('host1', 'volume', 'ls', '-q', '--filter', `label=cu.project=${PROJECT}`);
  expect(left).toBe('');
  expect(await scenario.containers('host1')).toEqual([]);
});

describe('what a run made is removed', () => {
  test('after Ctrl-C', async () => {
    const { cu: running } = await begin(600);

    running.kill('SIGINT');

    const { exitCode, all } = await running;
    expect(exitCode, all).toBe(130);
    expect(all).toContain('the tests were stopped');
    expect(await things()).toEqual([]);
  });

  test('after a SIGKILL by the next run, which leaves a run that lives alone', async () => {
    const { cu: killed } = await begin(600);
    const { cu: living } = await begin(600);
    expect(await things()).toHaveLength(8);

    killed.kill('SIGKILL');
    await killed;
    await eventually(async () => {
      const next = await scenario.cu('test', '--image', 'app', '--', 'python', '-c', 'pass');
      expect(next.exitCode, next.all).toBe(0);
      expect(await things()).toHaveLength(4);
    });

    living.kill('SIGINT');
    expect((await living).exitCode).toBe(130);
    expect(await things()).toEqual([]);
  });
});

describe('a run that cannot be says why', () => {
  test.each([
    [['--image', 'ap'], 2, 'no image called ap is built here', 'did you mean app?'],
    [['--image', 'app', '--', 'nosuch'], 4, 'nosuch is not in the image', 'cu test -- CMD'],
    [['--image', 'app', '-k', 'fast'], 2, "unknown option '-k'", 'after --'],
  ])('%j', async (argv, exitCode, message, hint) => {
    const result = await scenario.cu('test', ...argv);

    expect(result).toMatchObject({ exitCode, stdout: '' });
    expect(result.stderr).toContain(message);
    expect(result.stderr).toContain(hint);
    expect(await things()).toEqual([]);
  });

  test('where pytest is not installed', async () => {
    const dockerfile = await scenario.read('Dockerfile');
    await scenario.write('Dockerfile', dockerfile.replace('pytest.py ', ''));

    const result = await scenario.cu('test', '--image', 'app');
    await scenario.write('Dockerfile', dockerfile);

    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain('pytest is not in image app');
  });

  test('where the image cannot be built', async () => {
    const dockerfile = await scenario.read('Dockerfile');
    await scenario.write('Dockerfile', `${dockerfile}RUN exit 9\n`);

    const result = await scenario.cu('test', '--image', 'app');
    await scenario.write('Dockerfile', dockerfile);

    expect(result).toMatchObject({ exitCode: 4, stdout: '' });
    expect(result.stderr).toMatch(/image app|exit 9/);
    expect(await things()).toEqual([]);
  });

  test('where the broker of the project is no redis', async () => {
    await scenario.write('cu.config.yaml', config.replace('images:', 'images:\n  redis: { ref: "busybox:latest" }'));

    const result = await scenario.cu('test', '--image', 'app');

    expect(result).toMatchObject({ exitCode: 4, stdout: '' });
    expect(result.stderr).toContain('no throwaway broker came up from the image busybox:latest');
    expect(await things()).toEqual([]);
  });

  test('where no image is built', async () => {
    await scenario.write(
      'cu.config.yaml',
      config.replaceAll(/, build: \{[^}]*\}/g, '').replaceAll('repository:', 'ref:'),
    );

    const result = await scenario.cu('test');

    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toContain('no image is built here');
  });
});
