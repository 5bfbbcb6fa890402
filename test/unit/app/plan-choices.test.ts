import { expect, test } from 'vitest';
import { recallChoices } from '../../../src/app/plan-choices.ts';
import type { GivenChoices, PlanChoices } from '../../../src/app/plan-choices.ts';
import { CuErrors } from '../../../src/core/error.ts';

const NOTHING: GivenChoices = {
  targets: [],
  version: undefined,
  noBuild: false,
  pauseMs: undefined,
  isDetached: false,
  rebuild: false,
};

const SAVED: PlanChoices = {
  targets: ['web', 'host1/*'],
  version: 'r5',
  noBuild: true,
  pauseMs: 30_000,
  isDetached: true,
};

function refusals(saved: PlanChoices, given: Partial<GivenChoices>): readonly string[] {
  try {
    recallChoices('plan.json', saved, { ...NOTHING, ...given });
    return [];
  } catch (error) {
    if (!(error instanceof CuErrors)) throw error;
    expect(error.errors.every(({ code, hint }) => code === 'USAGE' && hint !== undefined)).toBe(true);
    return error.errors.map(({ message }) => message);
  }
}

test('a saved plan brings its choices along', () => {
  expect(recallChoices('plan.json', SAVED, NOTHING)).toEqual(SAVED);
});

test('they may be said again', () => {
  expect(refusals(SAVED, { ...SAVED, targets: ['host1/*', 'web'] })).toEqual([]);
  expect(refusals(SAVED, { pauseMs: 30_000 })).toEqual([]);
});

test('they may not be said otherwise, and all that differs is named', () => {
  expect(refusals(SAVED, { targets: ['web'], version: 'r6', pauseMs: 1500 })).toEqual([
    'plan.json was made with the targets host1/* web, not the targets web',
    'plan.json was made with --version r5, not --version r6',
    'plan.json was made with --pause 30s, not --pause 1500ms',
  ]);
});

test('nor is there more than was said', () => {
  const plain: PlanChoices = { ...NOTHING, pauseMs: 0 };

  expect(refusals(plain, { ...SAVED, rebuild: true })).toEqual([
    'plan.json was made without the targets host1/* web',
    'plan.json was made without --version r5',
    'plan.json was made without --no-build',
    'plan.json was made with --pause 0s, not --pause 30s',
    'plan.json was made without --detach',
    'plan.json was made without --rebuild',
  ]);
});
