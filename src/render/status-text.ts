import { formatBytes } from '../core/format.ts';
import { cleanLine } from './clean.ts';
import { duration } from './duration.ts';
import { table } from './table.ts';
import type { Theme } from './theme.ts';

/**
 * One instance that runs or that should, a container that is there besides, or the proxy of a host (service `proxy`);
 * undefined where it is not known.
 */
export interface StatusRow {
  readonly host: string;
  readonly service: string;
  readonly instance: string;
  readonly version: string | undefined;
  /** The engine's state, or `missing`, `unreachable`. */
  readonly state: string;
  readonly health: string;
  readonly uptimeMs: number | undefined;
  readonly cpuPercent: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly memoryLimitBytes: number | undefined;
  /** At which it is reached; behind a proxy those of the proxy. */
  readonly ports: readonly string[];
  /** How the proxy of its host sees it, such as `UP, 3 requests`. */
  readonly proxy: string | undefined;
  /** How it differs from the config, in words a user knows. */
  readonly drift: readonly string[];
}

const COLUMNS = [
  { title: 'host' },
  { title: 'service' },
  { title: 'instance' },
  { title: 'version' },
  { title: 'state' },
  { title: 'health' },
  { title: 'uptime', align: 'right' },
  { title: 'cpu', align: 'right' },
  { title: 'memory', align: 'right' },
  { title: 'ports' },
  { title: 'proxy' },
] as const;

/** The table of what runs where, and below it what is not as the config says. */
export function statusText(rows: readonly StatusRow[], theme: Theme): string {
  if (rows.length === 0) return 'nothing runs, and nothing is configured to';
  const cells = rows.map((row) =>
    [
      row.host,
      row.service,
      row.instance,
      row.version ?? '-',
      row.state,
      row.health === 'none' ? '-' : row.health,
      row.uptimeMs === undefined ? '-' : duration(row.uptimeMs),
      row.cpuPercent === undefined ? '-' : `${row.cpuPercent.toFixed(1)}%`,
      memoryText(row),
      row.ports.length === 0 ? '-' : row.ports.join(' '),
      row.proxy ?? '-',
    ].map(cleanLine),
  );
  // Most projects have no webserver, and no need of an empty column.
  const columns = rows.some((row) => row.proxy !== undefined) ? COLUMNS : COLUMNS.slice(0, -1);
  const text = table(
    columns,
    cells.map((row) => row.slice(0, columns.length)),
    (cell, column, row) => (row < 0 ? theme.dim(cell) : paintCell(cell, column, theme)),
  );
  const drifted = rows.filter((row) => row.drift.length > 0);
  if (drifted.length === 0) return text;
  const notes = drifted.map(
    (row) => `${theme.warn('drift:')} ${row.host}/${row.service}/${row.instance}: ${cleanLine(row.drift.join(', '))}`,
  );
  return [text, '', ...notes, `\`cu plan\` says what a deploy would do about it`].join('\n');
}

function memoryText({ memoryBytes, memoryLimitBytes }: StatusRow): string {
  if (memoryBytes === undefined) return '-';
  return memoryLimitBytes === undefined
    ? formatBytes(memoryBytes)
    : `${formatBytes(memoryBytes)} / ${formatBytes(memoryLimitBytes)}`;
}

function paintCell(cell: string, column: number, theme: Theme): string {
  const title = COLUMNS[column]?.title;
  if (title === 'host') return theme.name(cell);
  if (title !== 'state' && title !== 'health') return cell;
  if (['running', 'healthy'].includes(cell)) return theme.good(cell);
  return ['starting', 'restarting', 'created', 'paused', '-'].includes(cell) ? theme.warn(cell) : theme.bad(cell);
}
