import type { PurgeRules, StorageScope } from '../app/purge-storage.ts';
import { CuError } from '../core/error.ts';
import { suggest } from '../core/suggest.ts';
import { parseBytes } from '../core/units.ts';

export const ON_HOSTS = ['containers', 'images'] as const;
export const IN_STORAGE = ['cache', 'uploads'] as const;

/** What a purge is asked to do; the storage is purged by itself, by rules of its own. */
export type PurgeRequest =
  | { readonly type: 'hosts'; readonly what: readonly (typeof ON_HOSTS)[number][] }
  | {
      readonly type: 'storage';
      readonly scope: StorageScope;
      readonly rules: PurgeRules;
      readonly confirm: number | undefined;
    }
  | { readonly type: 'restore'; readonly plan: string }
  | { readonly type: 'empty'; readonly olderThanMs: number };

export interface PurgeFlags {
  readonly yes: boolean;
  readonly unusedFor: number | undefined;
  readonly maxSize: string | undefined;
  readonly oldCode: boolean;
  readonly confirm: number | undefined;
  readonly restore: string | undefined;
  readonly empty: boolean;
  readonly olderThan: number | undefined;
}

const WEEK_MS = 7 * 86_400_000;

export function parsePurge(words: readonly string[], flags: PurgeFlags): PurgeRequest {
  const kinds = words.map(kindOf);
  const onHosts = kinds.filter((kind) => isOneOf(ON_HOSTS, kind));
  const [scope, ...others] = kinds.filter((kind) => isOneOf(IN_STORAGE, kind));
  if (others.length > 0 || (scope !== undefined && onHosts.length > 0))
    throw new CuError('USAGE', `${words.join(' and ')} cannot be purged in one go`, {
      hint: 'each in a command of its own: their plans are shown and confirmed one by one',
    });
  refuseStray(flags, { scope, onHosts });
  if (flags.restore !== undefined) return { type: 'restore', plan: planOf(flags.restore) };
  if (flags.empty) return { type: 'empty', olderThanMs: flags.olderThan ?? WEEK_MS };
  if (scope === undefined) return { type: 'hosts', what: onHosts.length === 0 ? ON_HOSTS : onHosts };
  const { unusedFor: unusedForMs, oldCode, confirm } = flags;
  return { type: 'storage', scope, rules: { unusedForMs, maxBytes: sizeOf(flags.maxSize), oldCode }, confirm };
}

/** A flag that would be ignored is refused: whoever gave it meant something by it. */
function refuseStray(
  { yes, unusedFor, maxSize, oldCode, confirm, restore, empty, olderThan }: PurgeFlags,
  { scope, onHosts }: { readonly scope: StorageScope | undefined; readonly onHosts: readonly string[] },
): void {
  const isTrash = restore !== undefined || empty;
  const plans = scope !== undefined && !isTrash;
  const stray: readonly (readonly [isStray: boolean, flag: string, use: string])[] = [
    [
      isTrash && onHosts.length > 0,
      restore === undefined ? '--empty' : '--restore',
      'for the trash of cache and uploads',
    ],
    [restore !== undefined && empty, '--restore with --empty', 'two things: give one of them'],
    [olderThan !== undefined && !empty, '--older-than', 'for --empty'],
    [unusedFor !== undefined && !plans, '--unused-for', 'for cache and uploads'],
    [maxSize !== undefined && !(plans && scope === 'cache'), '--max-size', 'for cache'],
    [oldCode && !(plans && scope === 'cache'), '--old-code', 'for cache'],
    [confirm !== undefined && !(plans && yes), '--confirm', 'for --yes on cache or uploads'],
  ];
  const found = stray.find(([isStray]) => isStray);
  if (found !== undefined)
    throw new CuError('USAGE', `${found[1]} is ${found[2]}`, {
      hint: 'such as `cu purge cache --unused-for 30d`, then the same with --yes',
    });
}

function planOf(text: string): string {
  if (/^\d{8}T\d{6}-[0-9a-f]{8}$/.test(text)) return text;
  throw new CuError('USAGE', `--restore ${text} names no plan`, {
    hint: '`cu purge --empty` lists those in the trash, such as 20261123T100000-0a1b2c3d',
  });
}

function sizeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseBytes(text);
  if (bytes === undefined)
    throw new CuError('USAGE', `--max-size ${text} is no size`, {
      hint: 'give a number with its unit, such as 500m or 10g',
    });
  return bytes;
}

type Kind = (typeof ON_HOSTS)[number] | StorageScope;

function kindOf(word: string): Kind {
  const all = [...ON_HOSTS, ...IN_STORAGE];
  const kind = all.find((each) => each === word);
  if (kind === undefined)
    throw new CuError('USAGE', `cannot purge ${word}`, {
      hint: `did you mean ${suggest(word, all) ?? all.join(' or ')}?`,
    });
  return kind;
}

function isOneOf<T extends Kind>(kinds: readonly T[], kind: Kind): kind is T {
  return kinds.some((each) => each === kind);
}
