import type { Release } from '../core/release.ts';
import { HISTORY_FOLDER, readStateFolder, STATE_DIRECTORY, stateName } from '../observe/state.ts';
import type { Owner } from '../observe/state.ts';
import { putFiles } from '../transport/archive.ts';
import type { Host } from '../transport/host.ts';
import { parseRelease } from './parse-release.ts';

/** Releases that a host remembers; the next one takes the place of the oldest. */
const SLOTS = 32;

/** What a host remembers, oldest first; a slot that a write was cut off in is left out. */
export async function readHistory(host: Host, owner: Owner, signal: AbortSignal): Promise<readonly Release[]> {
  const files = await readStateFolder(host.docker(), owner, { folder: HISTORY_FOLDER, signal });
  const releases = [...(files ?? [])].flatMap(([name, text]) =>
    /^\d\d\.json$/.test(name) ? (parseRelease(text) ?? []) : [],
  );
  return releases.toSorted((a, b) => a.sequence - b.sequence);
}

/** Whether there may be a past that cannot be read: the container of the state was removed, its volume was not. */
export async function isHistoryHidden(host: Host, owner: Owner, signal: AbortSignal): Promise<boolean> {
  const name = stateName(owner);
  const [volume, container] = await Promise.all(
    [`/volumes/${name}`, `/containers/${name}/json`].map((path) =>
      host.docker().json({ method: 'GET', path, signal, allow: [404] }),
    ),
  );
  return volume !== undefined && container === undefined;
}

/** Writes a release into its slot, or over itself with its outcome; false when the host has no state yet. */
export async function writeRelease(host: Host, release: Release, signal: AbortSignal): Promise<boolean> {
  const slot = String(release.sequence % SLOTS).padStart(2, '0');
  const to = { container: stateName(release), folder: STATE_DIRECTORY };
  const file = { path: `${HISTORY_FOLDER}/${slot}.json`, mode: 0o600, content: JSON.stringify(release) };
  return putFiles(host.docker(), to, { files: [file], signal });
}
