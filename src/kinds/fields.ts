import { z } from 'zod';
import type { MemoryAmount, MountSpec, PortSpec } from '../core/state.ts';
import {
  LONGEST_MS,
  BYTES_PATTERN,
  DURATION_PATTERN,
  parseBytes,
  parseDuration,
  parseShare,
  SHARE_PATTERN,
} from '../core/units.ts';

/** An object with these keys and no other; its complaint lists the keys, for a suggestion. */
export function strict<const S extends z.ZodRawShape>(shape: S): z.ZodObject<S, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? listKnown(Object.keys(shape)) : undefined),
  });
}

const KNOWN = 'known: ';

export function listKnown(names: readonly string[]): string {
  return `${KNOWN}${names.join(' ')}`;
}

export function knownNames(message: string): readonly string[] {
  return message.startsWith(KNOWN) ? message.slice(KNOWN.length).split(' ') : [];
}

interface Reading<T> {
  readonly what: string;
  readonly pattern?: string;
  readonly read: (text: string) => T | undefined;
  /** What was probably meant by a text that cannot be read. */
  readonly hint?: (text: string) => string | undefined;
}

/** A text that is parsed here, once; `what` says what it should have been. */
export function reading<T>({ what, pattern, read, hint }: Reading<T>) {
  const text = z.string({ error: `expected ${what}` });
  const described = pattern === undefined ? text : text.meta({ pattern });
  return described.transform((value, context): T => {
    const result = read(value);
    if (result !== undefined) return result;
    context.addIssue({ code: 'custom', message: `expected ${what}`, params: { hint: hint?.(value) } });
    return z.NEVER;
  });
}

/** A text of a given form. */
export function matching(what: string, pattern: RegExp, longest = 255) {
  return z
    .string({ error: `expected ${what}` })
    .regex(pattern, `expected ${what}`)
    .max(longest, `expected at most ${longest} characters`);
}

const NAME_RULE = 'a name of a-z, 0-9 and - that begins with a letter';

export const name = matching(NAME_RULE, /^[a-z](-?[a-z0-9])*$/, 40);
export const instanceName = matching('a name of a-z, 0-9 and -', /^[a-z0-9](-?[a-z0-9])*$/, 40);
export const hostName = matching('a name of letters, digits, . - and _', /^[A-Za-z0-9][A-Za-z0-9._-]*$/, 63);
export const reference = z.string({ error: 'expected a name' }).min(1, 'expected a name');
export const variableName = matching('a name of letters, digits and _', /^[A-Za-z_][A-Za-z0-9_]*$/);
export const plainText = matching('a text on one line', /^[^\0-\x08\x0a-\x1f\x7f]*$/, 65_536);
export const filledText = matching('a text on one line', /^[^\0-\x08\x0a-\x1f\x7f]+$/, 4096);
export const absolutePath = matching('an absolute path', /^\/[^\0-\x1f\x7f]*$/, 4096);
export const filePath = matching('a path', /^[^\0-\x1f\x7f]+$/, 4096);
export const secretReference = strict({ secret: variableName });

/** Environment values; a number or a flag is taken as it is written. */
export const envValue = z
  .union([z.string(), z.number(), z.boolean()], { error: 'expected a text, a number, true or false' })
  .transform((value, context) => {
    const text = String(value);
    if (!text.includes('\0')) return text;
    context.addIssue({ code: 'custom', message: 'expected a text without a NUL character' });
    return z.NEVER;
  });

export const words = z
  .array(envValue, { error: 'expected a list of words, such as [python, -m, tiles]' })
  .min(1, 'expected at least one word');

export function wholeNumber(least: number, most: number) {
  return z
    .int({ error: 'expected a whole number' })
    .min(least, `must be ${least} or more`)
    .max(most, `must be ${most} or less`);
}

export const count = wholeNumber(1, 1000);
export const portNumber = wholeNumber(1, 65_535);

export const bytes = reading({
  what: 'an amount such as 512m or 2g',
  pattern: BYTES_PATTERN,
  read: parseBytes,
  hint: bytesHint,
});

export const duration = reading({
  what: 'a duration such as 30s or 10m',
  pattern: DURATION_PATTERN,
  read: (text) => atMost(parseDuration(text), LONGEST_MS),
  hint: durationHint,
});

const SMALLEST_MEMORY = 6 * 1024 * 1024;

