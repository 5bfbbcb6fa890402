import { formatBytes } from '../core/format.ts';
import { table } from './table.ts';
import type { Theme } from './theme.ts';

export interface PurgeItem {
  readonly host: string;
  readonly type: string;
  readonly name: string;
  readonly why: string;
  readonly bytes: number | undefined;
}

/** What would be freed, or what was. */
export function purgeText(
  { items, isRemoved }: { readonly items: readonly PurgeItem[]; readonly isRemoved: boolean },
  theme: Theme,
): string {
  if (items.length === 0) return 'nothing to purge';
  const columns = [
    { title: 'host' },
    { title: 'what' },
    { title: 'name' },
    { title: 'size', align: 'right' },
    { title: 'why' },
  ] as const;
  const rows = items.map((item) => [
    item.host,
    item.type,
    item.name,
    item.bytes === undefined ? '-' : formatBytes(item.bytes),
    item.why,
  ]);
  const total = formatBytes(items.reduce((sum, item) => sum + (item.bytes ?? 0), 0));
  const end = isRemoved
    ? `removed ${items.length}, freed up to ${total}`
    : `would remove ${items.length} and free up to ${total}; \`--yes\` does it`;
  return [
    table(columns, rows, (cell, column, row) => (row < 0 ? theme.dim(cell) : column === 0 ? theme.name(cell) : cell)),
    '',
    end,
  ].join('\n');
}
