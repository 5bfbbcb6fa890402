import { CuError } from '../core/error.ts';
import type { Docker } from '../transport/docker.ts';
import type { Host } from '../transport/host.ts';
import type { BlobCache } from './blobs.ts';
import { inspectLayers, nameImage, unnameImage } from './engine-image.ts';
import { asObject, asText, asTexts, exchange } from './engine-stream.ts';
import { composeImage, readConfig, readManifest, recallImage, type ShippableImage } from './image.ts';
import { REPOSITORY, type Manifest, type Receiver } from './receiver.ts';
import { authHeaders } from './registry.ts';
import { saveImage } from './save.ts';
import { openTunnel } from './tunnel.ts';

export interface ExportOptions {
  /** The host whose engine has the image. */
  readonly host: Host;
  /** True when that engine runs on this machine, so that it may reach our loopback. */
  readonly isLocal: boolean;
  readonly imageId: string;
  readonly blobs: BlobCache;
  readonly receiver: Receiver;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/** Brings an image into the blob cache; at once when all of it is there already. */
export async function exportImage(options: ExportOptions): Promise<ShippableImage> {
  const { host, imageId, blobs } = options;
  const known = await recallImage(blobs, imageId);
  if (known !== undefined) return known;
  const docker = host.docker();
  const diffIds = await inspectLayers(docker, imageId);
  if (diffIds === undefined)
    throw failure(host, `image ${imageId} is gone`, 'run the same command again to build it anew');
  try {
    const image = await exportByPush(options, docker);
    if (
      sameTexts(
        diffIds,
        image.layers.map((layer) => layer.diffId),
      )
    )
      return image;
    throw failure(host, `the pushed image has other layers than ${imageId}`);
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    // An engine in a virtual machine (Desktop, Colima) does not reach our loopback, nor one in another network namespace a tunnel.
    options.onProgress?.(
      `push did not work (${error instanceof Error ? error.message : String(error)}), exporting all of the image`,
    );
    return saveImage({ imageId, blobs, docker, diffIds, signal: options.signal, onProgress: options.onProgress });
  }
}

/** How long the other end of a name may take to show that it lives. */
const ALIVE_MS = 2000;

/**
 * Takes away the names under which exports that were killed pushed their images: nobody listens at their port, or by
 * now this run does. To be called before the first export of a run.
 */
export async function dropLeftNames({
  host,
  isLocal,
  receiver,
}: Pick<ExportOptions, 'host' | 'isLocal' | 'receiver'>): Promise<void> {
  const docker = host.docker();
  const list: unknown = await docker.json({ method: 'GET', path: '/images/json' });
  const names = (Array.isArray(list) ? list : []).flatMap((image) => asTexts(asObject(image)?.['RepoTags']));
  await Promise.all(
    names.map(async (name) => {
      const port = TEMPORARY.exec(name)?.[1];
      if (port === undefined) return;
      const isOwn = isLocal && Number(port) === receiver.port;
      if (isOwn || !(await isListening(host, Number(port)))) await unnameImage(docker, name);
    }),
  );
}

const TEMPORARY = new RegExp(`^127\\.0\\.0\\.1:(\\d+)/${REPOSITORY}:`);

async function isListening(host: Host, port: number): Promise<boolean> {
  try {
    (await host.dial({ type: 'tcp', address: '127.0.0.1', port }, AbortSignal.timeout(ALIVE_MS))).destroy();
    return true;
  } catch {
    return false;
  }
}

function failure(host: Host, what: string, hint?: string): CuError {
  return new CuError('SHIP_FAILED', `${host.name}: ${what}`, {
    host: host.name,
    ...(hint === undefined ? {} : { hint }),
  });
}

function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, index) => text === right[index]);
}

async function exportByPush(options: ExportOptions, docker: Docker): Promise<ShippableImage> {
  if (options.isLocal) return pushTo(options, docker, options.receiver.port);
  const tunnel = await openTunnel(options.host, options.receiver);
  try {
    return await pushTo(options, docker, tunnel.port);
  } finally {
    await tunnel[Symbol.asyncDispose]();
  }
}

async function pushTo(options: ExportOptions, docker: Docker, port: number): Promise<ShippableImage> {
  const repository = `127.0.0.1:${port}/${REPOSITORY}`;
  const tag = options.imageId.replace(/^sha256:/, '').slice(0, 12);
  await nameImage(docker, options.imageId, [`${repository}:${tag}`]);
  try {
    const digest = await push(options, docker, { repository, tag });
    return await readPushed(options, digest);
  } finally {
    await unnameImage(docker, `${repository}:${tag}`);
  }
}

interface PushTarget {
  readonly repository: string;
  readonly tag: string;
}

async function push(options: ExportOptions, docker: Docker, { repository, tag }: PushTarget): Promise<string> {
  const messages = exchange(docker, {
    path: `/images/${repository}/push`,
    query: { tag },
    headers: authHeaders(undefined),
    what: `export of ${options.imageId}`,
    host: options.host.name,
    signal: options.signal,
    silenceMs: 600_000,
  });
  let digest: string | undefined;
  for await (const message of messages) {
    if (message.error !== undefined) throw failure(options.host, message.error);
    digest = asText(message.aux?.['Digest']) ?? digest;
    if (message.status === 'Pushed' || message.status === 'Layer already exists')
      options.onProgress?.(`${message.id ?? ''} ${message.status.toLowerCase()}`);
  }
  if (digest === undefined) throw failure(options.host, 'the engine did not say what it pushed');
  return digest;
}

async function readPushed({ imageId, blobs, receiver }: ExportOptions, digest: string): Promise<ShippableImage> {
  const manifest = pick(receiver, digest);
  const parts = manifest === undefined ? undefined : readManifest(manifest.bytes);
  if (manifest === undefined || parts === undefined)
    throw new CuError('SHIP_FAILED', `the engine pushed ${imageId} with a manifest that cu cannot read`);
  const config = await blobs.read(parts.config.digest);
  const { diffIds } = readConfig(config);
  if (diffIds.length !== parts.layers.length)
    throw new CuError(
      'SHIP_FAILED',
      `image ${imageId} lists ${parts.layers.length} layers for ${diffIds.length} in its config`,
    );
  const layers = parts.layers.map((layer, index) => ({ ...layer, diffId: diffIds[index] ?? '' }));
  return composeImage(blobs, imageId, { config, layers, original: manifest });
}

/** Of an index, the one image that was pushed with it: the containerd store wraps an image and its attestations. */
function pick(receiver: Receiver, digest: string): Manifest | undefined {
  const manifest = receiver.manifest(digest);
  if (manifest === undefined || readManifest(manifest.bytes) !== undefined) return manifest;
  const index = asObject(JSON.parse(manifest.bytes.toString('utf8')));
  const list = Array.isArray(index?.['manifests']) ? index['manifests'] : [];
  for (const item of list) {
    const descriptor = asObject(item);
    const platform = asObject(descriptor?.['platform']);
    if (asText(platform?.['os']) === 'unknown') continue;
    const found = receiver.manifest(asText(descriptor?.['digest']) ?? '');
    if (found !== undefined) return found;
  }
  return undefined;
}
