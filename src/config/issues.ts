import type { z } from 'zod';
import { suggest } from '../core/suggest.ts';
import { knownNames } from '../kinds/fields.ts';
import { show, type Complaint, type Path } from './problem.ts';
import { toValue, valueAt, type Tree } from './tree.ts';

type Issue = z.core.$ZodIssue;

const MOST_KEYS = 100;

/** What zod found, in words for people: the wrong value, what was expected, what may be meant. */
export function describeIssue(issue: Issue, tree: Tree, prefix: Path = []): readonly Complaint[] {
  const path: Path = [...prefix, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, MOST_KEYS).map((key) => ({
        path: [...path, key],
        message: `unknown key ${show(key)}`,
        hint: didYouMean(key, knownNames(issue.message)),
        isKey: true,
      }));
    case 'invalid_union':
      return describeUnion(issue, tree, path);
    case 'invalid_key':
      return [
        {
          path,
          message: withValue(issue.issues[0]?.message ?? 'is no valid key', path.at(-1)),
          hint: nameHint(path.at(-1)),
          isKey: true,
        },
      ];
    case 'invalid_value': {
      const known = issue.values.map(String);
      const value = plainAt(tree, path);
      return [
        {
          path,
          message:
            value === undefined
              ? `is missing: expected ${known.join(', ')}`
              : withValue(`expected ${known.join(', ')}`, value),
          hint: didYouMean(String(value), known),
        },
      ];
    }
    case 'invalid_type':
      return [describeType(issue, tree, path)];
    case 'custom': {
      const { hint, isKey } = paramsOf(issue);
      const says = issue.message.startsWith('expected ') || issue.message.startsWith('must be ');
      return [{ path, message: says ? withValue(issue.message, plainAt(tree, path)) : issue.message, hint, isKey }];
    }
    case 'too_small':
    case 'too_big':
    case 'invalid_format':
    case 'not_multiple_of':
    case 'invalid_element':
      return [
        {
          path,
          message: withValue(issue.message, plainAt(tree, path)),
          hint: issue.code === 'invalid_format' ? nameHint(plainAt(tree, path)) : undefined,
        },
      ];
  }
}

function describeUnion(issue: Extract<Issue, { code: 'invalid_union' }>, tree: Tree, path: Path): readonly Complaint[] {
  const known = knownNames(issue.message);
  if (known.length > 0) {
    const value = plainAt(tree, path);
    const service = valueAt(tree, path.slice(0, -1));
    if (service?.type !== 'map')
      return [{ path: path.slice(0, -1), message: `expected a map, got ${show(plainAt(tree, path.slice(0, -1)))}` }];
    const message =
      value === undefined
        ? `is missing: expected ${known.join(', ')}`
        : withValue(`expected ${known.join(', ')}`, value);
    return [{ path, message, hint: didYouMean(String(value), known) }];
  }
  // The alternative that was meant is the one whose outermost type fits.
  const meant = (issue.errors ?? []).filter(
    (errors) =>
      !errors.some((error) => error.path.length === 0 && ['invalid_type', 'invalid_value'].includes(error.code)),
  );
  const [only] = meant;
  if (meant.length === 1 && only !== undefined) return only.flatMap((error) => describeIssue(error, tree, path));
  if (issue.message.startsWith('expected')) return [{ path, message: withValue(issue.message, plainAt(tree, path)) }];
  const first = (issue.errors ?? [])
    .flat()
    .map((error) => describeIssue(error, tree, path)[0]?.message.replace(/, got .*$/, '') ?? '');
  const expected = [...new Set(first)].map((text) => text.replace(/^expected /, '')).join(' or ');
  return [{ path, message: withValue(`expected ${expected}`, plainAt(tree, path)) }];
}

function describeType(issue: Extract<Issue, { code: 'invalid_type' }>, tree: Tree, path: Path): Complaint {
  const value = plainAt(tree, path);
  const expected = issue.message.startsWith('expected ')
    ? issue.message
    : `expected ${TYPES[issue.expected] ?? issue.expected}`;
  if (value === undefined)
    return { path, message: issue.message.startsWith('expected ') ? `is missing: ${expected}` : 'is missing' };
  const isEmptyMap = value === null && ['object', 'record'].includes(issue.expected);
  const isNumber = typeof value === 'number' && issue.expected === 'string';
  const hint = isEmptyMap ? 'write {} for no settings' : isNumber ? numberHint(value, expected) : undefined;
  return { path, message: withValue(expected, value), hint };
}

function numberHint(value: number, expected: string): string | undefined {
  if (expected.includes(':PORT')) return `write "*:${value}" to listen on all addresses`;
  if (expected.includes('a duration')) return `did you mean ${value}s?`;
  return expected.includes('an amount') ? `did you mean ${value}m?` : `quote it: "${value}"`;
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
};

export function didYouMean(text: string, names: readonly string[]): string | undefined {
  const near = suggest(text, names);
  return near === undefined ? undefined : `did you mean ${near}?`;
}

function nameHint(value: unknown): string | undefined {
  if (typeof value !== 'string' || !/^[A-Za-z][A-Za-z0-9_ -]{0,39}$/.test(value)) return undefined;
  const better = value
    .toLowerCase()
    .replaceAll(/[_ -]+/g, '-')
    .replace(/-$/, '');
  return better === value ? undefined : `did you mean ${better}?`;
}

function withValue(message: string, value: unknown): string {
  return value === undefined ? message : `${message}, got ${show(value)}`;
}

function plainAt(tree: Tree, path: Path): unknown {
  const found = valueAt(tree, path);
  if (found === undefined) return undefined;
  return found.type === 'list' ? [] : found.type === 'map' ? {} : toValue(found);
}

function paramsOf(issue: Extract<Issue, { code: 'custom' }>): { readonly hint?: string; readonly isKey?: boolean } {
  const { hint, isKey } = issue.params ?? {};
  return { ...(typeof hint === 'string' ? { hint } : {}), ...(isKey === true ? { isKey } : {}) };
}
