import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const TEMPLATE = fileURLToPath(new URL('../../templates/app', import.meta.url));

const CONFIG = `
storage: none
users: { app: { uid: 1000, gid: 1000 } }
images: { app: { repository: e2e-main-app, build: { context: ., args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null } } } }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6501:6379"] }
  worker:
    kind: worker
    image: app
    user: app
    drain: 20s
    on:
      host1: { queues: [celery, host1] }
      host2: { instances: { small: { queues: [celery, small] }, big: { queues: [big], memory: 256m } } }
      host3: { queues: [celery, host3] }
  webserver: { kind: webserver, image: app, user: app, on: [host1], ports: ["*:8501"] }
`;

interface Answer {
  readonly workers: readonly { readonly host: string; readonly instance: string }[];
  readonly web: { readonly host: string };
}

let scenario: Scenario;
let base = '';

beforeAll(async () => {
  scenario = await startScenario({ project: 'e2e-main-app', config: CONFIG, template: TEMPLATE });
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
  base = `http://${scenario.testbed.hosts[0]?.address}:8501`;
});

afterAll(() => scenario[Symbol.asyncDispose]());

test.each([
  ['host1', 'host1', '1'],
  ['small', 'host2', 'small'],
  ['big', 'host2', 'big'],
  ['host3', 'host3', '1'],
])('a request to the web on host1 for queue %s is computed by %s/%s', async (queue, host, instance) => {
  const answer = await ask(`/shade?queue=${queue}&strips=2`);

  expect(answer.workers.map((worker) => `${worker.host}/${worker.instance}`)).toEqual([`${host}/${instance}`]);
  expect(answer.web.host).toBe('host1');
});

test('one request is shared by the workers of several hosts', async () => {
  await eventually(async () => {
    const { workers } = await ask('/shade?size=512&strips=32');
    expect(new Set(workers.map((worker) => worker.host)).size).toBeGreaterThan(1);
  });
});

test('the broker refuses whoever has no password', async () => {
  const answer = await scenario.docker('host1', 'exec', 'e2e-main-app-dev-broker-1', 'redis-cli', 'ping');

  expect(answer).toContain('NOAUTH');
});

test('a new version of the code answers after a deploy, from every worker', async () => {
  const broker = (await scenario.containers('host1')).find((each) => each.name.includes('broker'))?.id;
  await scenario.write('note.txt', 'another version\n');

  const deployed = await scenario.cu('deploy');

  expect(deployed.exitCode, deployed.all).toBe(0);
  expect((await scenario.containers('host1')).find((each) => each.name.includes('broker'))?.id).toBe(broker);
  const answers = await Promise.all(
    ['host1', 'small', 'big', 'host3'].map((queue) => ask(`/shade?queue=${queue}&strips=1`)),
  );
  expect(answers.map(({ workers }) => workers.length)).toEqual([1, 1, 1, 1]);
});

async function ask(path: string): Promise<Answer> {
  const answer = await fetch(`${base}${path}`);
  expect(answer.status).toBe(200);
  const body: Answer = JSON.parse(await answer.text());
  return body;
}
