import { formatBytes } from '../core/format.ts';
import { cleanLine } from './clean.ts';
import { duration } from './duration.ts';
import { table } from './table.ts';
import type { Theme } from './theme.ts';

/** What could go from the storage, and why. */
export interface StoragePlan {
  readonly id: string;
  readonly count: number;
  readonly bytes: number;
  readonly reasons: Readonly<Record<string, { readonly count: number; readonly bytes: number }>>;
  /** When the oldest of it was last used. */
  readonly oldest: string | null;
  readonly share: number;
  readonly needsConfirm: boolean;
}

/** What went or came back; `left` is what stayed where it was. */
export interface StorageMove {
  readonly count: number;
  readonly bytes: number;
  readonly left: number;
}

export interface Trash {
  readonly id: string;
  readonly count: number;
  readonly bytes: number;
  readonly time: string | null;
}

export interface StoragePurgeRow {
  readonly host: string;
  readonly scope: string;
  readonly plan: StoragePlan;
  readonly moved: StorageMove | undefined;
}

export function storagePurgeText({ host, scope, plan, moved }: StoragePurgeRow, theme: Theme): string {
  if (plan.count === 0) return `nothing of the ${scope} can go`;
  const rows = Object.entries(plan.reasons).map(([reason, { count, bytes }]) => [
    cleanLine(reason),
    String(count),
    formatBytes(bytes),
  ]);
  const columns = [{ title: 'why' }, { title: 'files', align: 'right' }, { title: 'size', align: 'right' }] as const;
  const oldest = plan.oldest === null ? '' : `, the oldest last used ${cleanLine(plan.oldest)}`;
  const share = `${(plan.share * 100).toFixed(plan.share < 0.1 ? 1 : 0)}% of the ${scope}`;
  return [
    `${theme.name(host)}  ${plan.count} files, ${formatBytes(plan.bytes)}, ${share}${oldest}`,
    '',
    table(columns, rows, (cell, _column, row) => (row < 0 ? theme.dim(cell) : cell)),
    '',
    moved === undefined ? notYet(plan) : movedText(scope, plan, moved),
  ].join('\n');
}

function notYet({ count, needsConfirm }: StoragePlan): string {
  const flags = needsConfirm ? `--yes --confirm ${count}` : '--yes';
  return `nothing was moved; the same command with \`${flags}\` moves it to the trash`;
}

function movedText(scope: string, { id }: StoragePlan, { count, bytes, left }: StorageMove): string {
  const stayed = left === 0 ? '' : `; ${left} stayed, because they were used or changed meanwhile`;
  return [
    `moved ${count} files to the trash, ${formatBytes(bytes)}${stayed}`,
    `\`cu purge ${scope} --restore ${cleanLine(id)}\` brings them back, \`cu purge ${scope} --empty --yes\` frees their space`,
  ].join('\n');
}

export function restoreText({ count, bytes, left }: StorageMove): string {
  const stay = left === 0 ? '' : `; ${left} stay in the trash, because there are newer ones`;
  return `brought back ${count} files, ${formatBytes(bytes)}${stay}`;
}

export function trashText(
  {
    trash,
    removed,
    olderThanMs,
  }: { readonly trash: readonly Trash[]; readonly removed: StorageMove | undefined; readonly olderThanMs: number },
  theme: Theme,
): string {
  if (trash.length === 0) return 'the trash is empty';
  if (removed !== undefined) {
    const back = removed.left === 0 ? '' : `; ${removed.left} were needed after all and came back`;
    return `removed ${removed.count} files for good, ${formatBytes(removed.bytes)}${back}`;
  }
  const columns = [
    { title: 'plan' },
    { title: 'moved there' },
    { title: 'files', align: 'right' },
    { title: 'size', align: 'right' },
  ] as const;
  const rows = trash.map(({ id, time, count, bytes }) => [
    cleanLine(id),
    time === null ? 'unknown' : cleanLine(time),
    String(count),
    formatBytes(bytes),
  ]);
  return [
    table(columns, rows, (cell, _column, row) => (row < 0 ? theme.dim(cell) : cell)),
    '',
    `nothing was removed; \`--yes\` removes for good what has lain there for more than ${duration(olderThanMs)}`,
  ].join('\n');
}
