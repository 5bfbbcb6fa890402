export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Left-aligned columns two spaces apart, no trailing blanks; `paint` colours a cell after its width is known. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  paint: (text: string, column: number, row: number) => string = (text) => text,
): string {
  const widths = columns.map((column, index) =>
    Math.max(width(column.title), ...rows.map((row) => width(row[index] ?? ''))),
  );
  const line = (cells: readonly string[], row: number): string =>
    columns
      .map((column, index) => {
        const text = cells[index] ?? '';
        const blanks = ' '.repeat((widths[index] ?? 0) - width(text));
        const painted = paint(text, index, row);
        if (column.align === 'right') return blanks + painted;
        return index === columns.length - 1 ? painted : painted + blanks;
      })
      .join('  ')
      .trimEnd();
  const header = line(
    columns.map((column) => column.title),
    -1,
  );
  return [header, ...rows.map((row, index) => line(row, index))].join('\n');
}

/** Cells that a terminal uses; wide scripts take two. */
export function width(text: string): number {
  let cells = 0;
  for (const character of text) cells += isWide(character.codePointAt(0) ?? 0) ? 2 : 1;
  return cells;
}

/** Cut to `cells`, the last one an ellipsis. */
export function truncate(text: string, cells: number): string {
  if (width(text) <= cells) return text;
  let result = '';
  let used = 0;
  for (const character of text) {
    const needed = isWide(character.codePointAt(0) ?? 0) ? 2 : 1;
    if (used + needed > cells - 1) break;
    result += character;
    used += needed;
  }
  return `${result}…`;
}

function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  );
}
