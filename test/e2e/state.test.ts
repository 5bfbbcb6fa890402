import { afterAll, beforeAll, expect, test } from 'vitest';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-fail-state';
const CONFIG = `
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . } } }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6641:6379"] }
  worker: { kind: worker, image: app, command: [sh, /app.sh], drain: 1s, on: [host1, host2], secrets: [API_TOKEN], health: { stable: 300ms } }
`;
const HOSTS = ['host1', 'host2'];

let scenario: Scenario;
const cu: Scenario['cu'] = (...argv) => scenario.cuWith({ env: { API_TOKEN: 'not very secret' } }, ...argv);

beforeAll(async () => {
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files: SMALL_APP, hosts: HOSTS });
  const first = await cu('deploy');
  expect(first.exitCode, first.all).toBe(0);
});

afterAll(() => scenario[Symbol.asyncDispose]());

async function containers(): Promise<unknown> {
  return Promise.all(HOSTS.map((host) => scenario.containers(host)));
}

/** What a worker got to reach the broker with. */
async function brokerUrl(): Promise<string> {
  return scenario.docker('host2', 'exec', `${PROJECT}-dev-worker-1`, 'sh', '-c', 'echo $CU_BROKER_URL');
}

/** As `docker container prune` does to a container that never runs, but to nobody else's. */
async function pruneState(host: string): Promise<void> {
  await scenario.docker(host, 'container', 'prune', '-f', '--filter', `label=cu.project=${PROJECT}`);
}

test('after docker container prune nothing is restarted and no password changes', async () => {
  const before = await containers();
  const url = await brokerUrl();
  for (const host of HOSTS) await pruneState(host);

  const check = await cu('plan', '--check');
  const result = await cu('deploy');

  expect(check.exitCode, check.all).toBe(6);
  expect(check.stdout).toContain('0 to create, 0 to replace, 0 to remove');
  expect(result.exitCode, result.all).toBe(0);
  expect(await containers()).toEqual(before);
  expect(await brokerUrl()).toBe(url);
  expect((await cu('plan', '--check')).exitCode).toBe(0);
});

test('a rotated secret is still seen after docker container prune', async () => {
  await pruneState('host2');

  const rotated = await scenario.cuWith({ env: { API_TOKEN: 'rotated' } }, 'deploy');

  expect(rotated.exitCode, rotated.all).toBe(0);
  expect(await scenario.docker('host2', 'exec', `${PROJECT}-dev-worker-1`, 'sh', '-c', 'echo $API_TOKEN')).toBe(
    'rotated',
  );
  expect(await scenario.docker('host1', 'exec', `${PROJECT}-dev-worker-1`, 'sh', '-c', 'echo $API_TOKEN')).toBe(
    'rotated',
  );
});

test('the password that cu made outlives cu remove, with the data it guards', async () => {
  const url = await brokerUrl();
  const removed = await cu('remove', '--yes');
  expect(removed.exitCode, removed.all).toBe(0);
  expect(await containers()).toEqual([[], []]);

  const result = await cu('deploy');

  expect(result.exitCode, result.all).toBe(0);
  expect(await brokerUrl()).toBe(url);
  expect(await cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
});
