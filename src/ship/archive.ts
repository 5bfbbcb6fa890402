import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';
import type { BlobCache } from './blobs.ts';
import type { ShippableImage } from './image.ts';

export interface Archive {
  /** Indexes of the layers that go along. */
  readonly include: readonly number[];
  /** A name to load under; undefined: none, the image is known by its id. */
  readonly name: string | undefined;
}

/** One archive for both of the engine's loaders (`manifest.json` and OCI's `index.json`), without the layers that the host has. */
export function packImage(image: ShippableImage, blobs: BlobCache, archive: Archive): Readable {
  const tar = pack();
  fill(tar, image, blobs, archive).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return Readable.from(tar, { objectMode: false, highWaterMark: 1 << 18 });
}

async function fill(tar: Pack, image: ShippableImage, blobs: BlobCache, { include, name }: Archive): Promise<void> {
  const layers = new Map(
    include.flatMap((index) =>
      image.layers[index] === undefined ? [] : [[image.layers[index].digest, image.layers[index]] as const],
    ),
  );
  for (const layer of layers.values()) await addBlob(tar, blobs, layer);
  await addBlob(tar, blobs, image.config);
  await addBytes(tar, blobPath(image.manifest.digest), image.manifest.bytes);
  await addBytes(tar, 'oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  await addBytes(tar, 'index.json', Buffer.from(JSON.stringify(ociIndex(image, name))));
  // Last, because without it nothing is loaded: a transfer that was cut leaves no image.
  await addBytes(tar, 'manifest.json', Buffer.from(JSON.stringify(dockerManifest(image, name))));
}

function blobPath(digest: string): string {
  return `blobs/sha256/${digest.replace(/^sha256:/, '')}`;
}

function dockerManifest(image: ShippableImage, name: string | undefined): unknown {
  const tags = name === undefined ? null : [name];
  return [
    {
      Config: blobPath(image.config.digest),
      RepoTags: tags,
      Layers: image.layers.map((layer) => blobPath(layer.digest)),
    },
  ];
}

function ociIndex({ manifest }: ShippableImage, name: string | undefined): unknown {
  const annotations =
    name === undefined
      ? {}
      : {
          annotations: {
            'io.containerd.image.name': `docker.io/library/${name}`,
            'org.opencontainers.image.ref.name': name.split(':')[1],
          },
        };
  return {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.bytes.length, ...annotations },
    ],
  };
}

function addBytes(tar: Pack, name: string, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ name, mode: 0o644, mtime: new Date(0), size: bytes.length }, bytes, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}

async function addBlob(
  tar: Pack,
  blobs: BlobCache,
  blob: { readonly digest: string; readonly sizeBytes: number },
): Promise<void> {
  const sink = tar.entry({ name: blobPath(blob.digest), mode: 0o644, mtime: new Date(0), size: blob.sizeBytes });
  await pipeline(blobs.stream(blob.digest), sink);
}
