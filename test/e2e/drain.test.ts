import { afterAll, beforeAll, expect, test } from 'vitest';
import { followCu } from '../support/follow.ts';
import { eventually, SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

/** Old workers that take their time: said, waited for, or left to it. */
const PROJECT = 'e2e-drain';
const CONFIG = `
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . } } }
services:
  jobs: { kind: worker, image: app, command: [sh, /app.sh], drain: 60s, on: [host1], health: { stable: 300ms } }
  broker: { kind: redis, on: [host1] }
`;
const APP = (SMALL_APP['app.sh'] ?? '').replace(
  "trap 'exit 0' TERM INT",
  "trap 'until [ -e /tmp/go ]; do sleep 0.2; done; exit 0' TERM INT",
);
const OLD = `${PROJECT}-dev-jobs-1-old`;

let scenario: Scenario;
let count = 0;

beforeAll(async () => {
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files: { ...SMALL_APP, 'app.sh': APP } });
  const first = await scenario.cu('deploy');
  expect(first.exitCode, first.all).toBe(0);
});

afterAll(() => scenario[Symbol.asyncDispose]());

async function change(): Promise<void> {
  count += 1;
  await scenario.write('app.sh', APP.replace('VERSION=one', `VERSION=v${count}`));
}

/** What it still had to do is done. */
async function finish(container: string): Promise<void> {
  await scenario.docker('host1', 'exec', container, 'touch', '/tmp/go');
}

async function names(): Promise<readonly string[]> {
  return (await scenario.containers('host1')).map(({ name, state }) => `${name} ${state}`).toSorted();
}

test('the new one is up while the old one finishes, how much is left is said, and then it is gone', async () => {
  await change();
  const running = followCu(scenario, {}, 'deploy');
  await running.until((line) => line.type === 'step-progress' && line.text === 'draining the old one');
  expect(await names()).toContain(`${PROJECT}-dev-jobs-1 running`);
  expect(await names()).toContain(`${OLD} running`);

  // What a worker of the runtime writes down while it stops.
  await scenario.docker('host1', 'exec', OLD, 'sh', '-c', 'echo "3 250" > /tmp/cu-busy');
  await running.until((line) => line.type === 'step-progress' && line.text === '3 tasks left, oldest 4m');
  await finish(OLD);

  const { exitCode, all } = await running.ended;
  expect(exitCode, all).toBe(0);
  expect(await names()).toEqual([`${PROJECT}-dev-broker-1 running`, `${PROJECT}-dev-jobs-1 running`]);
});

test('with --detach nobody waits: it ends by itself, and the next command takes it away', async () => {
  await change();

  const deployed = await scenario.cu('deploy', '--detach');

  expect(deployed.exitCode, deployed.all).toBe(0);
  const draining = (await scenario.containers('host1')).find(({ name }) => name.includes('-draining-'));
  expect(draining).toMatchObject({ state: 'running' });
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
  await finish(draining?.name ?? '');
  await eventually(async () => expect((await names()).join()).toMatch(/-draining-\w+ exited/));

  const next = await scenario.cu('deploy');

  expect(next.all).toContain('has finished its work');
  expect(await names()).toEqual([`${PROJECT}-dev-broker-1 running`, `${PROJECT}-dev-jobs-1 running`]);
});

test('an interrupt while the old one finishes lets it: it takes no more work, and goes with the next deploy', async () => {
  await change();
  const running = followCu(scenario, {}, 'deploy');
  await running.until((line) => line.type === 'step-progress' && line.text === 'draining the old one');

  running.kill('SIGINT');
  expect((await running.ended).exitCode).toBe(130);

  const draining = (await scenario.containers('host1')).find(({ name }) => name.includes('-draining-'));
  expect(draining).toMatchObject({ state: 'running' });
  await finish(draining?.name ?? '');
  await eventually(async () => expect((await names()).join()).toMatch(/-draining-\w+ exited/));
  expect((await scenario.cu('deploy')).exitCode).toBe(0);
  expect(await names()).toEqual([`${PROJECT}-dev-broker-1 running`, `${PROJECT}-dev-jobs-1 running`]);
});
