import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openBlobs, type BlobCache } from '../../../src/ship/blobs.ts';
import type { ShippableImage } from '../../../src/ship/image.ts';
import { shipImage, type ShipOptions, type Shipped } from '../../../src/ship/partial-load.ts';
import { startReceiver, type Receiver } from '../../../src/ship/receiver.ts';
import type { TestEngine } from './engines.ts';
import { layerTar } from './images.ts';

export const MEGABYTE = 2 ** 20;

/** An empty cache and a receiver on it, gone when disposed of. */
export interface Depot extends AsyncDisposable {
  readonly blobs: BlobCache;
  readonly receiver: Receiver;
  ship(image: ShippableImage, to: Pick<TestEngine, 'host' | 'store'>, options?: Partial<ShipOptions>): Promise<Shipped>;
}

export async function openDepot(): Promise<Depot> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cu-ship-'));
  const blobs = await openBlobs(folder);
  const receiver = await startReceiver(blobs);
  const tags = ['rasters:v1', 'rasters:dev'];
  return {
    blobs,
    receiver,
    ship: (image, { host, store }, options = {}) =>
      shipImage({
        image,
        host,
        imageStore: store,
        architecture: 'x86_64',
        freeBytes: undefined,
        tags,
        blobs,
        receiver,
        ...options,
      }),
    async [Symbol.asyncDispose]() {
      await receiver[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The classic store calls an image by its config, the other one by its manifest. */
export function idOn(engine: TestEngine, image: ShippableImage): string {
  return engine.store === 'classic' ? image.config.digest : image.manifest.digest;
}

export async function random(name: string, megabytes: number): Promise<Buffer> {
  return layerTar(name, randomBytes(megabytes * MEGABYTE));
}
