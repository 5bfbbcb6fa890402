import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const TEMPLATE = fileURLToPath(new URL('../../templates/app', import.meta.url));
const TOKEN = 'e2e-token-0123456789abcdef';

const CONFIG = `
storage: { root: "file:///mnt/shared" }
users: { app: { uid: 1000, gid: 1000 } }
secrets: { files: [.cu/secrets.env], required: [API_TOKEN] }
images:
  app: { repository: e2e-main-app, build: { context: ., args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null, PIP_TRUSTED_HOST: null } } }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6501:6379"] }
  worker:
    kind: worker
    image: app
    user: app
    drain: 20s
    concurrency: 1
    offers: { light: 1 }
    on:
      host1: {}
      host2: { instances: { small: {}, big: { memory: 512m } } }
      host3: {}
  webserver: { kind: webserver, image: app, user: app, secrets: [API_TOKEN], on: [host1], ports: ["*:8501"], health: { stable: 300ms } }
`;

interface Relief {
  readonly cells: number;
  readonly mean_brightness: number;
  readonly workers: Readonly<Record<string, number>>;
}

let scenario: Scenario;
let base = '';

beforeAll(async () => {
  scenario = await startScenario({
    project: 'e2e-main-app',
    config: CONFIG,
    template: TEMPLATE,
    files: { '.cu/secrets.env': `API_TOKEN=${TOKEN}\n` },
  });
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
  base = `http://${scenario.testbed.hosts[0]?.address}:8501`;
});

afterAll(async () => {
  await scenario.testbed.exec('host1', ['rm', '-rf', '/mnt/shared/e2e-main-app-dev']);
  await scenario[Symbol.asyncDispose]();
});

test('one request is shared by the workers of several hosts', async () => {
  const { value } = await relief({ size: 512, strips: 24 });

  const hosts = new Set(Object.keys(value.workers).map((worker) => worker.split('/')[0]));
  expect(hosts.size).toBeGreaterThan(1);
  expect(Object.values(value.workers).reduce((sum, count) => sum + count, 0)).toBe(24);
});

test('the same request again is answered from the cache, by the webserver alone', async () => {
  const first = await relief({ size: 96, strips: 3 });
  await scenario.cu('stop', 'worker');

  const again = await relief({ size: 96, strips: 3 });

  expect(again).toEqual({ value: first.value, cache: 'hit' });
  expect((await scenario.cu('start', 'worker')).exitCode).toBe(0);
});

test('with one argument changed only what depends on it is computed', async () => {
  await relief({ size: 128, strips: 4, seed: 3 });
  const before = await tasksDone();

  await relief({ size: 128, strips: 4, seed: 3, azimuth: 90 });

  const names = (await tasksDone()).slice(before.length).toSorted();
  expect(names).not.toContain('tasks.heights');
  expect(names.filter((name) => name === 'tasks.shade')).toHaveLength(4);
});

test('nobody gets in without a token, and the broker refuses whoever has no password', async () => {
  const answer = await fetch(`${base}/v1/call/tasks.relief`, { method: 'POST', body: '{}' });
  const ping = await scenario.docker('host1', 'exec', 'e2e-main-app-dev-broker-1', 'redis-cli', 'ping');

  expect(answer.status).toBe(401);
  expect(ping).toContain('NOAUTH');
});

test('what ran before a deploy of new code is there after it, and the broker was not touched', async () => {
  const first = await relief({ size: 64, strips: 2 });
  const broker = (await scenario.containers('host1')).find((each) => each.name.includes('broker'))?.id;
  await scenario.write('note.txt', 'another version\n');

  const deployed = await scenario.cu('deploy');

  expect(deployed.exitCode, deployed.all).toBe(0);
  expect((await scenario.containers('host1')).find((each) => each.name.includes('broker'))?.id).toBe(broker);
  // The code of its tasks is the same, so the result counts still.
  await eventually(async () =>
    expect(await relief({ size: 64, strips: 2 })).toEqual({ value: first.value, cache: 'hit' }),
  );
});

async function relief(body: object): Promise<{ value: Relief; cache: string | null }> {
  const answer = await fetch(`${base}/v1/call/tasks.relief`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', prefer: 'wait=60' },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  const value: Relief = JSON.parse(text);
  return { value, cache: answer.headers.get('x-cu-cache') };
}

/** The functions that workers finished, in no order across hosts. */
async function tasksDone(): Promise<readonly string[]> {
  const logs = await scenario.cu('logs', 'worker', '--tail', '1000');
  return [...logs.stdout.matchAll(/"event": "task done".*?"function": "([\w.]+)"/g)].map((match) => match[1] ?? '');
}
