import { expect, test } from 'vitest';
import { parsePurge, type PurgeFlags } from '../../../src/cli/purge-request.ts';

const FLAGS: PurgeFlags = {
  yes: false,
  unusedFor: undefined,
  maxSize: undefined,
  oldCode: false,
  confirm: undefined,
  restore: undefined,
  empty: false,
  olderThan: undefined,
};
const PLAN = '20261123T100000-0a1b2c3d';
const DAY_MS = 86_400_000;

function parse(words: string, flags: Partial<PurgeFlags> = {}) {
  return parsePurge(
    words.split(' ').filter((word) => word !== ''),
    { ...FLAGS, ...flags },
  );
}

test('without a word it is what lies on the hosts, never the storage', () => {
  expect(parse('')).toEqual({ type: 'hosts', what: ['containers', 'images'] });
  expect(parse('images')).toEqual({ type: 'hosts', what: ['images'] });
});

test('the storage is purged by rules', () => {
  expect(parse('cache', { unusedFor: 30 * DAY_MS, maxSize: '10g', oldCode: true })).toEqual({
    type: 'storage',
    scope: 'cache',
    rules: { unusedForMs: 30 * DAY_MS, maxBytes: 10 * 1024 ** 3, oldCode: true },
    confirm: undefined,
  });
  expect(parse('uploads', { yes: true, confirm: 12 })).toMatchObject({
    type: 'storage',
    scope: 'uploads',
    confirm: 12,
  });
});

test('the trash is one, whichever of them is named', () => {
  for (const words of ['', 'cache', 'uploads']) {
    expect(parse(words, { restore: PLAN })).toEqual({ type: 'restore', plan: PLAN });
    expect(parse(words, { empty: true })).toEqual({ type: 'empty', olderThanMs: 7 * DAY_MS });
  }
  expect(parse('', { empty: true, olderThan: DAY_MS })).toEqual({ type: 'empty', olderThanMs: DAY_MS });
});

const REFUSED: readonly (readonly [string, Partial<PurgeFlags>, string])[] = [
  ['cache uploads', {}, 'cache and uploads cannot be purged in one go'],
  ['cache images', {}, 'cache and images cannot be purged in one go'],
  ['cahce', {}, 'cannot purge cahce'],
  ['', { unusedFor: 1 }, '--unused-for is for cache and uploads'],
  ['images', { maxSize: '1g' }, '--max-size is for cache'],
  ['uploads', { maxSize: '1g' }, '--max-size is for cache'],
  ['uploads', { oldCode: true }, '--old-code is for cache'],
  ['cache', { confirm: 3 }, '--confirm is for --yes on cache or uploads'],
  ['images', { yes: true, confirm: 3 }, '--confirm is for --yes on cache or uploads'],
  ['cache', { olderThan: 1 }, '--older-than is for --empty'],
  ['cache', { empty: true, unusedFor: 1 }, '--unused-for is for cache and uploads'],
  ['cache', { empty: true, restore: PLAN }, '--restore with --empty is two things'],
  ['images', { empty: true }, '--empty is for the trash of cache and uploads'],
  ['images', { restore: PLAN }, '--restore is for the trash of cache and uploads'],
  ['cache', { restore: '../../etc' }, '--restore ../../etc names no plan'],
  ['cache', { maxSize: '10' }, '--max-size 10 is no size'],
];

test.each(REFUSED)('"cu purge %s" with %j is refused, with a hint', (words, flags, message) => {
  expect(() => parse(words, flags)).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message), hint: expect.any(String) }),
  );
});