export const memory = reading<MemoryAmount>({
  what: 'an amount such as 2g (6m or more), or a share of the host such as 70%',
  pattern: String.raw`^(\d{1,9}(\.\d{1,3})?[bkmgt]|\d{1,3}(\.\d{1,3})?%)$`,
  read: (text) => {
    const share = parseShare(text);
    if (share !== undefined) return { type: 'share', share };
    const amount = parseBytes(text);
    return amount === undefined || amount < SMALLEST_MEMORY ? undefined : { type: 'bytes', bytes: amount };
  },
  hint: bytesHint,
});

/** A part of a whole, such as `25%`, from 0 to 1. */
export const share = reading({
  what: 'a share such as 25%',
  pattern: SHARE_PATTERN,
  read: parseShare,
  hint: (text) => (/^\d{1,2}$/.test(text) ? `did you mean ${text}%?` : undefined),
});

/** A number; also as a text, because `2.0` is one where numbers are kept as they are written. */
export const cpus = z
  .union([z.number(), z.string().regex(/^\d{1,4}(\.\d{1,9})?$/)], {
    error: 'expected a number of processors, such as 0.5 or 4',
  })
  .transform((value, context) => {
    const number = Number(value);
    if (number >= 0.01 && number <= 4096) return number;
    context.addIssue({ code: 'custom', message: 'must be between 0.01 and 4096' });
    return z.NEVER;
  });

export const port = reading<PortSpec>({
  what: 'INTERFACE|ADDRESS|*:PORT[:CONTAINER_PORT]',
  pattern: String.raw`^(\[[0-9A-Fa-f:.]+\]|\*|[A-Za-z0-9_.@-]+):\d{1,5}(:\d{1,5})?$`,
  read: (text) => {
    const match = /^(?:\[([0-9A-Fa-f:.]+)\]|(\*|[A-Za-z0-9_.@-]{1,64})):(\d{1,5})(?::(\d{1,5}))?$/.exec(text);
    if (match === null) return undefined;
    const bind = match[1] ?? match[2] ?? '';
    const published = Number(match[3]);
    const containerPort = Number(match[4] ?? match[3]);
    if (/^\d+$/.test(bind) || !isPort(published) || !isPort(containerPort)) return undefined;
    return { bind, port: published, containerPort };
  },
  hint: (text) => (/^\d{1,5}(:\d{1,5})?$/.test(text) ? `write "*:${text}" to listen on all addresses` : undefined),
});

export type MountSetting = MountSpec;

/** `NAME:/path[:ro]` or `/host/path:/path[:ro]`. */
export const mount = reading<MountSetting>({
  what: 'NAME:/path or /host/path:/path, with :ro or :rw at the end if need be',
  read: (text) => {
    const match = /^([^:\0-\x1f]+):(\/[^:\0-\x1f]*)(?::(ro|rw))?$/.exec(text);
    if (match === null || text.length > 4096) return undefined;
    const [, source = '', target = '', mode] = match;
    const common = { target: target.length > 1 ? target.replace(/\/$/, '') : target, readOnly: mode === 'ro' };
    if (common.target === '/') return undefined;
    if (source.startsWith('/')) return { type: 'bind', source, ...common };
    return /^[a-z0-9][a-z0-9_.-]{0,62}$/.test(source) ? { type: 'volume', name: source, ...common } : undefined;
  },
  hint: (text) => (/^[.~]/.test(text) ? 'the path is one of the host: it begins with /' : undefined),
});

function isPort(value: number): boolean {
  return value >= 1 && value <= 65_535;
}

function atMost(value: number | undefined, most: number): number | undefined {
  return value !== undefined && value <= most ? value : undefined;
}

function bytesHint(text: string): string | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)\s*([bkmgt])i?b?$/i.exec(text);
  return didYouMean(text, match);
}

function durationHint(text: string): string | undefined {
  if ((parseDuration(text) ?? 0) > LONGEST_MS) return 'the longest that there is, is 24d';
  const match = /^(\d{1,9})\s*(s|m|h|d)[a-z]*$/i.exec(text);
  return didYouMean(text, match);
}

function didYouMean(text: string, match: RegExpExecArray | null): string | undefined {
  const meant = `${match?.[1] ?? ''}${match?.[2]?.toLowerCase() ?? ''}`;
  return match === null || meant === text ? undefined : `did you mean ${meant}?`;
}
