import { posix } from 'node:path';
import { CuError } from '../core/error.ts';

/** Tells which paths of a context a `.dockerignore` leaves out; paths are relative, with `/`. */
export interface IgnoreMatcher {
  /** Also true for what lies in an ignored directory, unless a later `!` takes it back. */
  isIgnored(path: string): boolean;
  /** False when nothing below this ignored directory can be taken back, so that it need not be read. */
  mayHoldExceptions(directory: string): boolean;
}

interface Pattern {
  readonly text: string;
  readonly isException: boolean;
  readonly matches: (path: string) => boolean;
}

export const NOTHING_IGNORED: IgnoreMatcher = { isIgnored: () => false, mayHoldExceptions: () => false };

/** The rules of moby/patternmatcher, which both of Docker's builders use; the quirks are theirs. */
export function parseIgnore(text: string, file = '.dockerignore'): IgnoreMatcher {
  const patterns = readPatterns(text).map((line) => compile(line, file));
  const exceptions = patterns.filter((pattern) => pattern.isException);
  const onlyPlainExceptions = exceptions.every((pattern) => !/[*?[\\]/.test(pattern.text));

  return {
    isIgnored(path) {
      let ignored = false;
      for (const pattern of patterns) {
        if (pattern.isException === ignored && matchesOrParent(pattern, path)) ignored = !pattern.isException;
      }
      return ignored;
    },
    mayHoldExceptions(directory) {
      if (!onlyPlainExceptions) return true;
      return exceptions.some((pattern) => `${pattern.text}/`.startsWith(`${directory}/`));
    },
  };
}

/** Lines as patterns: comments and blanks gone, cleaned, without the leading slash. */
export function readPatterns(text: string): readonly string[] {
  const patterns: string[] = [];
  for (const line of text.replace(/^\uFEFF/, '').split('\n')) {
    const trimmed = line.trim();
    // Only a `#` in the very first column makes a comment.
    if (line.startsWith('#') || trimmed === '') continue;
    const isException = trimmed.startsWith('!');
    const body = isException ? trimmed.slice(1).trim() : trimmed;
    const cleaned = body === '' ? '' : clean(body);
    const relative = cleaned.length > 1 && cleaned.startsWith('/') ? cleaned.slice(1) : cleaned;
    patterns.push(isException ? `!${relative}` : relative);
  }
  return patterns;
}

function clean(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

function matchesOrParent(pattern: Pattern, path: string): boolean {
  if (pattern.matches(path)) return true;
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    if (pattern.matches(path.slice(0, slash))) return true;
  }
  return false;
}

function compile(line: string, file: string): Pattern {
  const isException = line.startsWith('!');
  const text = isException ? line.slice(1) : line;
  if (text === '') {
    throw new CuError('BUILD_FAILED', `illegal exclusion pattern "!" in ${file}`, {
      hint: 'write the path after the !, or remove the line',
    });
  }
  const matches = compileMatch(text);
  if (matches === undefined) {
    throw new CuError('BUILD_FAILED', `syntax error in pattern "${text}" in ${file}`, {
      hint: 'close every [ with a ], and put a character after every \\',
    });
  }
  return { text, isException, matches };
}

interface Scan {
  readonly chars: readonly string[];
  at: number;
}

type MatchType = 'exact' | 'prefix' | 'suffix' | 'expression';

function compileMatch(text: string): ((path: string) => boolean) | undefined {
  const scan: Scan = { chars: Array.from(text), at: 0 };
  let source = '';
  let type: MatchType = 'exact';
  while (scan.at < scan.chars.length) {
    const isFirst = scan.at === 0;
    const char = scan.chars[scan.at++] ?? '';
    if (char === '*' && scan.chars[scan.at] === '*') {
      scan.at += 1;
      if (scan.chars[scan.at] === '/') scan.at += 1;
      const isLast = scan.at >= scan.chars.length;
      if (isLast && type === 'exact') type = 'prefix';
      else type = 'expression';
      source += isLast ? '.*' : '(.*/)?';
      if (isFirst) type = 'suffix';
      continue;
    }
    if (char === '*' || char === '?') {
      source += char === '*' ? '[^/]*' : '[^/]';
      type = 'expression';
    } else if (char === '[') {
      const group = readGroup(scan);
      if (group === undefined) return undefined;
      source += group;
      type = 'expression';
    } else if (char === '\\') {
      const escaped = scan.chars[scan.at++];
      if (escaped === undefined) return undefined;
      source += literal(escaped);
      type = 'expression';
    } else {
      source += literal(char);
    }
  }
  return matcherOf(type, text, source);
}

function matcherOf(type: MatchType, text: string, source: string): (path: string) => boolean {
  switch (type) {
    case 'exact':
      return (path) => path === text;
    case 'prefix': {
      const prefix = text.slice(0, -2);
      return (path) => path.startsWith(prefix);
    }
    case 'suffix': {
      // `**file` means any path that ends so, `**/file` the name at any depth, also at the top.
      const suffix = text.slice(2);
      return (path) => path.endsWith(suffix) || (suffix.startsWith('/') && path === suffix.slice(1));
    }
    case 'expression': {
      const expression = new RegExp(`^${source}$`, 'us');
      return (path) => expression.test(path);
    }
  }
}

/** A `[a-z]` group by the grammar of Go's filepath.Match, as part of an expression. */
function readGroup(scan: Scan): string | undefined {
  let source = '[';
  if (scan.chars[scan.at] === '^') {
    scan.at += 1;
    source += '^';
  }
  for (let count = 0; ; count += 1) {
    if (scan.chars[scan.at] === ']' && count > 0) {
      scan.at += 1;
      return `${source}]`;
    }
    const low = readGroupChar(scan);
    if (low === undefined) return undefined;
    source += literal(low);
    if (scan.chars[scan.at] !== '-') continue;
    scan.at += 1;
    const high = readGroupChar(scan);
    if (high === undefined) return undefined;
    // A range that is upside down matches nothing in Go, and is an error in JavaScript.
    if ((high.codePointAt(0) ?? 0) >= (low.codePointAt(0) ?? 0)) source += `-${literal(high)}`;
  }
}

function readGroupChar(scan: Scan): string | undefined {
  const char = scan.chars[scan.at++];
  if (char === undefined || char === '-' || char === ']') return undefined;
  return char === '\\' ? scan.chars[scan.at++] : char;
}

function literal(char: string): string {
  return /[\\^$.*+?()[\]{}|/-]/.test(char) ? `\\${char}` : char;
}
