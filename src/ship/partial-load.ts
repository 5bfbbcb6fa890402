import { CuError } from '../core/error.ts';
import type { Docker } from '../transport/docker.ts';
import type { Host } from '../transport/host.ts';
import { packImage } from './archive.ts';
import type { BlobCache } from './blobs.ts';
import { inspectLayers, nameImage, unnameImage } from './engine-image.ts';
import { exchange } from './engine-stream.ts';
import type { ShippableImage } from './image.ts';
import { classicInventory, containerdInventory, type Inventory } from './inventory.ts';
import { pullThroughTunnel } from './pull.ts';
import type { Receiver } from './receiver.ts';

export interface ShipOptions {
  readonly image: ShippableImage;
  readonly host: Host;
  readonly imageStore: 'classic' | 'containerd';
  /** As the host's facts have it, such as `x86_64`. */
  readonly architecture: string;
  readonly freeBytes: number | undefined;
  /** Such as `rasters:r5.d20261124.h9f2c` and `rasters:dev`; given once all of it has arrived and was checked. */
  readonly tags: readonly string[];
  readonly blobs: BlobCache;
  readonly receiver: Receiver;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ShipProgress) => void;
}

export interface ShipProgress {
  readonly sentBytes: number;
  readonly totalBytes: number;
}

export interface Shipped {
  /** What the host calls the image, to run containers by. */
  readonly imageId: string;
  /** Bytes put on the wire for images, all attempts together. */
  readonly sentBytes: number;
  readonly missingLayers: number;
}

/** Gives a host the layers it lacks, checks what arrived, and only then names it. */
export async function shipImage(options: ShipOptions): Promise<Shipped> {
  refuseOtherArchitecture(options);
  const docker = options.host.docker();
  const sent = { bytes: 0 };
  const first = await takeInventory(options, docker);
  let imageId = first.imageId ?? (await deliver(options, docker, first, sent));
  if (!(await nameImage(docker, imageId, options.tags))) {
    // Pruned between its arrival and its naming: once more, from a fresh look at what is left.
    const again = await takeInventory(options, docker);
    imageId = again.imageId ?? (await deliver(options, docker, again, sent));
    if (!(await nameImage(docker, imageId, options.tags)))
      throw failure(
        options,
        `image ${imageId} disappears as soon as it arrives`,
        'something on the host prunes images; stop it while deploying',
      );
  }
  return { imageId, sentBytes: sent.bytes, missingLayers: first.missing.length };
}

function takeInventory({ image, imageStore, blobs }: ShipOptions, docker: Docker): Promise<Inventory> {
  return imageStore === 'classic' ? classicInventory(docker, image) : containerdInventory(docker, image, blobs);
}

interface Sent {
  bytes: number;
}

async function deliver(options: ShipOptions, docker: Docker, inventory: Inventory, sent: Sent): Promise<string> {
  const all = options.image.layers.map((_, index) => index);
  if (options.imageStore === 'containerd' && inventory.missing.length > 0) {
    const pulled = await pullThroughTunnel({
      ...options,
      signal: options.signal,
      onSent: countInto(options, sent, inventory.missing),
    }).catch((error: unknown) => {
      if (options.signal?.aborted === true) throw error;
      if (isFatal(error)) throw error;
      return undefined;
    });
    if (pulled !== undefined) return pulled;
  }
  await requireSpace(options, inventory.missing);
  if (inventory.missing.length === all.length) return load(options, docker, all, sent);
  try {
    return await load(options, docker, inventory.missing, sent);
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    if (isFatal(error)) throw error;
    // The host lost a layer since it was asked, or its store does not take archives with gaps.
    await requireSpace(options, all);
    return load(options, docker, all, sent);
  }
}

/** What another attempt over the same connection would not mend. */
function isFatal(error: unknown): boolean {
  return !(error instanceof CuError) || !['SHIP_FAILED', 'DOCKER_API'].includes(error.code);
}

