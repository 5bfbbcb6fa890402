import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ShippableImage } from '../../../src/ship/image.ts';
import type { ShipOptions, Shipped } from '../../../src/ship/partial-load.ts';
import type { Host } from '../../../src/transport/host.ts';
import { idOn, MEGABYTE, openDepot, random, type Depot } from './depot.ts';
import { before, startEngine, type TestEngine } from './engines.ts';
import { imagesOn, layerTar, makeImage, removeAll } from './images.ts';

let target: TestEngine;
let depot: Depot;

beforeAll(async () => {
  target = await startEngine('target');
});

afterAll(() => target[Symbol.asyncDispose]());

beforeEach(async () => {
  await removeAll(target.host);
  depot = await openDepot();
  return () => depot[Symbol.asyncDispose]();
});

function ship(image: ShippableImage, options: Partial<ShipOptions> = {}): Promise<Shipped> {
  return depot.ship(image, target, options);
}

test('a host that has nothing gets everything, under the same id and its names', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 1), await random('b', 1)], 'one');

  const shipped = await ship(image);

  expect(shipped).toMatchObject({ imageId: idOn(target, image), missingLayers: 2 });
  expect(await imagesOn(target.host)).toEqual([
    `rasters:dev ${idOn(target, image)}`,
    `rasters:v1 ${idOn(target, image)}`,
  ]);
});

test('a host that has the image gets only names', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 1)], 'one');
  await ship(image, { tags: ['rasters:v1'] });

  const shipped = await ship(image, { tags: ['rasters:stable'] });

  expect(shipped.sentBytes).toBe(0);
  expect(await imagesOn(target.host)).toEqual([
    `rasters:stable ${idOn(target, image)}`,
    `rasters:v1 ${idOn(target, image)}`,
  ]);
});

test('a new layer of 3 MB on a base of 200 MB costs about 3 MB', async () => {
  const base = await random('base', 200);
  await ship(await makeImage(depot.blobs, [base, await random('app', 3)], 'one'));

  const sentBefore = target.host.docker().usage.sentBytes;
  const shipped = await ship(await makeImage(depot.blobs, [base, await random('app', 3)], 'two'), {
    tags: ['rasters:v2', 'rasters:dev'],
  });

  expect(shipped.missingLayers).toBe(1);
  expect(shipped.sentBytes).toBeGreaterThan(3 * MEGABYTE);
  expect(shipped.sentBytes).toBeLessThan(3.1 * MEGABYTE);
  // Not only what we say we sent, but what the connection counted.
  expect(target.host.docker().usage.sentBytes - sentBefore).toBeLessThan(3.1 * MEGABYTE);
});

test('an image with another config on the same layers sends no layer at all', async () => {
  const layers = [await random('a', 2), await random('b', 2)];
  await ship(await makeImage(depot.blobs, layers, 'one'));

  const shipped = await ship(await makeImage(depot.blobs, layers, 'two'), { tags: ['other:v1'] });

  expect(shipped.missingLayers).toBe(0);
  expect(shipped.sentBytes).toBeLessThan(20_000);
});

test('the same layer twice in one image, and empty layers, arrive as they were', async () => {
  const layer = await random('a', 1);
  const empty = await layerTar('', Buffer.alloc(0));
  const image = await makeImage(depot.blobs, [empty, layer, empty, layer, empty], 'twice');

  const shipped = await ship(image);

  expect(shipped.imageId).toBe(idOn(target, image));
  // The layer's bytes travel once.
  expect(shipped.sentBytes).toBeLessThan(1.1 * MEGABYTE);
});

test('an image without layers arrives', async () => {
  const image = await makeImage(depot.blobs, [], 'nothing');

  expect((await ship(image)).imageId).toBe(idOn(target, image));
});

test('a base removed between the look and the load is sent after all', async () => {
  const base = await random('base', 2);
  const first = await makeImage(depot.blobs, [base, await random('app', 1)], 'one');
  await ship(first);
  const host = before(target.host, onceFor(target.store === 'classic' ? '/images/load' : '/images/create'), () =>
    removeAll(target.host),
  );

  const second = await makeImage(depot.blobs, [base, await random('app', 1)], 'two');
  const shipped = await ship(second, { host, tags: ['rasters:v2'] });

  expect(shipped.imageId).toBe(idOn(target, second));
  // The containerd store collects its garbage later, so that the base may still be there.
  if (target.store === 'classic') expect(shipped.sentBytes).toBeGreaterThan(4 * MEGABYTE);
  expect(await imagesOn(target.host)).toEqual([`rasters:v2 ${idOn(target, second)}`]);
});

