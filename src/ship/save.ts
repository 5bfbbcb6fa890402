import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { CuError } from '../core/error.ts';
import type { Docker } from '../transport/docker.ts';
import type { Blob, BlobCache, Layer } from './blobs.ts';
import { asObject, asText, asTexts } from './engine-stream.ts';
import { composeImage, DOCKER_LAYER, readConfig, type ShippableImage } from './image.ts';

/** What an entry of the archive turned out to be. */
type Stored =
  | { readonly type: 'text'; readonly bytes: Buffer }
  | { readonly type: 'layer'; readonly blob: Blob; readonly diffId: string | undefined; readonly mediaType: string }
  | { readonly type: 'link'; readonly target: string };

const MAX_TEXT_BYTES = 4 * 2 ** 20;

/** The slow way into the cache: the engine's own archive of the whole image, in its old layout or in OCI's. */
export async function saveImage({
  docker,
  imageId,
  diffIds,
  blobs,
  signal,
  onProgress,
}: SaveOptions): Promise<ShippableImage> {
  const response = await docker.stream({
    method: 'GET',
    path: `/images/${imageId}/get`,
    timeoutMs: 600_000,
    ...(signal === undefined ? {} : { signal }),
  });
  const entries = await readArchive(response.body, { blobs, diffIds, onProgress });
  const manifest: unknown = JSON.parse(textOf(entries, 'manifest.json').toString('utf8'));
  const first = asObject(Array.isArray(manifest) ? manifest[0] : undefined);
  const config = textOf(entries, asText(first?.['Config']) ?? '');
  const names = asTexts(first?.['Layers']);
  const wanted = readConfig(config).diffIds;
  const layers = [];
  for (const [index, diffId] of wanted.entries()) {
    layers.push((await blobs.layerOf(diffId)) ?? layerAt(entries, names[index] ?? '', diffId));
  }
  return composeImage(blobs, imageId, { config, layers });
}

interface Reading {
  readonly blobs: BlobCache;
  readonly diffIds: readonly string[];
  readonly onProgress: ((text: string) => void) | undefined;
}

export interface SaveOptions extends Reading {
  readonly docker: Docker;
  readonly imageId: string;
  readonly signal: AbortSignal | undefined;
}

async function readArchive(body: Readable, reading: Reading): Promise<ReadonlyMap<string, Stored>> {
  const entries = new Map<string, Stored>();
  const archive = extract();
  body.on('error', (error) => archive.destroy(error));
  body.pipe(archive);
  for await (const entry of archive) {
    const name = entry.header.name.replace(/^\.\//, '');
    const target = entry.header.linkname;
    if (typeof target === 'string' && target !== '') {
      entries.set(name, { type: 'link', target: resolveLink(name, target) });
      entry.resume();
      continue;
    }
    if (entry.header.type !== 'file') {
      entry.resume();
      continue;
    }
    entries.set(name, await store(bytesOf(entry), { ...reading, name, size: entry.header.size ?? 0 }));
  }
  return entries;
}

/** The old layout has `ID/layer.tar -> ../OTHER/layer.tar` for a layer that comes twice. */
function resolveLink(name: string, target: string): string {
  const parts = name.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

type Entry = AsyncIterable<Buffer>;

async function* bytesOf(entry: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
  for await (const chunk of entry)
    if (chunk instanceof Uint8Array) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
}

async function store(
  entry: Entry,
  { blobs, diffIds, onProgress, name, size }: Reading & { readonly name: string; readonly size: number },
): Promise<Stored> {
  const known = name.startsWith('blobs/sha256/') ? `sha256:${name.slice('blobs/sha256/'.length)}` : undefined;
  const cached = known === undefined || !diffIds.includes(known) ? undefined : await blobs.layerOf(known);
  if (cached !== undefined) {
    for await (const _ of entry) continue;
    return { type: 'layer', blob: cached, diffId: known, mediaType: cached.mediaType };
  }
  const chunks = entry[Symbol.asyncIterator]();
  const first = await chunks.next();
  const head = first.done === true ? Buffer.alloc(0) : first.value;
  const all = prepend(head, chunks);
  if (size <= MAX_TEXT_BYTES && isText(name, head)) return { type: 'text', bytes: await collect(all) };
  onProgress?.(`layer ${name.slice(0, 25)}, ${Math.ceil(size / 2 ** 20)} MB`);
  const compression = compressionOf(head);
  if (compression !== undefined)
    return { type: 'layer', blob: await blobs.write(all), diffId: undefined, mediaType: compression };
  const hash = createHash('sha256');
  const gzip = Readable.from(tee(all, hash)).compose(createGzip({ level: 4 }));
  const blob = await blobs.write(gzip);
  return { type: 'layer', blob, diffId: `sha256:${hash.digest('hex')}`, mediaType: DOCKER_LAYER };
}

function isText(name: string, head: Buffer): boolean {
  return (
    name.endsWith('.json') ||
    name.endsWith('VERSION') ||
    name === 'repositories' ||
    head[0] === 0x7b ||
    head[0] === 0x5b
  );
}

function compressionOf(head: Buffer): string | undefined {
  if (head[0] === 0x1f && head[1] === 0x8b) return DOCKER_LAYER;
  if (head.subarray(0, 4).equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd])))
    return 'application/vnd.oci.image.layer.v1.tar+zstd';
  return undefined;
}

async function* prepend(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function* tee(chunks: AsyncIterable<Buffer>, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

function textOf(entries: ReadonlyMap<string, Stored>, name: string): Buffer {
  const entry = entries.get(name);
  if (entry?.type === 'text') return entry.bytes;
  throw new CuError('SHIP_FAILED', `the engine's archive of the image has no ${name || 'config'}`);
}

function layerAt(entries: ReadonlyMap<string, Stored>, name: string, diffId: string): Layer {
  const entry = entries.get(name);
  const found = entry?.type === 'link' ? entries.get(entry.target) : entry;
  if (found?.type !== 'layer' || (found.diffId !== undefined && found.diffId !== diffId)) {
    throw new CuError('SHIP_FAILED', `the engine's archive of the image has no layer ${diffId}`);
  }
  return { ...found.blob, diffId, mediaType: found.mediaType };
}
