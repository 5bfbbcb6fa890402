import { afterAll, beforeAll, expect, test } from 'vitest';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const CONFIG = `
storage: { root: "file:///var/tmp" }
images: { app: { repository: e2e-deploy, build: { context: . } } }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6401:6379"] }
  worker: { kind: worker, image: app, command: [sh, /app.sh], on: { host1: {}, host2: { instances: { small: {}, big: { memory: 64m } } }, host3: {} }, health: { stable: 300ms } }
  site: { kind: webserver, image: app, command: [sh, /app.sh], on: [host1], ports: ["*:8401"], health: { stable: 300ms } }
`;

let scenario: Scenario;

beforeAll(async () => {
  scenario = await startScenario({ project: 'e2e-deploy', config: CONFIG, files: SMALL_APP });
});

afterAll(() => scenario[Symbol.asyncDispose]());

test('a first deploy brings every instance up on its host', async () => {
  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(0);
  expect(
    (await scenario.containers('host1'))
      .map(({ name, state }) => `${name} ${state}`)
      .toSorted((a, b) => a.localeCompare(b)),
  ).toEqual(['e2e-deploy-dev-broker-1 running', 'e2e-deploy-dev-site-1 running', 'e2e-deploy-dev-worker-1 running']);
  const [host1] = scenario.testbed.hosts;
  const answer = await fetch(`http://${host1?.address}:8401/`);
  expect((await answer.text()).trim()).toBe('one');
});

test('the same deploy again restarts nothing', async () => {
  const before = await scenario.containers('host2');

  const result = await scenario.cu('deploy');

  expect(result).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
  expect(await scenario.containers('host2')).toEqual(before);
  expect((await scenario.cu('plan', '--check')).exitCode).toBe(0);
});

test('after a change in the code the plan names what is concerned, and the broker keeps its container', async () => {
  const broker = (await scenario.containers('host1')).find((each) => each.name.includes('broker'))?.id;
  await scenario.write('app.sh', (await scenario.read('app.sh')).replace('VERSION=one', 'VERSION=two'));

  const planned = await scenario.cu('plan', '--check');

  expect(planned.exitCode).toBe(6);
  const replaced = planned.stdout
    .split('\n')
    .filter((line) => line.startsWith('~'))
    .map((line) => /e2e-deploy-dev-\S+/.exec(line)?.[0] ?? line);
  expect(replaced.toSorted((a, b) => a.localeCompare(b))).toEqual([
    'e2e-deploy-dev-site-1',
    'e2e-deploy-dev-worker-1',
    'e2e-deploy-dev-worker-1',
    'e2e-deploy-dev-worker-big',
    'e2e-deploy-dev-worker-small',
  ]);

  expect((await scenario.cu('deploy')).exitCode).toBe(0);
  expect((await scenario.containers('host1')).find((each) => each.name.includes('broker'))?.id).toBe(broker);
  const [host1] = scenario.testbed.hosts;
  expect((await (await fetch(`http://${host1?.address}:8401/`)).text()).trim()).toBe('two');
});
