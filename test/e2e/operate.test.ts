import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const CONFIG = `
storage: none
images: { app: { repository: e2e-main-operate, build: { context: . } } }
services:
  worker: { kind: container, image: app, on: { host1: {}, host2: { instances: { small: {}, big: { memory: 64m } } } } }
  site: { kind: webserver, image: app, command: [sh, /app.sh], on: [host1], ports: ["*:8510"], health: { stable: 300ms } }
`;

const ALL = ['host1/site-1', 'host1/worker-1', 'host2/worker-big', 'host2/worker-small'];

let scenario: Scenario;

beforeAll(async () => {
  scenario = await startScenario({ project: 'e2e-main-operate', config: CONFIG, files: SMALL_APP });
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
});

afterAll(() => scenario[Symbol.asyncDispose]());

describe('restart', () => {
  test.each([
    ['host1', ['host1/site-1', 'host1/worker-1']],
    ['worker', ['host1/worker-1', 'host2/worker-big', 'host2/worker-small']],
    ['host2/worker', ['host2/worker-big', 'host2/worker-small']],
    ['host2/worker/b*', ['host2/worker-big']],
  ])('of %s restarts just what it names', async (target, expected) => {
    const before = await startTimes();

    const result = await scenario.cu('restart', target);

    expect(result.exitCode, result.all).toBe(0);
    const after = await startTimes();
    expect(ALL.filter((name) => after.get(name) !== before.get(name))).toEqual(expected);
  });

  test('of an unknown name is refused with a suggestion before any connection', async () => {
    const config = await scenario.read('cu.config.yaml');
    // Nothing listens on port 1: whoever connects gets exit 3.
    await scenario.write(
      'cu.config.yaml',
      config.replaceAll(/address: [\d.]+, port: \d+/g, 'address: 127.0.0.1, port: 1'),
    );

    const unknown = await scenario.cu('restart', 'wroker');
    const known = await scenario.cu('restart', 'worker');
    await scenario.write('cu.config.yaml', config);

    expect(unknown).toMatchObject({ exitCode: 2, stdout: '' });
    expect(unknown.stderr).toContain('no host, service or instance is called "wroker"');
    expect(unknown.stderr).toContain('did you mean worker?');
    expect(known.exitCode, known.all).toBe(3);
  });
});

test('stop and start take an instance down and up again, and a second start does nothing', async () => {
  expect((await scenario.cu('stop', 'host2/worker/small')).exitCode).toBe(0);
  expect(await stateOf('host2', 'worker-small')).toBe('exited');

  expect((await scenario.cu('start', 'worker')).exitCode).toBe(0);

  expect(await stateOf('host2', 'worker-small')).toBe('running');
  expect((await scenario.cu('start', 'worker')).stdout).toBe('nothing to do');
});

describe('drift', () => {
  test.each([
    ['stopped', ['stop', '-t', '1'], 'stopped (exit code 0)'],
    ['removed', ['rm', '-f'], 'not found'],
    ['paused', ['pause'], 'paused by hand'],
    [
      'given other limits',
      ['update', '--memory', '128m', '--memory-swap', '-1'],
      'changed by hand: memory is 134 MB, wanted 67.1 MB',
    ],
  ])('a container that was %s is seen by status and mended by a deploy', async (_what, command, cause) => {
    await scenario.docker('host2', ...command, 'e2e-main-operate-dev-worker-big');

    expect((await scenario.cu('status')).stdout).toContain(`host2/worker/big: ${cause}`);
    const planned = await scenario.cu('plan', '--check');
    expect(planned.exitCode).toBe(6);
    expect(planned.stdout).toContain(cause);
    const mended = await scenario.cu('deploy');

    expect(mended.exitCode, mended.all).toBe(0);
    expect(await stateOf('host2', 'worker-big')).toBe('running');
    expect((await scenario.cu('plan', '--check')).exitCode).toBe(0);
  });
});

describe('exec', () => {
  test('runs a command in the named instance and passes its exit code on', async () => {
    const result = await scenario.cu(
      'exec',
      'host2/worker/big',
      '--',
      'sh',
      '-c',
      'echo out $CU_INSTANCE; echo err >&2; exit 7',
    );

    expect(result).toMatchObject({ exitCode: 7, stdout: 'out big' });
    expect(result.stderr).toContain('err');
  });
});

describe('logs', () => {
  test('come from all hosts, ordered by time, each line with its instance', async () => {
    const { stdout } = await scenario.cu('logs', '--timestamps', '--grep', 'started');

    const lines = stdout.split('\n').map((line) => /^(\S+) \| (\S+) started/.exec(line));
    expect(new Set(lines.map((line) => line?.[1]))).toEqual(
      new Set(['host1/site/1', 'host1/worker/1', 'host2/worker/big', 'host2/worker/small']),
    );
    const times = lines.map((line) => line?.[2] ?? '');
    expect(times).toEqual(times.toSorted((a, b) => (a < b ? -1 : 1)));
  });

  test('are cut by --tail and collected into a file each', async () => {
    expect((await scenario.cu('logs', 'site', '--tail', '1')).stdout.split('\n')).toHaveLength(1);

    const collected = await scenario.cu('logs', '--collect', 'logs');

    expect(collected.exitCode, collected.all).toBe(0);
    expect(await scenario.read('logs/host2_worker_small.log')).toContain('started worker/small on host2');
  });

  test('that are followed go on in the container that replaces the first, until Ctrl-C', async () => {
    const follow = scenario.start({}, 'logs', 'site', '--follow');
    let seen = '';
    follow.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await eventually(() => expect(seen).toContain('version one'));
    await scenario.write('app.sh', (await scenario.read('app.sh')).replace('VERSION=one', 'VERSION=two'));

    expect((await scenario.cu('deploy')).exitCode).toBe(0);
    await eventually(() => expect(seen).toContain('version two'));
    follow.kill('SIGINT');

    expect((await follow).exitCode).toBe(130);
  });
});

test('status --json is one object a line with every instance, and with the proxy before one', async () => {
  const { stdout } = await scenario.cu('status', '--json');

  const last: unknown = JSON.parse(stdout.split('\n').at(-1) ?? '');
  expect(last).toMatchObject({ v: 1, type: 'result', command: 'status', exitCode: 0 });
  expect(last).toHaveProperty('instances.length', 5);
  expect(last).toHaveProperty('instances.4', {
    host: 'host1',
    service: 'proxy',
    instance: 'cu-proxy',
    version: expect.stringContaining('haproxy'),
    state: 'running',
    health: 'none',
    uptimeMs: expect.any(Number),
    cpuPercent: expect.any(Number),
    memoryBytes: expect.any(Number),
    ports: [],
    drift: [],
  });
});

test('what cannot be reached is not asked for with a terminal', async () => {
  const result = await scenario.cu('shell', 'site');

  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain('cu shell needs a terminal');
});

async function startTimes(): Promise<ReadonlyMap<string, string>> {
  const times = new Map<string, string>();
  for (const host of ['host1', 'host2']) {
    for (const { id, name } of await scenario.containers(host)) {
      times.set(
        `${host}/${name.replace('e2e-main-operate-dev-', '')}`,
        await scenario.docker(host, 'inspect', '-f', '{{.State.StartedAt}}', id),
      );
    }
  }
  return times;
}

async function stateOf(host: string, name: string): Promise<string | undefined> {
  return (await scenario.containers(host)).find((each) => each.name.endsWith(name))?.state;
}
