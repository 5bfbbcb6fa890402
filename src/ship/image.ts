import { createHash } from 'node:crypto';
import { CuError } from '../core/error.ts';
import type { BlobCache, Blob, Layer } from './blobs.ts';
import { asNumber, asObject, asText, asTexts, parseObject } from './engine-stream.ts';
import type { Manifest } from './receiver.ts';

/** An image whose every blob lies in the cache, ready to travel to any host. */
export interface ShippableImage {
  /** As the engine it came from calls it. */
  readonly imageId: string;
  readonly config: Blob;
  readonly manifest: Manifest;
  readonly layers: readonly Layer[];
  readonly architecture: string;
}

const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';
export const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip';

/** Puts together what the cache knows of an image; its manifest is the same for the same layers. */
export async function composeImage(
  blobs: BlobCache,
  imageId: string,
  parts: { readonly config: Buffer; readonly layers: readonly Layer[]; readonly original?: Manifest },
): Promise<ShippableImage> {
  const config = await blobs.write(single(parts.config));
  const layers = [];
  for (const layer of parts.layers) layers.push(await blobs.rememberLayer(layer));
  const isAsPushed =
    parts.original !== undefined && layers.every((layer, index) => layer.digest === parts.layers[index]?.digest);
  const manifest = isAsPushed && parts.original !== undefined ? parts.original : composeManifest(config, layers);
  await blobs.write(single(manifest.bytes));
  const image = { imageId, config, manifest, layers, architecture: readConfig(parts.config).architecture };
  await blobs.remember('images', imageId, {
    config: config.digest,
    manifest: manifest.digest,
    mediaType: manifest.mediaType,
  });
  // By what the two image stores call it, so that an image that a host has is known whatever its store.
  await blobs.remember('manifests', manifest.digest, { layers: layers.map((layer) => layer.digest) });
  return image;
}

/** undefined unless all of the image is in the cache. */
export async function recallImage(blobs: BlobCache, imageId: string): Promise<ShippableImage | undefined> {
  const record = asObject(await blobs.recall('images', imageId));
  const configDigest = asText(record?.['config']);
  const manifestDigest = asText(record?.['manifest']);
  const mediaType = asText(record?.['mediaType']);
  if (configDigest === undefined || manifestDigest === undefined || mediaType === undefined) return undefined;
  const sizeBytes = await blobs.sizeOf(configDigest);
  if (sizeBytes === undefined || (await blobs.sizeOf(manifestDigest)) === undefined) return undefined;
  const { diffIds, architecture } = readConfig(await blobs.read(configDigest));
  const layers = [];
  for (const diffId of diffIds) {
    const layer = await blobs.layerOf(diffId);
    if (layer === undefined) return undefined;
    layers.push(layer);
  }
  const manifest = { digest: manifestDigest, mediaType, bytes: await blobs.read(manifestDigest) };
  return { imageId, config: { digest: configDigest, sizeBytes }, manifest, layers, architecture };
}

export function readConfig(config: Buffer): { readonly diffIds: readonly string[]; readonly architecture: string } {
  const parsed = parseObject(config.toString('utf8'));
  const rootfs = asObject(parsed?.['rootfs']);
  if (parsed === undefined || rootfs === undefined)
    throw new CuError('SHIP_FAILED', 'the engine gave an image without a readable config');
  return { diffIds: asTexts(rootfs['diff_ids']), architecture: asText(parsed['architecture']) ?? '' };
}

interface ManifestParts {
  readonly config: Blob;
  readonly layers: readonly (Blob & { readonly mediaType: string })[];
}

export function readManifest(bytes: Buffer): ManifestParts | undefined {
  const parsed = parseObject(bytes.toString('utf8'));
  const config = asDescriptor(parsed?.['config']);
  const list = parsed?.['layers'];
  if (config === undefined || !Array.isArray(list)) return undefined;
  const layers = list.map(asDescriptor).filter((layer) => layer !== undefined);
  return layers.length === list.length ? { config, layers } : undefined;
}

function asDescriptor(value: unknown): (Blob & { readonly mediaType: string }) | undefined {
  const descriptor = asObject(value);
  const digest = asText(descriptor?.['digest']);
  const sizeBytes = asNumber(descriptor?.['size']);
  return digest === undefined || sizeBytes === undefined
    ? undefined
    : { digest, sizeBytes, mediaType: asText(descriptor?.['mediaType']) ?? DOCKER_LAYER };
}

function composeManifest(config: Blob, layers: readonly Layer[]): Manifest {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: DOCKER_MANIFEST,
      config: { mediaType: DOCKER_CONFIG, size: config.sizeBytes, digest: config.digest },
      layers: layers.map(({ mediaType, sizeBytes, digest }) => ({ mediaType, size: sizeBytes, digest })),
    }),
  );
  return { digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, mediaType: DOCKER_MANIFEST, bytes };
}

async function* single(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