async function load(options: ShipOptions, docker: Docker, include: readonly number[], sent: Sent): Promise<string> {
  const { image, host, blobs, imageStore } = options;
  // The containerd store hides what has no name; the classic one keeps it by its id.
  const name = imageStore === 'classic' ? undefined : `cu-load:${image.config.digest.slice(7, 19)}`;
  try {
    const messages = exchange(docker, {
      path: '/images/load',
      query: { quiet: true },
      body: packImage(image, blobs, { include, name }),
      what: `load of ${options.tags[0] ?? image.imageId}`,
      host: host.name,
      signal: options.signal,
      silenceMs: 1_800_000,
      onSent: countInto(options, sent, include),
    });
    for await (const message of messages) if (message.error !== undefined) throw loadError(options, message.error);
    return await verify(options, docker);
  } finally {
    if (name !== undefined && options.tags.length > 0) await nameThenUntag(options, docker, name);
  }
}

function countInto(
  { image, onProgress }: ShipOptions,
  sent: Sent,
  include: readonly number[],
): (bytes: number) => void {
  const totalBytes =
    include.reduce((sum, index) => sum + (image.layers[index]?.sizeBytes ?? 0), 0) + image.config.sizeBytes;
  const before = sent.bytes;
  return (bytes) => {
    sent.bytes += bytes;
    onProgress?.({ sentBytes: Math.min(totalBytes, sent.bytes - before), totalBytes });
  };
}

/** On the containerd store an image lives by its names: the real one first, then the temporary one goes. */
async function nameThenUntag(options: ShipOptions, docker: Docker, name: string): Promise<void> {
  const arrived = await inspectLayers(docker, name).catch(() => undefined);
  if (arrived !== undefined && isSame(arrived, options)) await nameImage(docker, name, options.tags);
  await unnameImage(docker, name);
}

async function verify(options: ShipOptions, docker: Docker): Promise<string> {
  const { image, imageStore } = options;
  for (const id of imageStore === 'classic' ? [image.config.digest] : [image.manifest.digest, image.config.digest]) {
    const layers = await inspectLayers(docker, id);
    if (layers !== undefined && isSame(layers, options)) return id;
  }
  throw failure(
    options,
    `image ${image.config.digest} did not arrive whole`,
    'run the same command again; if it stays so, `cu purge cache --yes` and again',
  );
}

function isSame(layers: readonly string[], { image }: ShipOptions): boolean {
  return (
    layers.length === image.layers.length && layers.every((diffId, index) => diffId === image.layers[index]?.diffId)
  );
}

/** The engine keeps the archive while it unpacks it, so both must fit. */
async function requireSpace(options: ShipOptions, include: readonly number[]): Promise<void> {
  const { freeBytes, image, blobs, host } = options;
  if (freeBytes === undefined) return;
  let packed = 0;
  let unpacked = 0;
  for (const index of include) {
    const layer = image.layers[index];
    if (layer === undefined) continue;
    packed += layer.sizeBytes;
    unpacked += await blobs.unpackedSizeOf(layer);
  }
  const needed = packed + Math.max(packed, unpacked);
  if (needed <= freeBytes) return;
  throw new CuError(
    'DISK_FULL',
    `${host.name}: ${options.tags[0] ?? image.imageId} needs ${megabytes(needed)} MB to arrive and unpack, ${megabytes(freeBytes)} MB are free`,
    {
      host: host.name,
      hint: '`cu purge images` shows what old versions could be removed there',
    },
  );
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}

function loadError(options: ShipOptions, message: string): CuError {
  if (/no space left on device/i.test(message)) {
    return new CuError(
      'DISK_FULL',
      `${options.host.name}: no space left to load ${options.tags[0] ?? options.image.imageId}`,
      {
        host: options.host.name,
        detail: message,
        hint: '`cu purge images` shows what old versions could be removed there',
      },
    );
  }
  return new CuError(
    'SHIP_FAILED',
    `${options.host.name}: the engine refused ${options.tags[0] ?? options.image.imageId}`,
    { host: options.host.name, detail: message },
  );
}

function failure(options: ShipOptions, what: string, hint: string): CuError {
  return new CuError('SHIP_FAILED', `${options.host.name}: ${what}`, { host: options.host.name, hint });
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  armv7l: 'arm',
  i686: '386',
  i386: '386',
};

function refuseOtherArchitecture({ image, architecture, host, tags }: ShipOptions): void {
  const needed = ARCHITECTURES[architecture] ?? architecture;
  if (image.architecture === '' || needed === '' || image.architecture === needed) return;
  throw new CuError(
    'SHIP_FAILED',
    `${host.name}: ${tags[0] ?? image.imageId} is built for ${image.architecture}, the host is ${needed}`,
    {
      host: host.name,
      hint: `set build.platform: linux/${needed}`,
    },
  );
}
