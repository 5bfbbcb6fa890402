import { array, assert, constantFrom, integer, property, record } from 'fast-check';
import { expect, test } from 'vitest';
import { CuError } from '../../../src/core/error.ts';
import type { Release, ReleaseImage } from '../../../src/core/release.ts';
import { commitOf, commitOfVersions, previousHealthy } from '../../../src/plan/releases.ts';
import { release } from '../../support/releases.ts';

function sequenceOf(history: readonly Release[], version?: string): number | string {
  const found = previousHealthy(history, { version });
  return found instanceof CuError ? found.message : found.sequence;
}

/** A rollback that went well, as it stands in the history. */
function back(sequence: number, to: Release): Release {
  return release(sequence, { kind: 'rollback', origin: to.id, images: to.images });
}

const [one, two, three] = [release(1), release(2), release(3)] as const;

test('from a release that went well it goes back to the one before', () => {
  expect(sequenceOf([one, two, three])).toBe(2);
});

test('going back twice goes further back, and then there is nothing more', () => {
  const once = [one, two, three, back(4, two)];
  const twice = [...once, back(5, one)];

  expect(sequenceOf(once)).toBe(1);
  expect(sequenceOf(twice)).toBe('nothing older is known to go back to');
});

test('a deploy after a rollback goes back to what ran before it, not to what was given up', () => {
  expect(sequenceOf([one, two, back(3, one), release(4)])).toBe(1);
});

test.each(['failed', 'rolled-back', 'interrupted', undefined] as const)(
  'when the newest release is %s, the newest that went well is the one',
  (outcome) => {
    expect(sequenceOf([one, two, release(3, { outcome })])).toBe(2);
    expect(sequenceOf([one, two, back(3, one), release(4, { outcome })])).toBe(1);
  },
);

test('a deploy of some targets is undone by the last one of the whole environment', () => {
  expect(sequenceOf([one, two, release(3, { targets: ['host1'] })])).toBe(2);
});

test('what only finished the newest, such as a drain that nobody waited for, is not gone back to', () => {
  const [rest, detached] = [release(3, { images: two.images }), release(4, { images: two.images })];

  expect(sequenceOf([one, two, rest, detached])).toBe(1);
});

test('a rollback whose origin is forgotten has nothing older that is known', () => {
  expect(sequenceOf([two, three, back(4, one)])).toBe('nothing older is known to go back to');
});

test('without a healthy release there is nothing to go back to', () => {
  expect(sequenceOf([])).toBe('no deploy of the whole environment has succeeded yet');
  expect(sequenceOf([release(1, { outcome: 'failed' })])).toBe('no deploy of the whole environment has succeeded yet');
});

test('a version names the newest release that built it, an id its own', () => {
  const again = release(4, { images: one.images });

  expect(sequenceOf([one, two, three], 'r1')).toBe(1);
  expect(sequenceOf([one, two, again], 'r1')).toBe(4);
  expect(sequenceOf([one, two, three], '20261123-101202')).toBe(2);
  expect(sequenceOf([one, two, back(3, one)], 'r1')).toBe(1);
});

test('a version that is not known, or only from a failed release, is refused with those that are', () => {
  const history = [
    release(1, { images: { app: { ...built('r10.h1') } } }),
    release(2, { images: { app: built('r11.h2') } }),
  ];

  expect(previousHealthy(history, { version: 'r11.h3' })).toMatchObject({
    code: 'USAGE',
    exitCode: 2,
    message: 'no release that succeeded is called "r11.h3"',
    hint: 'did you mean r11.h2? there are r11.h2, r10.h1',
  });
  expect(previousHealthy([...history, release(3, { outcome: 'failed' })], { version: 'r3' })).toMatchObject({
    hint: 'there are r11.h2, r10.h1',
  });
  expect(previousHealthy(history, { version: '' })).toBeInstanceOf(CuError);
});

function built(version: string): ReleaseImage {
  return { type: 'build', version, inputs: 'i', repository: 'shop', ids: {} };
}

test('whatever happened before, going back ends, each time at a healthy release further back', () => {
  const step = record({
    outcome: constantFrom('done' as const, 'failed' as const, undefined),
    isWhole: constantFrom(true, true, false),
    back: constantFrom(false, false, true),
  });
  assert(
    property(array(step, { maxLength: 12 }), integer({ min: 0, max: 4 }), (steps, forgotten) => {
      let history: Release[] = [];
      for (const { outcome, isWhole, back: isBack } of steps) {
        const to = isBack ? previousHealthy(history) : undefined;
        const origin = to instanceof CuError ? undefined : to?.id;
        history.push(release(history.length + 1, { outcome, targets: isWhole ? [] : ['host1'], origin }));
      }
      history = history.slice(forgotten);
      let last = Number.POSITIVE_INFINITY;
      for (;;) {
        const found = previousHealthy(history);
        if (found instanceof CuError) break;

        expect(found.outcome).toBe('done');
        expect(found.targets).toEqual([]);
        expect(found.sequence).toBeLessThan(last);
        last = found.sequence;
        history.push(back((history.at(-1)?.sequence ?? 0) + 1, found));
      }
    }),
  );
});

test('a release was built from its own commit, a rollback of an earlier cu from that of its version', () => {
  const first = release(1, { commit: 'c1', isDirty: true });
  const later = release(2, { commit: 'c2', images: first.images });
  const bare = release(3, { kind: 'rollback', commit: undefined, images: first.images });

  expect(commitOf(later, [first, later])).toEqual({ commit: 'c2', isDirty: false });
  expect(commitOf(bare, [first, later, bare])).toEqual({ commit: 'c1', isDirty: true });
});

test('a version was built from the commit of the first release that has it, as far as one is known', () => {
  const history = [release(1, { commit: undefined }), release(2, { commit: 'c2' }), release(3, { commit: 'c3' })];
  const unknown = { commit: undefined, isDirty: false };

  expect(commitOfVersions(['r3'], history)).toEqual({ commit: 'c3', isDirty: false });
  expect(commitOfVersions(['r1'], history)).toEqual(unknown);
  expect(commitOfVersions([], history)).toEqual(unknown);
});
