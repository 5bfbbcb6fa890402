import { afterAll, beforeAll, expect, test } from 'vitest';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-main-vol';
const CONFIG = `
users: { app: { uid: 1234, gid: 2345 }, root: root }
images: { app: { repository: ${PROJECT}, build: { context: . } } }
services:
  broker: { kind: redis, on: [host1] }
  worker: { kind: worker, image: app, command: [sh, /app.sh], user: app, drain: 1s, on: [host1], health: { stable: 300ms } }
  closed: { kind: container, image: app, user: app, drain: 1s, readOnly: true, mounts: ["sealed:/sealed"], on: [host1] }
  owned: { kind: container, image: app, user: app, drain: 1s, mounts: ["owned:/owned", "rooted:/deep/rooted"], on: [host1] }
  plain: { kind: container, image: app, drain: 1s, mounts: ["plain:/plain"], on: [host1] }
`;
const FILES = {
  ...SMALL_APP,
  Dockerfile:
    'FROM busybox\nRUN mkdir -p /owned /deep/rooted && chown 4321:4321 /owned && chown 77 /deep\nCOPY app.sh /app.sh\nCMD ["sh", "/app.sh"]\n',
};

let scenario: Scenario;

beforeAll(async () => {
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files: FILES, hosts: ['host1'] });
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
});

afterAll(() => scenario[Symbol.asyncDispose]());

function run(service: string, script: string): Promise<string> {
  return scenario.docker('host1', 'exec', `${PROJECT}-dev-${service}-1`, 'sh', '-c', `{ ${script}; } 2>&1`);
}

const owner = (folder: string): string => `stat -c "%u:%g %a" ${folder}`;

test('a new volume can be written by the user of its service, here that of the storage', async () => {
  expect(await run('worker', 'echo kept > "${CU_STORAGE#file://}/x" && echo $CU_STORAGE')).toBe(
    'file:///var/lib/cu/storage',
  );
  expect(await run('worker', owner('/var/lib/cu/storage'))).toBe('1234:2345 755');
});

test('also where the root of the container is read-only', async () => {
  expect(await run('closed', `echo x > /sealed/x && ${owner('/sealed')}`)).toBe('1234:2345 755');
  expect(await run('closed', 'touch /y || true')).toContain('Read-only file system');
});

test('a folder of the image that has an owner keeps it, and no other folder changes hands', async () => {
  expect(await run('owned', `${owner('/owned')}; ${owner('/deep/rooted')}; ${owner('/deep')}`)).toBe(
    '4321:4321 755\n1234:2345 755\n77:0 755',
  );
});

test('without a user the volume is the engine’s, as it always was', async () => {
  expect(await run('plain', owner('/plain'))).toBe('0:0 755');
});

test('a volume that holds something stays whose it is', async () => {
  await scenario.docker('host1', 'exec', '-u', '0', `${PROJECT}-dev-worker-1`, 'chown', '0:0', '/var/lib/cu/storage');
  await scenario.write('cu.config.yaml', (await scenario.read('cu.config.yaml')).replaceAll('drain: 1s', 'drain: 2s'));

  const deployed = await scenario.cu('deploy');

  expect(deployed.exitCode, deployed.all).toBe(0);
  expect(await run('worker', `${owner('/var/lib/cu/storage')}; cat /var/lib/cu/storage/x`)).toBe('0:0 755\nkept');
});
