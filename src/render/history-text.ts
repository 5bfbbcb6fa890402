import { formatMoment } from '../core/format.ts';
import { versionsOf } from '../core/release.ts';
import type { Release } from '../core/release.ts';
import { cleanLine } from './clean.ts';
import { table } from './table.ts';
import type { Theme } from './theme.ts';

const COLUMNS = [
  { title: 'when' },
  { title: 'id' },
  { title: 'version' },
  { title: 'commit' },
  { title: 'who' },
  { title: 'what' },
  { title: 'outcome' },
] as const;

const OUTCOME = COLUMNS.length - 1;

/** Newest first, a line for each release; `name` is that of the environment. */
export function historyText(releases: readonly Release[], name: string, theme: Theme): string {
  if (releases.length === 0) return `no release of ${name} is known`;
  const cells = releases.map((release) =>
    [
      formatMoment(release.startedAt),
      // Two releases may have one version, others have none: `cu rollback` takes an id as well.
      release.id,
      versionsOf(release).join(' ') || '-',
      commitText(release),
      release.who,
      [release.kind, ...release.targets].join(' '),
      outcomeText(release),
    ].map(cleanLine),
  );
  return table(COLUMNS, cells, (cell, column, row) => {
    if (row < 0) return theme.dim(cell);
    return column === OUTCOME ? paintOutcome(releases[row]?.outcome, theme)(cell) : cell;
  });
}

/** What `--json` promises of a release; its config and its hosts are cu's own affair. */
export function historyWire(release: Release): object {
  const { id, sequence, kind, targets, who, startedAt, endedAt, commit, isDirty, outcome, reason, origin } = release;
  return {
    id,
    sequence,
    kind,
    targets,
    who,
    startedAt: new Date(startedAt).toISOString(),
    endedAt: endedAt === undefined ? undefined : new Date(endedAt).toISOString(),
    commit,
    dirty: isDirty,
    outcome,
    reason,
    origin,
    versions: versionsOf(release),
    images: release.images,
    steps: release.steps,
  };
}

function commitText({ commit, isDirty }: Release): string {
  return commit === undefined ? '-' : `${commit.slice(0, 10)}${isDirty ? ' changed' : ''}`;
}

function outcomeText({ outcome, reason }: Release): string {
  if (outcome === undefined) return 'under way, or cut off';
  const text = outcome === 'rolled-back' ? 'rolled back' : outcome;
  return reason === undefined ? text : `${text}: ${reason}`;
}

function paintOutcome(outcome: Release['outcome'], theme: Theme): (text: string) => string {
  if (outcome === 'done') return theme.good;
  return outcome === 'failed' || outcome === 'rolled-back' ? theme.bad : theme.warn;
}
