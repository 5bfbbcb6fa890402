import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { composeImage, DOCKER_LAYER, type ShippableImage } from '../../../src/ship/image.ts';
import type { BlobCache, Layer } from '../../../src/ship/blobs.ts';
import { asObject, asText, asTexts } from '../../../src/ship/engine-stream.ts';
import type { Host } from '../../../src/transport/host.ts';

/** The tar of a layer with one file in it; without content, an empty layer. */
export async function layerTar(name: string, content: Buffer): Promise<Buffer> {
  const tar = pack();
  if (content.length > 0) tar.entry({ name, mtime: new Date(0) }, content);
  tar.finalize();
  const chunks = [];
  for await (const chunk of tar) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** An image made of these layers, straight into a cache. */
export async function makeImage(blobs: BlobCache, tars: readonly Buffer[], env: string): Promise<ShippableImage> {
  const layers: Layer[] = [];
  for (const tar of tars) {
    const blob = await blobs.write(one(gzipSync(tar, { level: 0 })));
    layers.push({
      ...blob,
      diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}`,
      mediaType: DOCKER_LAYER,
    });
  }
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Env: [`IMAGE=${env}`], Cmd: ['/bin/true'] },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
      history: layers.map((_, index) => ({ created: '1970-01-01T00:00:00Z', created_by: `layer ${index}` })),
    }),
  );
  const imageId = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  return composeImage(blobs, imageId, { config, layers });
}

async function* one(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** `NAME:TAG ID` of all that an engine has, unnamed images as `- ID`. */
export async function imagesOn(host: Host): Promise<readonly string[]> {
  const list: unknown = await host.docker().json({ method: 'GET', path: '/images/json', query: { all: true } });
  const lines = (Array.isArray(list) ? list : []).flatMap((item) => {
    const image = asObject(item);
    const tags = asTexts(image?.['RepoTags']).filter((tag) => tag !== '<none>:<none>');
    return (tags.length === 0 ? ['-'] : tags).map((tag) => `${tag} ${asText(image?.['Id']) ?? ''}`);
  });
  return lines.sort();
}

export async function removeAll(host: Host): Promise<void> {
  for (const line of await imagesOn(host)) {
    const id = line.split(' ')[1] ?? '';
    await host.docker().json({ method: 'DELETE', path: `/images/${id}`, query: { force: true }, allow: [404, 409] });
  }
}
