import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { dropLeftNames, exportImage, type ExportOptions } from '../../../src/ship/export.ts';
import type { ShippableImage } from '../../../src/ship/image.ts';
import { startReceiver } from '../../../src/ship/receiver.ts';
import type { Host } from '../../../src/transport/host.ts';
import { idOn, MEGABYTE, openDepot, random, type Depot } from './depot.ts';
import { before, startEngine, type TestEngine } from './engines.ts';
import { imagesOn, layerTar, makeImage, removeAll } from './images.ts';

let source: TestEngine;
let target: TestEngine;
let depot: Depot;

beforeAll(async () => {
  [source, target] = await Promise.all([startEngine('source'), startEngine('target')]);
});

afterAll(async () => {
  await source[Symbol.asyncDispose]();
  await target[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await removeAll(source.host);
  await removeAll(target.host);
  depot = await openDepot();
  return () => depot[Symbol.asyncDispose]();
});

function exported(imageId: string, into: Depot, options: Partial<ExportOptions> = {}): Promise<ShippableImage> {
  return exportImage({
    host: source.host,
    isLocal: true,
    imageId,
    blobs: into.blobs,
    receiver: into.receiver,
    ...options,
  });
}

test('an export by push brings all of the image, leaves no name behind, and costs nothing the next time', async () => {
  const image = await makeImage(
    depot.blobs,
    [await random('a', 2), await layerTar('', Buffer.alloc(0)), await random('b', 1)],
    'one',
  );
  await depot.ship(image, source, { tags: ['rasters:v1'] });

  await using other = await openDepot();
  const lines: string[] = [];
  const copy = await exported(idOn(source, image), other, { onProgress: (text) => lines.push(text) });
  const again = await exported(idOn(source, image), other, { onProgress: (text) => lines.push(`again ${text}`) });

  expect(copy.layers.map((layer) => layer.diffId)).toEqual(image.layers.map((layer) => layer.diffId));
  expect(lines.filter((line) => line.endsWith('pushed'))).toHaveLength(3);
  expect(lines.filter((line) => line.startsWith('again'))).toEqual([]);
  expect(again).toEqual(copy);
  expect(await imagesOn(source.host)).toEqual([`rasters:v1 ${idOn(source, image)}`]);
  expect(await other.ship(copy, target, { tags: ['x:1'] })).toMatchObject({ imageId: idOn(target, copy) });
});

test('the second version pushes its new layer only', async () => {
  const base = await random('base', 5);
  const first = await makeImage(depot.blobs, [base, await random('app', 1)], 'one');
  const second = await makeImage(depot.blobs, [base, await random('app', 1)], 'two');
  await depot.ship(first, source, { tags: ['rasters:v1'] });
  await depot.ship(second, source, { tags: ['rasters:v2'] });

  await using other = await openDepot();
  await exported(idOn(source, first), other);
  await other.receiver[Symbol.asyncDispose]();
  // Another run of cu: a new receiver that takes the same port again.
  const next = await startReceiver(other.blobs);
  await exported(idOn(source, second), other, { receiver: next });
  await next[Symbol.asyncDispose]();

  expect(next.receivedBytes).toBeGreaterThan(MEGABYTE);
  expect(next.receivedBytes).toBeLessThan(1.1 * MEGABYTE);
});

test('names that killed exports left are taken away, and those of a run that lives are not', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 1)], 'one');
  await depot.ship(image, source, { tags: ['rasters:v1'] });
  const docker = source.host.docker();
  await using dead = await startReceiver(depot.blobs);
  await using alive = await startReceiver(depot.blobs);
  const ports = [depot.receiver.port, dead.port, alive.port];
  for (const port of ports)
    await docker.json({
      method: 'POST',
      path: `/images/${idOn(source, image)}/tag`,
      query: { repo: `127.0.0.1:${port}/cu`, tag: 'abc' },
    });
  await dead[Symbol.asyncDispose]();

  await dropLeftNames({ host: source.host, isLocal: true, receiver: depot.receiver });

  expect((await imagesOn(source.host)).map((line) => line.split(' ')[0])).toEqual([
    `127.0.0.1:${alive.port}/cu:abc`,
    'rasters:v1',
  ]);
});

test('an engine that cannot reach the receiver has its image exported whole', async () => {
  const layer = await random('a', 1);
  const empty = await layerTar('', Buffer.alloc(0));
  const image = await makeImage(depot.blobs, [layer, empty, layer], 'one');
  await depot.ship(image, source, { tags: ['rasters:v1'] });
  const host: Host = { ...source.host, listen: () => Promise.reject(new Error('administratively prohibited')) };

  await using other = await openDepot();
  const copy = await exported(idOn(source, image), other, { host, isLocal: false });

  expect(copy.imageId).toBe(idOn(source, image));
  expect(await other.ship(copy, target, { tags: ['x:1'] })).toMatchObject({ imageId: idOn(target, copy) });
  expect(await imagesOn(source.host)).toEqual([`rasters:v1 ${idOn(source, image)}`]);
});

test('a remote engine pushes through its tunnel', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 1)], 'one');
  await depot.ship(image, source, { tags: ['rasters:v1'] });

  await using other = await openDepot();
  const copy = await exported(idOn(source, image), other, { isLocal: false });

  expect(copy.layers).toHaveLength(1);
  expect(await imagesOn(source.host)).toEqual([`rasters:v1 ${idOn(source, image)}`]);
});

test('an export that fails leaves no name behind', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 1)], 'one');
  await depot.ship(image, source, { tags: ['rasters:v1'] });
  const controller = new AbortController();
  const host = before(
    source.host,
    ({ path: asked }) => asked.endsWith('/push'),
    async () => controller.abort(),
  );

  await using other = await openDepot();
  await expect(
    exportImage({
      host,
      isLocal: true,
      imageId: idOn(source, image),
      blobs: other.blobs,
      receiver: other.receiver,
      signal: controller.signal,
    }),
  ).rejects.toThrow();

  expect(await imagesOn(source.host)).toEqual([`rasters:v1 ${idOn(source, image)}`]);
});
