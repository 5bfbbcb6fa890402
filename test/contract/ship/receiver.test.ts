import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { openBlobs, type BlobCache } from '../../../src/ship/blobs.ts';
import { startReceiver, type Receiver } from '../../../src/ship/receiver.ts';

let folder: string;
let blobs: BlobCache;
let receiver: Receiver;
let url: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'cu-receiver-'));
  blobs = await openBlobs(folder, 1000);
  receiver = await startReceiver(blobs);
  url = `http://127.0.0.1:${receiver.port}`;
  return async () => {
    await receiver[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  };
});

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

async function* one(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

async function startUpload(): Promise<string> {
  const started = await fetch(`${url}/v2/cu/blobs/uploads/`, { method: 'POST' });
  expect(started.status).toBe(202);
  return `${url}${started.headers.get('location') ?? ''}`;
}

test('a blob comes in by PATCH and PUT and goes out by GET', async () => {
  const location = await startUpload();
  const digest = digestOf('hello world');

  expect((await fetch(location, { method: 'PATCH', body: 'hello ' })).status).toBe(202);
  const done = await fetch(`${location}?digest=${digest}`, { method: 'PUT', body: 'world' });

  expect(done.status).toBe(201);
  expect(await (await fetch(`${url}/v2/cu/blobs/${digest}`)).text()).toBe('hello world');
  expect((await fetch(`${url}/v2/cu/blobs/${digest}`, { method: 'HEAD' })).headers.get('content-length')).toBe('11');
});

test('a blob that is not what its digest says is refused', async () => {
  const location = await startUpload();

  const done = await fetch(`${location}?digest=${digestOf('other')}`, { method: 'PUT', body: 'hello' });

  expect(done.status).toBe(400);
  expect((await fetch(`${url}/v2/cu/blobs/${digestOf('other')}`, { method: 'HEAD' })).status).toBe(404);
});

test('an upload that is cut leaves nothing behind', async () => {
  const location = await startUpload();

  await new Promise<void>((resolve) => {
    const cut = request(location, { method: 'PATCH', headers: { 'content-length': '1000' } });
    cut.on('error', () => resolve());
    cut.write('some', () => cut.destroy());
    cut.on('close', () => resolve());
  });
  await receiver[Symbol.asyncDispose]();

  await expect.poll(() => readdir(path.join(folder, 'blobs', 'incoming'))).toEqual([]);
  expect(await readdir(blobs.directory)).toEqual([]);
});

test('what the cache has is mounted without a transfer', async () => {
  const { digest } = await blobs.write(one('known'));

  expect((await fetch(`${url}/v2/cu/blobs/uploads/?mount=${digest}&from=cu`, { method: 'POST' })).status).toBe(201);
  expect(
    (await fetch(`${url}/v2/cu/blobs/uploads/?mount=${digestOf('unknown')}&from=cu`, { method: 'POST' })).status,
  ).toBe(202);
});

test('manifests are given by digest only, and only to those who know it', async () => {
  const pushed = await fetch(`${url}/v2/cu/manifests/v1`, {
    method: 'PUT',
    body: '{"a":1}',
    headers: { 'content-type': 'application/x' },
  });

  expect(pushed.status).toBe(201);
  expect((await fetch(`${url}/v2/cu/manifests/v1`)).status).toBe(404);
  const given = await fetch(`${url}/v2/cu/manifests/${digestOf('{"a":1}')}`);
  expect([given.status, given.headers.get('content-type'), await given.text()]).toEqual([
    200,
    'application/x',
    '{"a":1}',
  ]);
});

test.each([
  '/v2/other/manifests/v1',
  '/v2/cu/evil/blobs/x',
  '/v2/_catalog',
  '/',
  '/v2/cu/tags/list',
  '/v2/../etc/passwd',
])('%s is not there', async (wanted) => {
  expect((await fetch(`${url}${wanted}`)).status).toBe(404);
});

test('a digest that is none reads no file', async () => {
  expect((await fetch(`${url}/v2/cu/blobs/..%2F..%2Fetc%2Fpasswd`)).status).toBeGreaterThanOrEqual(400);
});

test('the next receiver takes the same port, and another one while it is taken', async () => {
  const other = await startReceiver(blobs);
  expect(other.port).not.toBe(receiver.port);
  await other[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();

  const next = await startReceiver(blobs);
  const recalled = next.port;
  await next[Symbol.asyncDispose]();

  expect(recalled).toBe(other.port);
});

test('a cache above its size loses what was used longest ago, never what is in use', async () => {
  const now = Date.now();
  const hours = (count: number): Date => new Date(now - count * 3_600_000);
  const [old, older, fresh] = await Promise.all(['o', 'p', 'q'].map((letter) => blobs.write(one(letter.repeat(600)))));
  await utimes(path.join(blobs.directory, old?.digest.slice(7) ?? ''), hours(5), hours(5));
  await utimes(path.join(blobs.directory, older?.digest.slice(7) ?? ''), hours(9), hours(9));

  const freed = await blobs.prune(now);

  expect(freed).toBe(1200);
  expect(await blobs.sizeOf(fresh?.digest ?? '')).toBe(600);
  expect(await blobs.sizeOf(older?.digest ?? '')).toBeUndefined();
});

test('bytes that are not what was expected are not stored', async () => {
  await expect(blobs.write(one('x'), digestOf('y'))).rejects.toMatchObject({ code: 'SHIP_FAILED' });
  expect(await readdir(blobs.directory)).toEqual([]);
});

test('for one layer the first blob stays, as long as it is there', async () => {
  const diffId = digestOf('layer');
  const first = { ...(await blobs.write(one('first'))), diffId, mediaType: 'm' };
  const second = { ...(await blobs.write(one('second'))), diffId, mediaType: 'm' };

  expect(await blobs.rememberLayer(first)).toEqual(first);
  expect(await blobs.rememberLayer(second)).toEqual(first);
  await rm(path.join(blobs.directory, first.digest.slice(7)));
  expect(await blobs.rememberLayer(second)).toEqual(second);
});
