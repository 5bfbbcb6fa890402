import { createHash } from 'node:crypto';
import pLimit from 'p-limit';
import type { Docker } from '../transport/docker.ts';
import type { BlobCache } from './blobs.ts';
import { BUSY_TIMEOUT_MS, inspectLayers } from './engine-image.ts';
import { asObject, asText, asTexts } from './engine-stream.ts';
import type { ShippableImage } from './image.ts';

/** What a host has of an image. */
export interface Inventory {
  /** Indexes of the layers that the host lacks, as far as it tells. */
  readonly missing: readonly number[];
  /** Id of the image on the host when all of it is there under that id. */
  readonly imageId: string | undefined;
}

const INSPECTS_AT_ONCE = 8;

/** By chain ids, as the classic store looks layers up when it loads an archive. */
export async function classicInventory(docker: Docker, image: ShippableImage): Promise<Inventory> {
  const wanted = chainIds(image.layers.map((layer) => layer.diffId));
  const present = await inspectLayers(docker, image.config.digest);
  if (present !== undefined) return { missing: [], imageId: image.config.digest };
  const lacking = new Set(wanted);
  const limit = pLimit(INSPECTS_AT_ONCE);
  // Intermediate images are left out: a layer of theirs belongs to a descendant that is listed as well.
  const ids = await listImages(docker);
  await Promise.all(
    ids.map((id) =>
      limit(async () => {
        if (lacking.size === 0) return;
        const layers = await inspectLayers(docker, id);
        for (const chain of chainIds(layers ?? [])) lacking.delete(chain);
      }),
    ),
  );
  return { missing: wanted.flatMap((chain, index) => (lacking.has(chain) ? [index] : [])), imageId: undefined };
}

/** By blobs, as the containerd store wants them: only those of images whose very manifest we know are surely there. */
export async function containerdInventory(docker: Docker, image: ShippableImage, blobs: BlobCache): Promise<Inventory> {
  for (const id of [image.manifest.digest, image.config.digest]) {
    if ((await inspectLayers(docker, id)) !== undefined) return { missing: [], imageId: id };
  }
  const present = new Set<string>();
  for (const id of await listImages(docker)) {
    const known = asObject(await blobs.recall('manifests', id));
    for (const digest of asTexts(known?.['layers'])) present.add(digest);
  }
  return {
    missing: image.layers.flatMap((layer, index) => (present.has(layer.digest) ? [] : [index])),
    imageId: undefined,
  };
}

export function chainIds(diffIds: readonly string[]): readonly string[] {
  const chains: string[] = [];
  for (const diffId of diffIds) {
    const parent = chains.at(-1);
    chains.push(
      parent === undefined ? diffId : `sha256:${createHash('sha256').update(`${parent} ${diffId}`).digest('hex')}`,
    );
  }
  return chains;
}

/** Newest first: an earlier version of the same image most likely holds what is needed. */
async function listImages(docker: Docker): Promise<readonly string[]> {
  const list: unknown = await docker.json({ method: 'GET', path: '/images/json', timeoutMs: BUSY_TIMEOUT_MS });
  if (!Array.isArray(list)) return [];
  return list.map((item) => asText(asObject(item)?.['Id'])).filter((id) => id !== undefined);
}
