import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CuError } from '../core/error.ts';

export interface Blob {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** A layer as it travels: the compressed blob that stands for a `diffId`, always the same one. */
export interface Layer extends Blob {
  readonly diffId: string;
  readonly mediaType: string;
}

/** Blobs by digest under `blobs/sha256`, shared by every project and run of this user. */
export interface BlobCache {
  readonly directory: string;
  sizeOf(digest: string): Promise<number | undefined>;
  read(digest: string): Promise<Buffer>;
  stream(digest: string): Readable;
  /** Refuses bytes that are not what `expected` says. */
  write(source: AsyncIterable<Uint8Array>, expected?: string): Promise<Blob>;
  layerOf(diffId: string): Promise<Layer | undefined>;
  /** The first blob that was ever stored for a `diffId` stays, so that hosts see one digest for it. */
  rememberLayer(layer: Layer): Promise<Layer>;
  /** Small JSON facts, such as what an image is made of. */
  recall(kind: string, key: string): Promise<unknown>;
  remember(kind: string, key: string, value: unknown): Promise<void>;
  /** Uncompressed size by the trailer of gzip: exact below 4 GiB. */
  unpackedSizeOf(blob: Blob): Promise<number>;
  /** Removes what was used longest ago until the cache fits; nothing used within the last hour. */
  prune(now: number): Promise<number>;
}

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const GIBIBYTE = 2 ** 30;
const IN_USE_MS = 3_600_000;

export async function openBlobs(cacheDir: string, maxBytes = 10 * GIBIBYTE): Promise<BlobCache> {
  const directory = path.join(cacheDir, 'blobs', 'sha256');
  const incoming = path.join(cacheDir, 'blobs', 'incoming');
  const index = path.join(cacheDir, 'blobs', 'index');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await mkdir(incoming, { recursive: true, mode: 0o700 });
  const fileOf = (digest: string): string => {
    if (!DIGEST.test(digest)) throw new CuError('SHIP_FAILED', `not a digest: ${digest}`);
    return path.join(directory, digest.slice(7));
  };
  const factFile = (kind: string, key: string): string =>
    path.join(index, kind, `${key.replace(/^sha256:/, '').replaceAll(/[^\w.-]/g, '_')}.json`);

  const cache: BlobCache = {
    directory,
    async sizeOf(digest) {
      const file = fileOf(digest);
      const facts = await stat(file).catch(() => undefined);
      if (facts === undefined) return undefined;
      const now = new Date();
      await utimes(file, now, now).catch(() => undefined);
      return facts.size;
    },
    read: (digest) => readFile(fileOf(digest)),
    stream: (digest) => createReadStream(fileOf(digest), { highWaterMark: 1 << 18 }),
    async write(source, expected) {
      const temporary = path.join(incoming, randomUUID());
      try {
        const blob = await hashInto(temporary, source);
        if (expected !== undefined && blob.digest !== expected) {
          throw new CuError('SHIP_FAILED', `a layer arrived as ${blob.digest} instead of ${expected}`);
        }
        await rename(temporary, fileOf(blob.digest));
        return blob;
      } catch (error) {
        throw explain(error, cacheDir);
      } finally {
        await rm(temporary, { force: true });
      }
    },
    async layerOf(diffId) {
      const layer = asLayer(await cache.recall('layers', diffId));
      if (layer === undefined) return undefined;
      return (await cache.sizeOf(layer.digest)) === layer.sizeBytes ? layer : undefined;
    },
    async rememberLayer(layer) {
      const known = await cache.layerOf(layer.diffId);
      if (known !== undefined) return known;
      await cache.remember('layers', layer.diffId, layer);
      return layer;
    },
    async recall(kind, key) {
      const text = await readFile(factFile(kind, key), 'utf8').catch(() => undefined);
      if (text === undefined) return undefined;
      try {
        return JSON.parse(text);
      } catch {
        return undefined;
      }
    },
    async remember(kind, key, value) {
      const file = factFile(kind, key);
      await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
      const temporary = `${file}.${randomUUID()}`;
      await writeFile(temporary, JSON.stringify(value), { mode: 0o600 });
      await rename(temporary, file);
    },
    async unpackedSizeOf(blob) {
      const handle = await open(fileOf(blob.digest));
      try {
        const { buffer: head } = await handle.read(Buffer.alloc(2), 0, 2, 0);
        if (head[0] !== 0x1f || head[1] !== 0x8b || blob.sizeBytes < 18) return blob.sizeBytes;
        const { buffer: tail } = await handle.read(Buffer.alloc(4), 0, 4, blob.sizeBytes - 4);
        return Math.max(blob.sizeBytes, tail.readUInt32LE(0));
      } finally {
        await handle.close();
      }
    },
    prune: (now) => prune({ directory, incoming, maxBytes, now }),
  };
  return cache;
}

async function hashInto(file: string, source: AsyncIterable<Uint8Array>): Promise<Blob> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  await pipeline(
    source,
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(file, { mode: 0o600 }),
  );
  return { digest: `sha256:${hash.digest('hex')}`, sizeBytes };
}

function explain(error: unknown, cacheDir: string): unknown {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) return error;
  return new CuError('DISK_FULL', `no space left in ${cacheDir} on this machine`, {
    hint: 'free some, or run `cu purge cache --yes`',
    cause: error,
  });
}

function asLayer(value: unknown): Layer | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { diffId, digest, sizeBytes, mediaType }: Partial<Record<keyof Layer, unknown>> = value;
  if (typeof diffId !== 'string' || typeof digest !== 'string' || typeof sizeBytes !== 'number') return undefined;
  return typeof mediaType === 'string' && DIGEST.test(digest) ? { diffId, digest, sizeBytes, mediaType } : undefined;
}

interface Prune {
  readonly directory: string;
  readonly incoming: string;
  readonly maxBytes: number;
  readonly now: number;
}

async function prune({ directory, incoming, maxBytes, now }: Prune): Promise<number> {
  const files = [...(await list(directory)), ...(await list(incoming))].sort(
    (left, right) => left.usedMs - right.usedMs,
  );
  let total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  let freed = 0;
  for (const file of files) {
    if (now - file.usedMs < IN_USE_MS) break;
    // What lies in `incoming` this long was left by a run that died.
    if (total <= maxBytes && !file.path.startsWith(incoming)) continue;
    await rm(file.path, { force: true });
    total -= file.sizeBytes;
    freed += file.sizeBytes;
  }
  return freed;
}

async function list(directory: string): Promise<readonly { path: string; sizeBytes: number; usedMs: number }[]> {
  const files = [];
  for (const name of await readdir(directory)) {
    const file = path.join(directory, name);
    const facts = await stat(file).catch(() => undefined);
    if (facts?.isFile() === true) files.push({ path: file, sizeBytes: facts.size, usedMs: facts.mtimeMs });
  }
  return files;
}