test('an image pruned before it gets its name is sent again', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 1)], 'one');
  const host = before(target.host, onceFor('/tag'), () => removeAll(target.host));

  const shipped = await ship(image, { host, tags: ['rasters:v1'] });

  if (target.store === 'classic') expect(shipped.sentBytes).toBeGreaterThan(2 * MEGABYTE);
  expect(await imagesOn(target.host)).toEqual([`rasters:v1 ${idOn(target, image)}`]);
});

function onceFor(part: string): (request: { readonly path: string }) => boolean {
  let isDone = false;
  return ({ path: asked }) => {
    if (isDone || !asked.includes(part)) return false;
    isDone = true;
    return true;
  };
}

test('a transfer that is cut leaves no image, and the next one succeeds', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 20)], 'one');
  const controller = new AbortController();

  const cut = ship(image, {
    signal: controller.signal,
    onProgress: ({ sentBytes, totalBytes }) => {
      if (sentBytes > totalBytes / 2) controller.abort();
    },
  });

  await expect(cut).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(await imagesOn(target.host)).toEqual([]);
  expect((await ship(image)).imageId).toBe(idOn(target, image));
});

test('a blob that was damaged in the cache is refused and leaves no image', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 1)], 'one');
  const layer = image.layers[0];
  await writeFile(
    path.join(depot.blobs.directory, layer?.digest.slice(7) ?? ''),
    Buffer.alloc(layer?.sizeBytes ?? 0, 1),
  );

  await expect(ship(image)).rejects.toMatchObject({ code: 'SHIP_FAILED', host: 'target' });
  expect(await imagesOn(target.host)).toEqual([]);
});

test('too little free space is refused before anything is sent', async ({ skip }) => {
  skip(target.store === 'containerd', 'a pull is left to the engine to refuse');
  const image = await makeImage(depot.blobs, [await random('a', 10)], 'one');

  await expect(ship(image, { freeBytes: 15 * MEGABYTE })).rejects.toMatchObject({
    code: 'DISK_FULL',
    message: expect.stringMatching(/needs 2\d MB .* 15 MB are free/),
  });
  await expect(ship(image, { freeBytes: 30 * MEGABYTE })).resolves.toMatchObject({ imageId: idOn(target, image) });
});

test('an image for another processor is refused', async () => {
  const image = await makeImage(depot.blobs, [], 'one');

  await expect(ship(image, { architecture: 'aarch64' })).rejects.toMatchObject({
    hint: 'set build.platform: linux/arm64',
  });
});

test('a containerd store pulls what it lacks through a tunnel', async () => {
  const base = await random('base', 4);
  const first = await makeImage(depot.blobs, [base, await random('app', 1)], 'one');
  const second = await makeImage(depot.blobs, [base, await random('app', 1)], 'two');
  await ship(first, { imageStore: 'containerd', tags: ['rasters:v1'] });

  const shipped = await ship(second, { imageStore: 'containerd', tags: ['rasters:v2'] });

  // This engine is a classic one that is only told to be treated so; what it pulled before it knows by digest.
  expect(shipped.imageId).toBe(idOn(target, second));
  expect(shipped.sentBytes).toBeLessThan(1.1 * MEGABYTE);
  expect(await imagesOn(target.host)).toEqual([
    `rasters:v1 ${idOn(target, first)}`,
    `rasters:v2 ${idOn(target, second)}`,
  ]);
});

test('a containerd store without a tunnel gets everything by load, and the temporary name goes', async () => {
  const image = await makeImage(depot.blobs, [await random('a', 1)], 'one');
  const host: Host = { ...target.host, listen: () => Promise.reject(new Error('administratively prohibited')) };

  await expect(ship(image, { host, imageStore: 'containerd', tags: ['rasters:v1'] })).resolves.toMatchObject({
    imageId: idOn(target, image),
  });
  expect(await imagesOn(target.host)).toEqual([`rasters:v1 ${idOn(target, image)}`]);
});
