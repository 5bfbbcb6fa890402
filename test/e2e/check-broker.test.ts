import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-doctor';
const TEMPLATE = fileURLToPath(new URL('../../templates/app', import.meta.url));
/** An address of the hosts' network that nobody has. */
const NOWHERE = '10.213.1.250';
const CONFIG = `
users: { app: { uid: 1000, gid: 1000 } }
images:
  app:
    repository: ${PROJECT}
    build: { context: ., args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null, PIP_TRUSTED_HOST: null } }
storage: { root: "file:///mnt/shared" }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6571:6379"] }
  worker: { kind: worker, image: app, user: app, drain: 5s, env: { TURN: 1 }, on: [host2] }
`;

let scenario: Scenario;

beforeAll(async () => {
  scenario = await startScenario({ project: PROJECT, config: CONFIG, template: TEMPLATE, hosts: ['host1', 'host2'] });
});

afterAll(() => scenario[Symbol.asyncDispose]());

async function change(from: string, to: string): Promise<void> {
  await scenario.write('cu.config.yaml', (await scenario.read('cu.config.yaml')).replace(from, to));
}

test('a first deploy with a broker that the worker cannot reach says what is wrong, and leaves nothing', async () => {
  const { address } = scenario.testbed.hosts.find(({ name }) => name === 'host1') ?? { address: '' };
  await change(`advertise: ${address}`, `advertise: ${NOWHERE}`);

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(4);
  expect(result.stderr).toMatch(/BAD {2}broker at 10\.213\.1\.250:6571: /);
  for (const host of ['host1', 'host2']) expect(await scenario.containers(host)).toEqual([]);
  await change(`advertise: ${NOWHERE}`, `advertise: ${address}`);
});

test.each(['first', 'second'])('a %s deploy finds its broker well', async (which) => {
  if (which === 'second') await change('TURN: 1', 'TURN: 2');

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(0);
  expect(result.all).toMatch(/host2 worker\/task-doctor \| checked broker and storage/);
});

test('a broker that the new worker could not reach ends the deploy before the switch, and what is wrong is told', async () => {
  const before = await scenario.containers('host2');
  const { address } = scenario.testbed.hosts.find(({ name }) => name === 'host1') ?? { address: '' };
  await change(`advertise: ${address}`, `advertise: ${NOWHERE}`);

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(4);
  expect(await scenario.containers('host2')).toEqual(before);
  expect(result.stderr).toContain('python -m cu doctor exited with code 4');
  expect(result.stderr).toMatch(/BAD {2}broker at 10\.213\.1\.250:6571: /);
  expect(result.stderr).not.toMatch(/BAD {2}storage/);
  expect(result.stderr).toContain('nothing was switched');
  expect(await scenario.docker('host2', 'ps', '-aq', '--filter', 'label=cu.role=task')).toBe('');
});
