import type { KnownHost } from '../core/state.ts';
import { NOW_FOLDER, STATE_DIRECTORY, stateName } from '../observe/state.ts';
import type { Owner } from '../observe/state.ts';
import { putFiles } from '../transport/archive.ts';
import type { Host } from '../transport/host.ts';

const WRITE_MS = 5000;

/** Every host remembers all hosts of its environment, so that one which leaves the config is found again. */
export async function writeHosts(hosts: readonly Host[], owner: Owner, known: readonly KnownHost[]): Promise<void> {
  const content = JSON.stringify(
    known.map(({ name, connection, address, user, port, identity, proxyJump, client, dockerSocket }) => ({
      name,
      connection,
      address,
      user,
      port,
      identity,
      proxyJump,
      client,
      dockerSocket,
    })),
  );
  const to = { container: stateName(owner), folder: STATE_DIRECTORY };
  const files = [{ path: `${NOW_FOLDER}/hosts`, mode: 0o600, content }];
  const signal = AbortSignal.timeout(WRITE_MS);
  // The next deploy writes it again: no reason to fail this one.
  await Promise.allSettled(hosts.map((host) => putFiles(host.docker(), to, { files, signal })));
}
