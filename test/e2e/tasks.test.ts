import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { followCu } from '../support/follow.ts';
import { eventually, SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-tasks';
const PORT = 18471;
const TOKEN = `token-${randomBytes(12).toString('hex')}`;
const HOSTS = ['host1', 'host2'];
const CONFIG = `
storage: none
secrets: { files: [.cu/secrets.env], required: [API_TOKEN] }
images: { app: { repository: ${PROJECT}, build: { context: . } } }
environments:
  dev: { default: true }
  closed: { hooks: { beforeDeploy: [sh, -c, "echo the window is closed; exit 3"] }, services: { web: { ports: ["*:18472"] } } }
services:
  web:
    kind: webserver
    image: app
    command: [sh, /app.sh]
    on: [host2, host1]
    ports: ["*:${PORT}"]
    drain: 1s
    secrets: [API_TOKEN]
    health: { type: http, path: /healthz }
tasks: { beforeSwitch: [[sh, /task.sh]] }
hooks:
  beforeDeploy: [sh, -c, "cat > before.json; env > before.env; echo looking"]
  afterDeploy: [[sh, -c, "cat > after.json"], [sh, -c, "exit 9"]]
  onFailure: [sh, -c, "cat > failure.json"]
`;
const TASK = 'echo "task of $(sed -n s/^VERSION=//p /app.sh) on $CU_HOST"\nwc -c < /run/secrets/API_TOKEN\n';

let scenario: Scenario;

beforeAll(async () => {
  scenario = await startScenario({
    project: PROJECT,
    config: CONFIG,
    hosts: HOSTS,
    files: {
      ...SMALL_APP,
      Dockerfile: 'FROM busybox\nCOPY app.sh task.sh /\nCMD ["sh", "/app.sh"]\n',
      '.dockerignore': '*\n!app.sh\n!task.sh\n!Dockerfile\n',
      'task.sh': TASK,
      '.cu/secrets.env': `API_TOKEN=${TOKEN}\n`,
    },
  });
});

afterAll(() => scenario[Symbol.asyncDispose]());

/** Containers on a host that are no instances, but for that of the state. */
async function oneOffs(host: string): Promise<string> {
  return scenario.docker(
    host,
    'ps',
    '-aq',
    '--filter',
    `label=cu.project=${PROJECT}`,
    '--filter',
    'label=cu.role=task',
  );
}

async function answers(): Promise<readonly string[]> {
  const asked = HOSTS.map((host) => scenario.testbed.exec(host, ['curl', '-s', `http://127.0.0.1:${PORT}/`]));
  return (await Promise.all(asked)).map(({ stdout }) => stdout.trim());
}

async function json(file: string): Promise<unknown> {
  return JSON.parse(await scenario.read(file));
}

function version(name: string): Promise<void> {
  return scenario.write('app.sh', (SMALL_APP['app.sh'] ?? '').replace('VERSION=one', `VERSION=${name}`));
}

test('a task runs once in the fleet, with the new image and the secrets, and its output is seen', async () => {
  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(0);
  expect(await answers()).toEqual(['one', 'one']);
  expect(result.all.match(/task of \w+ on \w+/g)).toEqual(['task of one on host1']);
  expect(result.all).toMatch(new RegExp(`web/task-1 \\| ${TOKEN.length}$`, 'm'));
  expect(await Promise.all(HOSTS.map(oneOffs))).toEqual(['', '']);
});

test('hooks get the facts as JSON and no secret', async () => {
  expect(await json('before.json')).toMatchObject({
    v: 1,
    moment: 'beforeDeploy',
    project: PROJECT,
    environment: 'dev',
    versions: { app: expect.stringMatching(/^d\d{8}\.x/) },
    commit: null,
    hosts: expect.arrayContaining(HOSTS),
    plan: expect.arrayContaining([`host1/${PROJECT}-dev-task-1/run`]),
    outcome: null,
    error: null,
  });
  expect(await json('after.json')).toMatchObject({ moment: 'afterDeploy', outcome: 'done', error: null });
  await expect(scenario.read('failure.json')).rejects.toThrow('ENOENT');

  await version('one-and-a-half');
  const result = await scenario.cuWith({ env: { API_TOKEN: 'other', COPY: TOKEN, KEPT: 'kept' } }, 'deploy');

  expect(result.exitCode, result.all).toBe(0);
  const env = await scenario.read('before.env');
  expect(env).toContain('KEPT=kept');
  expect(env).not.toContain(TOKEN);
  expect(env).not.toContain('API_TOKEN');
  expect(result.all).toContain('hook | looking');
  expect(result.all).toMatch(/warning: the afterDeploy hook .* exited with code 9/);
});

test('nothing is run when nothing changed', async () => {
  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(0);
  expect(result.all).toContain('nothing to do');
  expect(result.all).not.toMatch(/task of|hook \|/);
});

test('a hook that fails before the deploy ends it', async () => {
  const result = await scenario.cu('deploy', '--env', 'closed');

  expect(result.exitCode, result.all).toBe(4);
  expect(result.stderr).toMatch(/the beforeDeploy hook .* exited with code 3/);
  expect(result.all).toContain('hook | the window is closed');
  expect((await scenario.containers('host1')).map(({ name }) => name)).toEqual([`${PROJECT}-dev-web-1`]);
});

test('a task that fails leaves everything as it was, and no container', async () => {
  const before = await Promise.all(HOSTS.map((host) => scenario.containers(host)));
  await version('two');
  await scenario.write('task.sh', 'echo migrating; exit 7\n');

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(4);
  expect(await Promise.all(HOSTS.map((host) => scenario.containers(host)))).toEqual(before);
  expect(await answers()).toEqual(['one-and-a-half', 'one-and-a-half']);
  expect(await Promise.all(HOSTS.map(oneOffs))).toEqual(['', '']);
  expect(result.stderr).toContain('sh /task.sh exited with code 7');
  expect(result.stderr).toContain('migrating');
  expect(result.stderr).toContain('nothing was switched');
  expect(await json('failure.json')).toMatchObject({ outcome: 'failed', error: expect.stringContaining('code 7') });
});

test('an interrupt ends a task at once, and takes it away', async () => {
  await scenario.write('task.sh', "trap '' TERM INT\necho waiting\nsleep 600\n");
  const running = followCu(scenario, {}, 'deploy');
  await running.until(({ type, text }) => type === 'step-output' && text?.includes('waiting') === true);
  const startedAt = Date.now();

  running.kill('SIGINT');
  const { exitCode } = await running.ended;

  expect(exitCode).toBe(130);
  expect(Date.now() - startedAt).toBeLessThan(6000);
  expect(await Promise.all(HOSTS.map(oneOffs))).toEqual(['', '']);
  expect(await answers()).toEqual(['one-and-a-half', 'one-and-a-half']);
});

test('what a killed run left is taken away by the next one', async () => {
  const running = followCu(scenario, {}, 'deploy');
  await running.until(({ type, text }) => type === 'step-output' && text?.includes('waiting') === true);
  running.kill('SIGKILL');
  await running.ended;
  await eventually(async () => expect(await oneOffs('host1')).not.toBe(''));
  await scenario.write('task.sh', TASK);

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(0);
  expect(result.all).toContain('left by an interrupted run');
  expect(result.all).toContain('task of two on host1');
  expect(await oneOffs('host1')).toBe('');
  expect(await answers()).toEqual(['two', 'two']);
});
