import { CuError } from '../core/error.ts';
import type { Docker } from '../transport/docker.ts';
import { asObject, asText, asTexts } from './engine-stream.ts';

/** An engine that unpacks another image onto a busy disk answers nobody meanwhile. */
export const BUSY_TIMEOUT_MS = 300_000;

/** Diff ids of an image that an engine has; undefined when it has no such image. */
export async function inspectLayers(docker: Docker, id: string): Promise<readonly string[] | undefined> {
  const image = asObject(
    await docker.json({ method: 'GET', path: `/images/${id}/json`, allow: [404], timeoutMs: BUSY_TIMEOUT_MS }),
  );
  // The body of an allowed 404 may come parsed as well; an image has an id.
  if (asText(image?.['Id']) === undefined) return undefined;
  return asTexts(asObject(image?.['RootFS'])?.['Layers']);
}

/** False when the image is gone. */
export async function nameImage(docker: Docker, id: string, references: readonly string[]): Promise<boolean> {
  for (const reference of references) {
    const colon = reference.lastIndexOf(':');
    const query = { repo: reference.slice(0, colon), tag: reference.slice(colon + 1) };
    try {
      await docker.json({ method: 'POST', path: `/images/${id}/tag`, query, timeoutMs: BUSY_TIMEOUT_MS });
    } catch (error) {
      if (error instanceof CuError && error.statusCode === 404) return false;
      throw error;
    }
  }
  return true;
}

/** Takes a temporary name away, also after a failure or a cancel; the image itself stays. */
export async function unnameImage(docker: Docker, reference: string): Promise<void> {
  await docker
    .json({ method: 'DELETE', path: `/images/${reference}`, query: { noprune: true }, allow: [404, 409] })
    .catch(() => undefined);
}
