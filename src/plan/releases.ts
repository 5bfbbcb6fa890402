import { CuError } from '../core/error.ts';
import { versionsOf } from '../core/release.ts';
import type { Commit, Release } from '../core/release.ts';
import { suggest } from '../core/suggest.ts';

const MOST_KNOWN = 10;

/**
 * Which release `cu rollback` goes back to, of a history that is sorted oldest first. Only releases of the whole
 * environment count, because others know only some of its images.
 */
export function previousHealthy(
  history: readonly Release[],
  { version }: { readonly version?: string | undefined } = {},
): Release | CuError {
  const healthy = history.filter(({ targets, outcome }) => targets.length === 0 && outcome === 'done');
  if (version !== undefined) {
    const named = healthy.findLast((release) => isNamed(release, version));
    return named === undefined ? unknownVersion(healthy, version) : originOf(named, history);
  }
  const newest = history.at(-1);
  const before = newest?.outcome === 'done' ? placeOf(newest, history) : Number.POSITIVE_INFINITY;
  // What only finished an earlier one, such as a drain that was not waited for, is no way back.
  const found = healthy.findLast(
    (each) => each.sequence < before && (newest?.outcome !== 'done' || !isSame(each, newest)),
  );
  return found === undefined ? nothingBefore(healthy) : originOf(found, history);
}

/**
 * What a release was built from, of a history that is sorted oldest first. A rollback or a promotion that an earlier cu
 * recorded has no commit of its own: it has that of its versions.
 */
export function commitOf(release: Release, history: readonly Release[]): Commit {
  return release.commit === undefined ? commitOfVersions(versionsOf(release), history) : pickCommit(release);
}

/** That of the release which first built one of these versions, as far as it is remembered. */
export function commitOfVersions(versions: readonly string[], history: readonly Release[]): Commit {
  const first = history.find(
    (release) => release.commit !== undefined && versionsOf(release).some((version) => versions.includes(version)),
  );
  return first === undefined ? { commit: undefined, isDirty: false } : pickCommit(first);
}

function pickCommit({ commit, isDirty }: Release): Commit {
  return { commit, isDirty };
}

/** Where in time what runs now comes from, so that going back twice goes further back. */
function placeOf(newest: Release, history: readonly Release[]): number {
  if (newest.origin === undefined) return newest.sequence;
  const origin = history.find(({ id }) => id === newest.origin);
  // Forgotten by now: all that is still known is newer.
  return origin?.sequence ?? Number.NEGATIVE_INFINITY;
}

/** Whether one of them leaves hosts as the other does. */
function isSame(one: Release, other: Release): boolean {
  const kept = ({ images, config }: Release): string =>
    JSON.stringify([Object.entries(images).toSorted(byName), config]);
  return kept(one) === kept(other);
}

function byName([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}

/** What a rollback went back to; itself when that is forgotten, because both are the same. */
function originOf(release: Release, history: readonly Release[]): Release {
  return history.find(({ id }) => id === release.origin) ?? release;
}

function isNamed(release: Release, version: string): boolean {
  return versionsOf(release).includes(version) || (version !== '' && release.id.startsWith(version));
}

function nothingBefore(healthy: readonly Release[]): CuError {
  const message =
    healthy.length === 0
      ? 'no deploy of the whole environment has succeeded yet'
      : 'nothing older is known to go back to';
  return new CuError('USAGE', message, { hint: '`cu history` shows what is known' });
}

function unknownVersion(healthy: readonly Release[], version: string): CuError {
  const releases = healthy.toReversed();
  const known = [...new Set(releases.flatMap((release) => namesOf(release)))];
  const meant = suggest(version, [...known, ...releases.map(({ id }) => id)]);
  const list = known.slice(0, MOST_KNOWN).join(', ');
  const more = known.length > MOST_KNOWN ? ', ... (`cu history` has all)' : '';
  const there =
    known.length === 0 ? 'no deploy of the whole environment has succeeded yet' : `there are ${list}${more}`;
  return new CuError('USAGE', `no release that succeeded is called ${JSON.stringify(version)}`, {
    hint: meant === undefined ? there : `did you mean ${meant}? ${there}`,
  });
}

/** By what people call it: the versions that it built, else its id. */
function namesOf(release: Release): readonly string[] {
  const versions = versionsOf(release);
  return versions.length === 0 ? [release.id] : versions;
}
