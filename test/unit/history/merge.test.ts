import { array, assert, constantFrom, integer, property, record, shuffledSubarray } from 'fast-check';
import { expect, test } from 'vitest';
import { mergeHistories, nextSequence } from '../../../src/history/merge.ts';
import { release } from '../../support/releases.ts';

test('what several hosts remember is one history, oldest first', () => {
  const merged = mergeHistories([[release(2), release(4)], [release(1), release(2)], []]);

  expect(merged.map(({ sequence }) => sequence)).toEqual([1, 2, 4]);
  expect(nextSequence(merged)).toBe(5);
  expect(nextSequence([])).toBe(1);
});

test('a host that never heard of the end is outvoted by one that did', () => {
  const cutOff = release(3, { outcome: undefined, endedAt: undefined });
  const failed = release(3, { outcome: 'failed', reason: 'host2: unhealthy' });

  expect(mergeHistories([[cutOff], [failed]])).toEqual([failed]);
  expect(mergeHistories([[failed], [cutOff]])).toEqual([failed]);
  expect(mergeHistories([[cutOff], [cutOff]])).toEqual([cutOff]);
});

test('of two ends the later one counts', () => {
  const failed = release(3, { outcome: 'failed', endedAt: 10 });
  const back = release(3, { outcome: 'rolled-back', endedAt: 20 });

  expect(mergeHistories([[failed], [back]])).toEqual([back]);
  expect(mergeHistories([[back], [failed]])).toEqual([back]);
});

test('two people who counted alike keep both of their releases', () => {
  const mine = release(7, { id: 'a', startedAt: 2 });
  const theirs = release(7, { id: 'b', startedAt: 1 });

  expect(mergeHistories([[mine], [theirs]])).toEqual([theirs, mine]);
});

test('whatever the hosts remember, in whatever order they answer, the history is the same', () => {
  const known = array(
    record({ sequence: integer({ min: 1, max: 6 }), outcome: constantFrom(undefined, 'done' as const) }),
  );
  const hosts = array(known, { maxLength: 4 }).chain((all) =>
    shuffledSubarray([...all.keys()], { minLength: all.length }).map((order) => ({ all, order })),
  );
  assert(
    property(hosts, ({ all, order }) => {
      const histories = all.map((each) => each.map(({ sequence, outcome }) => release(sequence, { outcome })));
      const merged = mergeHistories(histories);

      expect(mergeHistories(order.map((index) => histories[index] ?? []))).toEqual(merged);
      expect(mergeHistories([merged, ...histories])).toEqual(merged);
      expect(new Set(merged.map(({ id }) => id)).size).toBe(merged.length);
    }),
  );
});
