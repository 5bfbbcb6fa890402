import { CuErrors, type CuError } from '../core/error.ts';
import { hintFor } from '../core/hints.ts';
import { clean } from './clean.ts';
import type { Theme } from './theme.ts';

/** `cu.config.yaml:4:34 services.web: ...`, at the start of a line. */
const AT_CONFIG = /^\S+:\d+:\d+ /m;

/** What a person reads: host, step and what went wrong; the command; what it said; what to do next. */
export function errorText(error: CuError, theme: Theme): string {
  return groupErrors(flattenErrors(error))
    .map((group) => oneError(group, theme))
    .join('\n');
}

/** A bug in cu, with all that a report needs. */
export function bugText(error: unknown, version: string, theme: Theme): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const lines = clean(stack)
    .split('\n')
    .map((line) => `  ${line}`);
  return [
    `${theme.bad('cu:')} a bug in cu ${version}`,
    ...lines,
    '  please report it, with the command and the lines above',
  ].join('\n');
}

export function flattenErrors(error: CuError): readonly CuError[] {
  return error instanceof CuErrors ? error.errors.flatMap(flattenErrors) : [error];
}

interface ErrorGroup {
  readonly error: CuError;
  readonly hosts: readonly string[];
}

/** The same error on many hosts is one, with the list of hosts. */
function groupErrors(errors: readonly CuError[]): readonly ErrorGroup[] {
  const groups = new Map<string, { error: CuError; hosts: string[] }>();
  for (const error of errors) {
    const key = JSON.stringify(
      [error.code, messageOf(error), error.detail, error.hint].map((part) => withoutHost(part, error.host)),
    );
    const group = groups.get(key) ?? { error, hosts: [] };
    if (error.host !== undefined && !group.hosts.includes(error.host)) group.hosts.push(error.host);
    groups.set(key, group);
  }
  return [...groups.values()];
}

function oneError({ error, hosts }: ErrorGroup, theme: Theme): string {
  const hint = error.hint ?? hintFor(error.code, [error.message, error.detail]);
  const where = hosts.length === 0 ? '' : `${hosts.join(', ')}: `;
  const first = `${theme.bad('cu:')} ${where}${indentRest(clean(messageOf(error)))}`;
  const command = error.command === undefined ? [] : [theme.dim(`  $ ${indentRest(clean(error.command))}`)];
  const next = hint === undefined ? [] : [`  ${theme.info('hint:')} ${indentRest(clean(hint))}`];
  const detail = clean(error.detail ?? '').replace(/\n+$/, '');
  // Editors and terminals find `file:line:column` at the start of a line.
  if (isAboutConfig(error) && AT_CONFIG.test(detail)) return [detail, first, ...next].join('\n');
  if (isAboutConfig(error) && AT_CONFIG.test(error.message)) return [clean(error.message), ...next].join('\n');
  return [first, ...command, ...(detail === '' ? [] : [indent(detail)]), ...next].join('\n');
}

/** Errors that may know the place in the config. */
export function isAboutConfig(error: CuError): boolean {
  return error.code === 'CONFIG_INVALID' || error.code === 'SECRET_MISSING';
}

function messageOf(error: CuError): string {
  return error.host !== undefined && error.message.startsWith(`${error.host}: `)
    ? error.message.slice(error.host.length + 2)
    : error.message;
}

function withoutHost(text: string | undefined, host: string | undefined): string | undefined {
  return host === undefined ? text : text?.replaceAll(host, 'HOST');
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '  ');
}

function indentRest(text: string): string {
  return text.replaceAll('\n', '\n  ');
}
