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
  await Promise.all(hosts.map((host) => writeNow(host, owner, { name: 'hosts', content })));
}

/** How long instances were away, for the next plan to say. */
export async function writeGaps(host: Host, owner: Owner, gaps: Readonly<Record<string, number>>): Promise<void> {
  await writeNow(host, owner, { name: 'gaps', content: JSON.stringify(gaps) });
}

async function writeNow(
  host: Host,
  owner: Owner,
  { name, content }: { readonly name: string; readonly content: string },
): Promise<void> {
  const to = { container: stateName(owner), folder: STATE_DIRECTORY };
  const files = [{ path: `${NOW_FOLDER}/${name}`, mode: 0o600, content }];
  // The next deploy writes it again: no reason to fail this one.
  await putFiles(host.docker(), to, { files, signal: AbortSignal.timeout(WRITE_MS) }).catch(() => undefined);
}
