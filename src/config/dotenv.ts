/** A line of a secrets file that is no `NAME=value`; what it holds may be secret and is not shown. */
export interface DotenvError {
  readonly line: number;
  readonly message: string;
}

export type DotenvResult =
  | { readonly type: 'values'; readonly values: ReadonlyMap<string, string> }
  | { readonly type: 'error'; readonly error: DotenvError };

/** `NAME=value` lines with `#` comments and an optional `export`; a quoted value may go over several lines. */
export function parseDotenv(text: string): DotenvResult {
  const values = new Map<string, string>();
  const lines = text
    .replace(/^\uFEFF/, '')
    .replaceAll('\r\n', '\n')
    .split('\n');
  for (let index = 0; index < lines.length; index += 1) {
    const line = (lines[index] ?? '').trim();
    if (line === '' || line.startsWith('#')) continue;
    const match = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/.exec(line);
    const [, name, start = ''] = match ?? [];
    if (name === undefined) return failed(index, 'expected NAME=value');
    const quote = start[0];
    if (quote !== '"' && quote !== "'") {
      values.set(name, start.replace(/(^|\s)#.*$/, '').trim());
      continue;
    }
    // The raw line again, as what stands at the end of a line belongs to a quoted value.
    const raw = lines[index] ?? '';
    const rest = [raw.slice(raw.indexOf(quote) + 1), ...lines.slice(index + 1)];
    const quoted = readQuoted(rest, quote);
    if (quoted === undefined) return failed(index, `the quote that begins the value of ${name} never ends`);
    values.set(name, quoted.value);
    index += quoted.lines;
  }
  return { type: 'values', values };
}

function failed(index: number, message: string): DotenvResult {
  return { type: 'error', error: { line: index + 1, message } };
}

function readQuoted(
  lines: readonly string[],
  quote: '"' | "'",
): { readonly value: string; readonly lines: number } | undefined {
  const parts: string[] = [];
  for (const [index, line] of lines.entries()) {
    const end = endOf(line, quote);
    parts.push(end === undefined ? line : line.slice(0, end));
    if (end === undefined) continue;
    const value = parts.join('\n');
    return { value: quote === "'" ? value : unescape(value), lines: index };
  }
  return undefined;
}

function endOf(line: string, quote: '"' | "'"): number | undefined {
  for (let index = 0; index < line.length; index += 1) {
    if (quote === '"' && line[index] === '\\') index += 1;
    else if (line[index] === quote) return index;
  }
  return undefined;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function unescape(value: string): string {
  return value.replaceAll(/\\([\s\S])/g, (_all, character: string) => ESCAPES[character] ?? character);
}
