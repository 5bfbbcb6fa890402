import { posix } from 'node:path';
import type { ContainerSpec, FileContent } from '../core/container.ts';
import { Secret } from '../core/secret.ts';
import { hostConfigOf } from '../plan/body.ts';
import { delayed } from '../transport/abort.ts';
import { makeArchive } from '../transport/archive.ts';
import type { Host } from '../transport/host.ts';
import { z } from 'zod/mini';

/** The few calls of the Docker API that change containers; each is safe to repeat. */
const created = z.object({ Id: z.string() });

/** Beyond the drain, for the engine to answer a stop: longer than SSH takes to find out that a host froze (40 s). */
const STOP_MARGIN_MS = 60_000;

/** How long after an interrupt the engine may still take to have made it. */
const CREATE_MS = 3000;

/** An interrupt waits until it is made: cut off in the middle, the engine makes it after whoever wanted to remove it. */
export async function createContainer(
  host: Host,
  spec: ContainerSpec,
  as: { readonly name: string; readonly imageId: string },
  signal: AbortSignal,
): Promise<string> {
  const answer = await host.docker().json({
    method: 'POST',
    path: '/containers/create',
    query: { name: as.name },
    body: { ...spec.body, Image: as.imageId, Env: envOf(spec), Labels: spec.labels },
    signal: delayed(CREATE_MS, signal),
  });
  signal.throwIfAborted();
  return created.parse(answer).Id;
}

/** Puts the container's files in before it starts; they live in its writable layer, never in an image. */
export async function putFiles(host: Host, id: string, spec: ContainerSpec, signal: AbortSignal): Promise<void> {
  if (spec.files.length === 0) return;
  // A read-only container takes files only inside a volume: one archive for each of their folders.
  const folders = hasReadOnlyRoot(spec) ? [...new Set(spec.files.map((file) => posix.dirname(file.path)))] : ['/'];
  for (const folder of folders) {
    const files = spec.files.filter((file) => folder === '/' || posix.dirname(file.path) === folder);
    const archive = await makeArchive(
      files.map((file) => ({
        path: posix.relative(folder, file.path),
        mode: file.mode,
        content: textOf(file.content),
        uid: spec.uid ?? 0,
        gid: spec.gid ?? 0,
      })),
    );
    await host
      .docker()
      .json({ method: 'PUT', path: `/containers/${id}/archive`, query: { path: folder }, body: archive, signal });
  }
}

export async function startContainer(host: Host, id: string, signal: AbortSignal): Promise<void> {
  await host.docker().json({ method: 'POST', path: `/containers/${id}/start`, signal, allow: [304] });
}

export async function unpauseContainer(host: Host, id: string, signal: AbortSignal): Promise<void> {
  await host.docker().json({ method: 'POST', path: `/containers/${id}/unpause`, signal, allow: [409, 500] });
}

/** SIGTERM (or the stop signal of its own), then SIGKILL when it has not ended after `drainMs`. */
export async function stopContainer(host: Host, id: string, drainMs: number, signal: AbortSignal): Promise<void> {
  await host.docker().json({
    method: 'POST',
    path: `/containers/${id}/stop`,
    query: { t: Math.ceil(drainMs / 1000) },
    timeoutMs: drainMs + STOP_MARGIN_MS,
    signal,
    allow: [304, 404],
  });
}

/** Removes it, running or not, with its anonymous volumes; named volumes stay. */
export async function removeContainer(host: Host, id: string, signal: AbortSignal): Promise<void> {
  await host.docker().json({
    method: 'DELETE',
    path: `/containers/${id}`,
    query: { force: true, v: true },
    signal,
    // 409: somebody is removing it already.
    allow: [404, 409],
  });
}

export async function renameContainer(host: Host, id: string, name: string, signal: AbortSignal): Promise<void> {
  await host.docker().json({ method: 'POST', path: `/containers/${id}/rename`, query: { name }, signal });
}

function envOf(spec: ContainerSpec): readonly string[] {
  return Object.entries(spec.env).map(([name, value]) => `${name}=${textOf(Array.isArray(value) ? value : [value])}`);
}

function textOf(content: FileContent): string {
  return content.map((part) => (part instanceof Secret ? part.reveal() : part)).join('');
}

export function hasReadOnlyRoot(spec: ContainerSpec): boolean {
  return hostConfigOf(spec.body)['ReadonlyRootfs'] === true;
}
