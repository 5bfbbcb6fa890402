import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

/** Shared storage as hosts see it: the webserver on one, workers on two others, one folder between them. */
const PROJECT = 'e2e-storage';
const TEMPLATE = fileURLToPath(new URL('../../templates/app', import.meta.url));
const ROOT = '/mnt/shared/e2e-storage';
const MARKER = `${ROOT}/${PROJECT}-dev/cu-storage.json`;
const CONFIG = `
secrets: { files: [.cu/secrets.env] }
users: { app: { uid: 1000, gid: 1000 } }
images:
  app:
    repository: ${PROJECT}
    build: { context: ., args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null, PIP_TRUSTED_HOST: null } }
storage: { root: "file://${ROOT}" }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6571:6379"] }
  worker: { kind: worker, image: app, user: app, concurrency: 1, drain: 5s, on: [host2, host3], health: { stable: 300ms } }
  site: { kind: webserver, image: app, user: app, secrets: [API_TOKEN], ports: ["*:8571:8123"], on: [host1], health: { stable: 300ms } }
`;
const TASKS = `"""What works on large files."""
from pathlib import Path

import cu
from cu import File, ctx


@cu.call(public=True)
def turned(file: File, salt: int = 0) -> File:
    """The file with every byte turned around, piece by piece."""
    table = bytes(255 - number for number in range(256))
    path = Path("/tmp") / f"turned-{file.sha256[:8]}"
    with file.open() as source, path.open("wb") as target:
        while piece := source.read(1 << 20):
            target.write(piece.translate(table))
    return File.of(path)


@cu.call(public=True)
def small(text: str) -> str:
    return text.upper()
`;
const token = randomBytes(16).toString('hex');
let scenario: Scenario;
let site = '';

beforeAll(async () => {
  scenario = await startScenario({
    project: PROJECT,
    config: CONFIG,
    template: TEMPLATE,
    files: { 'tasks.py': TASKS, '.cu/secrets.env': `API_TOKEN=${token}\n` },
  });
  await scenario.testbed.exec('host1', ['install', '-d', '-m', '0777', ROOT]);
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
  site = `http://${scenario.testbed.hosts[0]?.address}:8571`;
});

afterAll(async () => {
  await scenario.testbed.exec('host1', ['rm', '-rf', ROOT]);
  await scenario[Symbol.asyncDispose]();
});

const authorization = { authorization: `Bearer ${token}` };

async function call(name: string, body: object): Promise<Response> {
  return fetch(`${site}/v1/call/tasks.${name}`, {
    method: 'POST',
    headers: { ...authorization, 'content-type': 'application/json', prefer: 'wait=60' },
    body: JSON.stringify(body),
  });
}

async function memoryOfSite(): Promise<number> {
  const text = await scenario.docker('host1', 'exec', `${PROJECT}-dev-site-1`, 'cat', '/proc/1/status');
  return Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1]) / 1000;
}

test('200 MB go up, through a task on another host, and down, with the memory of the webserver flat', async () => {
  const piece = randomBytes(1_000_000);
  const pieces = 200;
  await call('small', { text: 'warm' });
  const before = await memoryOfSite();
  let highest = before;
  const watching = new AbortController();
  const watch = (async () => {
    while (!watching.signal.aborted) {
      highest = Math.max(highest, await memoryOfSite());
      await sleep(200);
    }
  })();
  const sent = createHash('sha256');
  const expected = createHash('sha256');
  const turned = piece.map((byte) => 255 - byte);
  async function* body(): AsyncGenerator<Uint8Array> {
    for (let index = 0; index < pieces; index += 1) {
      sent.update(piece);
      expected.update(turned);
      yield piece;
    }
  }

  const upload = await fetch(`${site}/v1/files`, {
    method: 'POST',
    headers: { ...authorization, 'content-length': String(piece.length * pieces) },
    body: ReadableStream.from(body()),
    // Node streams a body only when told that no answer is awaited before its end.
    duplex: 'half',
  });
  const file: unknown = await upload.json();
  expect(upload.status).toBe(201);
  expect(file).toMatchObject({ $file: sent.digest('hex'), size: piece.length * pieces });
  const answer = await call('turned', { file });
  const received = createHash('sha256');
  for await (const chunk of answer.body ?? []) received.update(chunk);
  watching.abort();
  await watch;

  expect(answer.status).toBe(200);
  expect(received.digest('hex')).toBe(expected.digest('hex'));
  expect(highest - before, `MB, from ${before}`).toBeLessThan(40);
});

test('without the marker nothing is written, what is wrong is said, and all goes on once it is back', async () => {
  await scenario.testbed.exec('host1', ['mv', MARKER, `${MARKER}.away`]);
  try {
    const answer = await eventually(async () => {
      const tried = await call('small', { text: `without ${randomBytes(4).toString('hex')}` });
      expect(tried.status).not.toBe(200);
      return tried;
    });
    const text = await answer.text();
    expect(text).toMatch(/marker|storage/);
    expect(text).not.toMatch(/Traceback/);
    const made = await scenario.testbed.exec('host1', ['test', '-e', MARKER]);
    expect(made.exitCode, 'nobody makes a new marker').toBe(1);
  } finally {
    await scenario.testbed.exec('host1', ['mv', `${MARKER}.away`, MARKER]);
  }

  await eventually(async () => {
    const again = await call('small', { text: `back ${randomBytes(4).toString('hex')}` });
    expect(again.status, await again.text()).toBe(200);
  }, 60_000);
});

test('the marker of another project is refused by name', async () => {
  const marker = (await scenario.testbed.exec('host1', ['cat', MARKER])).stdout;
  const foreign = marker.replace(/"id":\s*"[0-9a-f]+/, (text) => text.replace(/[0-9a-f]{8}$/, 'deadbeef'));
  expect(foreign).not.toBe(marker);
  const write = async (text: string): Promise<void> => {
    await scenario.testbed.exec('host1', ['sh', '-c', 'printf %s "$1" > "$2"', 'sh', text, MARKER]);
  };
  await write(foreign);
  try {
    const answer = await eventually(async () => {
      const tried = await call('small', { text: `foreign ${randomBytes(4).toString('hex')}` });
      expect(tried.status).not.toBe(200);
      return tried;
    });
    expect(await answer.text()).toMatch(/another|other/);
  } finally {
    await write(marker);
  }

  await eventually(async () => {
    expect((await call('small', { text: `own ${randomBytes(4).toString('hex')}` })).status).toBe(200);
  }, 60_000);
});
