import type { Release } from '../core/release.ts';

/** What several hosts remember as one history, oldest first: of each release the record that says most. */
export function mergeHistories(perHost: readonly (readonly Release[])[]): readonly Release[] {
  const merged = new Map<string, Release>();
  for (const release of perHost.flat()) {
    const known = merged.get(release.id);
    if (known === undefined || saysMore(release, known)) merged.set(release.id, release);
  }
  return [...merged.values()].toSorted(
    (a, b) => a.sequence - b.sequence || a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1),
  );
}

/** The number of the next release, of all that the hosts remember. */
export function nextSequence(merged: readonly Release[]): number {
  return Math.max(0, ...merged.map(({ sequence }) => sequence)) + 1;
}

/** A host that was lost during a release never heard of its end. */
function saysMore(release: Release, known: Release): boolean {
  if (known.outcome === undefined) return release.outcome !== undefined;
  return release.outcome !== undefined && (release.endedAt ?? 0) > (known.endedAt ?? 0);
}
