import type { ContainerSpec } from '../core/container.ts';
import { hostConfigOf } from '../plan/body.ts';
import { makeFolderArchive, readFolderFacts } from '../transport/archive.ts';
import type { Host } from '../transport/host.ts';
import { createContainer, hasReadOnlyRoot, removeContainer } from './engine.ts';

type Naming = Parameters<typeof createContainer>[2];

/**
 * Creates a container whose user can write to its volumes. To the engine an empty volume is root's, unless the image
 * has the folder and with it an owner; one that is root's and empty is given to the user that the service runs as.
 */
export async function createWithVolumes(
  host: Host,
  spec: ContainerSpec,
  as: Naming,
  signal: AbortSignal,
): Promise<string> {
  const isRoots = spec.uid === undefined || spec.uid === 0;
  if (isRoots || spec.volumes.length === 0) return createContainer(host, spec, as, signal);
  const HostConfig = { ...hostConfigOf(spec.body), ReadonlyRootfs: false };
  const id = await createContainer(host, { ...spec, body: { ...spec.body, HostConfig } }, as, signal);
  for (const path of spec.volumes) await ownVolume(host, id, { path, spec }, signal);
  if (!hasReadOnlyRoot(spec)) return id;
  // The engine takes nothing into a container whose root is read-only: this one stood in for it.
  await removeContainer(host, id, signal);
  return createContainer(host, spec, as, signal);
}

async function ownVolume(
  host: Host,
  id: string,
  { path, spec }: { readonly path: string; readonly spec: ContainerSpec },
  signal: AbortSignal,
): Promise<void> {
  const docker = host.docker();
  const answer = await docker.stream({ method: 'GET', path: `/containers/${id}/archive`, query: { path }, signal });
  const facts = await readFolderFacts(answer.body);
  if (facts === undefined || facts.uid !== 0 || !facts.isEmpty) return;
  const { uid = 0, gid = 0 } = spec;
  const body = await makeFolderArchive({ path, mode: facts.mode, uid, gid });
  await docker.json({ method: 'PUT', path: `/containers/${id}/archive`, query: { path: '/' }, body, signal });
}
