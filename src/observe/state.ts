import { Secret } from '../core/secret.ts';
import type { HostState } from '../core/state.ts';
import type { Docker } from '../transport/docker.ts';
import { readArchive } from '../transport/archive.ts';

/** Where an environment's state lies: a volume, held by a container that is never started. */
export function stateName(owner: { readonly project: string; readonly environment: string }): string {
  return `${owner.project}-${owner.environment}-state`;
}

export const STATE_DIRECTORY = '/state';

/**
 * Reads the state through the container that holds it: the archive API works on a container that never ran,
 * so nothing runs on the host and whoever may use Docker sees the same.
 */
export async function readState(
  docker: Docker,
  owner: { readonly project: string; readonly environment: string },
  signal: AbortSignal,
): Promise<HostState | undefined> {
  const answer = await docker.stream({
    method: 'GET',
    path: `/containers/${stateName(owner)}/archive`,
    query: { path: STATE_DIRECTORY },
    signal,
    allow: [404],
  });
  if (answer.statusCode === 404) {
    answer.body.resume();
    return undefined;
  }
  return parseState(await readArchive(answer.body));
}

function parseState(files: ReadonlyMap<string, string>): HostState | undefined {
  const specKey = files.get('state/spec-key');
  if (specKey === undefined || specKey === '') return undefined;
  const password = files.get('state/broker-password');
  return {
    specKey: new Secret('spec-key', specKey),
    brokerPassword: password === undefined ? undefined : new Secret('broker-password', password),
  };
}
