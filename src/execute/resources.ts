import { CuError } from '../core/error.ts';
import type { Secret } from '../core/secret.ts';
import { LABELS } from '../core/state.ts';
import { NOW_FOLDER, readState, STATE_DIRECTORY } from '../observe/state.ts';
import { putFiles } from '../transport/archive.ts';
import type { Docker } from '../transport/docker.ts';
import type { Host } from '../transport/host.ts';

interface Owner {
  readonly project: string;
  readonly environment: string;
}

/** An image of nothing: enough for a container that only holds a volume and never starts. */
const STATE_IMAGE = 'cu-state:1';

function labelsOf(owner: Owner): Readonly<Record<string, string>> {
  return { [LABELS.project]: owner.project, [LABELS.environment]: owner.environment };
}

export async function createNetwork(host: Host, name: string, owner: Owner, signal: AbortSignal): Promise<void> {
  await host.docker().json({
    method: 'POST',
    path: '/networks/create',
    body: { Name: name, Driver: 'bridge', CheckDuplicate: true, Labels: labelsOf(owner) },
    signal,
    allow: [409],
  });
}

export async function createVolume(host: Host, name: string, owner: Owner, signal: AbortSignal): Promise<void> {
  const body = { Name: name, Labels: labelsOf(owner) };
  await host.docker().json({ method: 'POST', path: '/volumes/create', body, signal });
}

export interface StateStep {
  readonly volume: string;
  readonly specKey: Secret;
  readonly brokerPassword: Secret | undefined;
}

/** Makes the state volume and its container where they are missing; what is written there already stays. */
export async function initState(host: Host, state: StateStep, owner: Owner, signal: AbortSignal): Promise<void> {
  const docker = host.docker();
  await ensureStateImage(docker, signal);
  await createVolume(host, state.volume, owner, signal);
  await docker.json({
    method: 'POST',
    path: '/containers/create',
    query: { name: state.volume },
    body: {
      Image: STATE_IMAGE,
      Cmd: ['none'],
      Labels: { ...labelsOf(owner), [LABELS.role]: 'state' },
      HostConfig: { NetworkMode: 'none', Mounts: [{ Type: 'volume', Source: state.volume, Target: STATE_DIRECTORY }] },
    },
    signal,
    allow: [409],
  });
  const found = await readState(docker, owner, signal);
  const files = [
    found === undefined ? { name: 'spec-key', secret: state.specKey } : undefined,
    found?.brokerPassword === undefined && state.brokerPassword !== undefined
      ? { name: 'broker-password', secret: state.brokerPassword }
      : undefined,
  ].filter((file) => file !== undefined);
  if (files.length === 0) return;
  const to = { container: state.volume, folder: STATE_DIRECTORY };
  const isWritten = await putFiles(docker, to, {
    files: files.map(({ name, secret }) => ({ path: `${NOW_FOLDER}/${name}`, mode: 0o600, content: secret.reveal() })),
    signal,
  });
  if (!isWritten)
    throw new CuError('STEP_FAILED', `the container ${state.volume} went away while its state was written`, {
      host: host.name,
      hint: 'run the command again',
    });
}

async function ensureStateImage(docker: Docker, signal: AbortSignal): Promise<void> {
  const found = await docker.json({ method: 'GET', path: `/images/${STATE_IMAGE}/json`, signal, allow: [404] });
  if (found !== undefined) return;
  const [repo, tag] = STATE_IMAGE.split(':');
  const answer = await docker.stream({
    method: 'POST',
    path: '/images/create',
    query: { fromSrc: '-', repo, tag, changes: `LABEL ${LABELS.role}=state` },
    // Two blocks of zeros: a tar with nothing in it.
    body: new Uint8Array(1024),
    signal,
  });
  for await (const _chunk of answer.body) continue;
}

/** Takes each name away, then the image itself; one that a container still uses stays and says so. */
export async function removeImage(
  host: Host,
  image: { readonly id: string; readonly tags: readonly string[] },
  signal: AbortSignal,
): Promise<string | undefined> {
  const docker = host.docker();
  for (const name of [...image.tags, image.id]) {
    try {
      await docker.json({ method: 'DELETE', path: `/images/${name}`, signal, allow: [404] });
    } catch (error) {
      if (error instanceof CuError && error.statusCode === 409) return 'in use, left';
      throw error;
    }
  }
  return undefined;
}

/** One that a container of somebody else still uses stays and says so. */
export async function removeNetwork(host: Host, name: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    await host.docker().json({ method: 'DELETE', path: `/networks/${name}`, signal, allow: [404] });
    return undefined;
  } catch (error) {
    // The engine answers 403 while a network has endpoints (moby, api/swagger.yaml, NetworkDelete).
    if (error instanceof CuError && error.statusCode === 403) return 'in use, left';
    throw error;
  }
}

export async function removeVolume(host: Host, name: string, signal: AbortSignal): Promise<void> {
  await host.docker().json({ method: 'DELETE', path: `/volumes/${name}`, signal, allow: [404] });
}
