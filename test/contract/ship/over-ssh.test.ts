import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HostTarget } from '../../../src/core/state.ts';
import { createPool, type Pool } from '../../../src/transport/pool.ts';
import type { Host } from '../../../src/transport/host.ts';
import { exportImage } from '../../../src/ship/export.ts';
import { attachTestbed, type Testbed } from '../../support/hosts.ts';
import { MEGABYTE, openDepot, random, type Depot } from './depot.ts';
import { makeImage } from './images.ts';

let testbed: Testbed;
let pool: Pool;
let hosts: readonly Host[];
let depot: Depot;

beforeAll(async () => {
  testbed = await attachTestbed();
  const knownHosts = (await readFile(testbed.knownHostsFile, 'utf8')).split('\n').filter((line) => line !== '');
  const targets = testbed.hosts.map((host): HostTarget => ({
    name: host.name,
    connection: 'ssh',
    address: host.address,
    user: 'deploy',
    port: host.port,
    identity: testbed.identity,
    proxyJump: [],
    knownHosts,
    advertise: undefined,
    client: 'ssh2',
    dockerSocket: undefined,
  }));
  pool = createPool({
    env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
    home: '/nonexistent',
    username: 'root',
    tmp: tmpdir(),
    connectTimeoutMs: 20_000,
    interactive: false,
    ask: () => Promise.reject(new Error('nothing to ask')),
    confirm: () => Promise.resolve(false),
    emit: () => undefined,
    signal: new AbortController().signal,
    targets,
  });
  hosts = await Promise.all(targets.map((target) => pool.open(target)));
  depot = await openDepot();
});

afterAll(async () => {
  for (const host of hosts) {
    for (const tag of ['v1', 'v2', 'there', 'pulled'])
      await host.docker().json({ method: 'DELETE', path: `/images/cu-test-ship:${tag}`, allow: [404] });
  }
  await depot[Symbol.asyncDispose]();
  await pool[Symbol.asyncDispose]();
});

async function shipToAll(
  megabytesOnTop: number,
  base: Buffer,
  tag: string,
): Promise<{ readonly ids: readonly string[]; readonly sent: readonly number[] }> {
  const image = await makeImage(depot.blobs, [base, await random('app', megabytesOnTop)], tag);
  const shipped = await Promise.all(
    hosts.map((host) => depot.ship(image, { host, store: 'classic' }, { tags: [tag] })),
  );
  return { ids: shipped.map((one) => one.imageId), sent: shipped.map((one) => one.sentBytes) };
}

test('three hosts at once over SSH: the base travels once, then 3 MB cost 3 MB each', async () => {
  const base = await random('base', 50);
  const first = await shipToAll(1, base, 'cu-test-ship:v1');
  const before = hosts.map((host) => host.docker().usage.sentBytes);

  const second = await shipToAll(3, base, 'cu-test-ship:v2');

  const onTheWire = hosts.map((host, index) => host.docker().usage.sentBytes - (before[index] ?? 0));
  for (const bytes of [...second.sent, ...onTheWire]) expect(bytes).toBeLessThan(3.1 * MEGABYTE);
  expect(new Set(second.ids).size).toBe(1);
  expect(first.sent.every((bytes) => bytes > 51 * MEGABYTE)).toBe(true);
});

test('an image that was built on a host comes back through the tunnel of its connection', async () => {
  const image = await makeImage(depot.blobs, [await random('made-there', 1)], 'there');
  const [builder] = hosts;
  if (builder === undefined) throw new Error('no test hosts');
  await depot.ship(image, { host: builder, store: 'classic' }, { tags: ['cu-test-ship:there'] });
  await using other = await openDepot();

  const copy = await exportImage({
    host: builder,
    isLocal: false,
    imageId: image.imageId,
    blobs: other.blobs,
    receiver: other.receiver,
  });

  expect(copy.layers.map((layer) => layer.diffId)).toEqual(image.layers.map((layer) => layer.diffId));
  expect(other.receiver.receivedBytes).toBeGreaterThan(MEGABYTE);
});

test('a host with a containerd store would pull through the tunnel of its connection', async () => {
  const image = await makeImage(depot.blobs, [await random('pulled', 1)], 'pulled');
  const [host] = hosts;
  if (host === undefined) throw new Error('no test hosts');

  const shipped = await depot.ship(image, { host, store: 'containerd' }, { tags: ['cu-test-ship:pulled'] });

  expect(shipped).toMatchObject({ imageId: image.config.digest, missingLayers: 1 });
});
