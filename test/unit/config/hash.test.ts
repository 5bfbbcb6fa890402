import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { stableHash } from '../../../src/config/hash.ts';
import { Secret } from '../../../src/core/secret.ts';

test('the order of keys and keys without a value do not matter, the order of a list does', () => {
  expect(stableHash({ a: 1, b: { c: [1, 2], d: undefined } })).toBe(stableHash({ b: { c: [1, 2] }, a: 1 }));
  expect(stableHash([1, 2])).not.toBe(stableHash([2, 1]));
  expect(stableHash({ a: 1 })).not.toBe(stableHash({ a: '1' }));
});

test('a secret counts by its value only under a key', () => {
  const before = { env: { A: new Secret('A', 'one') } };
  const after = { env: { A: new Secret('A', 'two') } };

  expect(stableHash(before, 'key')).not.toBe(stableHash(after, 'key'));
  expect(stableHash(before, 'key')).not.toBe(stableHash(before, 'other key'));
  expect(stableHash(before)).toBe(stableHash(after));
  expect(stableHash({ A: new Secret('A', 'one') }, 'key')).not.toBe(stableHash({ A: 'one' }, 'key'));
});

test('two values hash alike exactly when their JSON is the same', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
      expect(stableHash(left)).toBe(stableHash(JSON.parse(JSON.stringify(left))));
      expect(stableHash(left) === stableHash(right)).toBe(sorted(left) === sorted(right));
    }),
  );
});

function sorted(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(
          Object.entries(inner)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, each]) => [`k${key}`, each]),
        )
      : inner,
  );
}
