import { z } from 'zod/mini';
import { Secret } from '../core/secret.ts';
import type { Hold, HostState } from '../core/state.ts';
import type { Docker } from '../transport/docker.ts';
import { readArchive } from '../transport/archive.ts';

export interface Owner {
  readonly project: string;
  readonly environment: string;
}

/** Where an environment's state lies: a volume, held by a container that is never started. */
export function stateName(owner: Owner): string {
  return `${owner.project}-${owner.environment}-state`;
}

export const STATE_DIRECTORY = '/state';
/** Below the volume's root: what every look at a host reads. */
export const NOW_FOLDER = 'now';
/** Below the volume's root: what only those read who ask for the past. */
export const HISTORY_FOLDER = 'history';

const holdSchema = z.object({ message: z.string(), who: z.string(), since: z.number() });

export async function readState(docker: Docker, owner: Owner, signal: AbortSignal): Promise<HostState | undefined> {
  const files = await readStateFolder(docker, owner, { folder: NOW_FOLDER, signal });
  return files === undefined ? undefined : parseState(files);
}

/**
 * Reads one folder of the state through the container that holds it: the archive API works on a container that
 * never ran, so nothing runs on the host and whoever may use Docker sees the same. By name; undefined: not there.
 */
export async function readStateFolder(
  docker: Docker,
  owner: Owner,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<ReadonlyMap<string, string> | undefined> {
  const answer = await docker.stream({
    method: 'GET',
    path: `/containers/${stateName(owner)}/archive`,
    query: { path: `${STATE_DIRECTORY}/${folder}` },
    signal,
    allow: [404],
  });
  if (answer.statusCode === 404) {
    answer.body.resume();
    return undefined;
  }
  const files = await readArchive(answer.body);
  return new Map([...files].map(([path, content]) => [path.slice(folder.length + 1), content]));
}

export function parseState(files: ReadonlyMap<string, string>): HostState | undefined {
  const specKey = files.get('spec-key');
  if (specKey === undefined || specKey === '') return undefined;
  const password = files.get('broker-password');
  return {
    specKey: new Secret('spec-key', specKey),
    brokerPassword: password === undefined ? undefined : new Secret('broker-password', password),
    hold: parseHold(files.get('hold') ?? ''),
    hosts: parseHosts(files.get('hosts')),
    gaps: parseGaps(files.get('gaps')),
  };
}

const optionalText = z.optional(z.string());
const hostsSchema = z.array(
  z.object({
    name: z.string(),
    connection: z.enum(['ssh', 'local']),
    address: z.string(),
    user: optionalText,
    port: z.optional(z.number()),
    identity: optionalText,
    proxyJump: z.array(z.string()),
    client: z.enum(['auto', 'ssh2', 'openssh']),
    dockerSocket: optionalText,
  }),
);

/** What cannot be read is written anew by the next deploy. */
function parseHosts(text: string | undefined): HostState['hosts'] {
  try {
    return hostsSchema.parse(JSON.parse(text ?? '[]')).map((host) => ({
      ...host,
      user: host.user,
      port: host.port,
      identity: host.identity,
      dockerSocket: host.dockerSocket,
    }));
  } catch {
    return [];
  }
}

function parseGaps(text: string | undefined): HostState['gaps'] {
  try {
    return z.record(z.string(), z.number()).parse(JSON.parse(text ?? '{}'));
  } catch {
    return {};
  }
}

/** An empty file is no hold, because the archive API cannot take a file away. */
function parseHold(text: string): Hold | undefined {
  if (text === '') return undefined;
  try {
    return holdSchema.parse(JSON.parse(text));
  } catch {
    // Somebody wrote it to keep deploys away: what cannot be read holds too, until it is lifted.
    return { message: 'the hold cannot be read', who: 'somebody', since: 0 };
  }
}
