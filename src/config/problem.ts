import { CuError } from '../core/error.ts';

export type Path = readonly (string | number)[];

/** Something wrong in the config, before it has a place in the file. */
export interface Complaint {
  readonly path: Path;
  readonly message: string;
  readonly hint?: string | undefined;
  /** The key itself is what is wrong, not its value. */
  readonly isKey?: boolean | undefined;
}

/** Something wrong in the config, and where. */
export interface Problem {
  readonly file: string;
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;
  /** `services.web.replicas`; empty when it is about the whole file. */
  readonly path: string;
  readonly message: string;
  readonly hint: string | undefined;
  /** The line of the file, or undefined when there is none to show. */
  readonly source: string | undefined;
}

const WIDEST_SOURCE = 120;

/** `cu.config.yaml:4:34 services.web.replics: unknown key "replics"`, the line, a caret and what may be meant. */
export function formatProblem(problem: Problem): string {
  const where = `${problem.file}:${problem.line}:${problem.column}`;
  const what = problem.path === '' ? problem.message : `${problem.path}: ${problem.message}`;
  const lines = [`${where} ${printable(what)}`];
  if (problem.source !== undefined) {
    // A very long line is shown around what is wrong.
    const from = problem.column > WIDEST_SOURCE - 20 ? problem.column - WIDEST_SOURCE / 2 : 0;
    const shown = printable(problem.source.slice(from, from + WIDEST_SOURCE)).trimEnd();
    lines.push(`  ${shown}`, `  ${' '.repeat(Math.max(0, problem.column - 1 - from))}^`);
  }
  if (problem.hint !== undefined) lines.push(`  ${printable(problem.hint)}`);
  return lines.join('\n');
}

const MOST_SHOWN = 50;

/** Every problem of a config at once; `problems` has their places, for annotations in CI. */
export class ConfigError extends CuError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const shown = problems.slice(0, MOST_SHOWN).map(formatProblem);
    const rest = problems.length - shown.length;
    super('CONFIG_INVALID', [...shown, ...(rest > 0 ? [`and ${rest} more`] : [])].join('\n'));
    this.problems = problems;
  }
}

/** `services.web.env."a b"`. */
export function formatPath(path: Path): string {
  return path.map((part) => (/^[\w-]+$/.test(String(part)) ? String(part) : show(part))).join('.');
}

/** A value as it is quoted in a message: short, on one line. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Keeps what a hostile file contains from steering the terminal; tabs stay one column wide. */
function printable(text: string): string {
  return text.replaceAll('\t', ' ').replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\uD800-\uDFFF]/gu, '?');
}
