export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ms' | 'MB' | 'round trips' | '/s' | 's';
  /** What the value is divided by, if anything. */
  readonly base?: number;
  readonly limit?: {
    readonly at: number;
    readonly of: string;
    /** More is better: `at` is the least. */
    readonly isLeast?: boolean;
  };
}

/** What one host saw of a command. */
export interface HostUsage {
  readonly command: string;
  readonly host: string;
  readonly calls: number;
  readonly commands: number;
  readonly roundTrips: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export function hasFailed(row: Row): boolean {
  if (row.limit === undefined) return false;
  return !(row.limit.isLeast === true ? measured(row) >= row.limit.at : measured(row) <= row.limit.at);
}

/** A Markdown table, aligned so that it reads well in a terminal too. */
export function rowsTable(rows: readonly Row[]): string {
  return table(
    ['measured', 'value', 'ratio', 'limit', ''],
    rows.map((row) => [
      row.name,
      `${format(row.value)} ${row.unit}`,
      row.base === undefined ? '' : format(row.value / row.base),
      row.limit === undefined ? '' : `${row.limit.isLeast === true ? 'at least ' : ''}${row.limit.at} ${row.limit.of}`,
      row.limit === undefined ? '' : hasFailed(row) ? 'FAIL' : 'PASS',
    ]),
  );
}

export function usageTable(usages: readonly HostUsage[]): string {
  return table(
    ['command', 'host', 'API calls', 'commands', 'round trips', 'sent bytes', 'received bytes'],
    usages.map((usage) => [
      usage.command,
      usage.host,
      ...[usage.calls, usage.commands, usage.roundTrips, usage.sentBytes, usage.receivedBytes].map(String),
    ]),
  );
}

function measured(row: Row): number {
  return row.base === undefined ? row.value : row.value / row.base;
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
