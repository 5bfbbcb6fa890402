import { expect, test } from 'vitest';
import { argvOf, refusal } from '../../../src/app/purge-storage.ts';

const PLAN = { id: '', count: 71, bytes: 1, reasons: {}, oldest: null, share: 0.45, needsConfirm: true };

test('rules become flags of the runtime, with units that cannot be misread', () => {
  expect(argvOf({ unusedForMs: undefined, maxBytes: undefined, oldCode: false })).toEqual([]);
  expect(argvOf({ unusedForMs: 5_400_000, maxBytes: 1536, oldCode: true })).toEqual([
    '--unused-for',
    '5400s',
    '--max-size',
    '1536b',
    '--old-code',
  ]);
});

test('a large part needs its number, and the number has to be that of the plan', () => {
  expect(refusal(PLAN, { scope: 'cache', confirm: undefined })).toMatchObject({
    code: 'CONFIRMATION_NEEDED',
    exitCode: 2,
    message: 'the plan takes 45% of the cache, which --yes alone does not allow',
    hint: 'if that is right: the same command with --confirm 71',
  });
  expect(refusal(PLAN, { scope: 'cache', confirm: 70 })?.message).toBe('the plan names 71 files by now, not 70');
  expect(refusal(PLAN, { scope: 'cache', confirm: 71 })).toBeUndefined();
});

test('a small part needs none, but one that is given has to be right', () => {
  const small = { ...PLAN, share: 0.1, needsConfirm: false };

  expect(refusal(small, { scope: 'uploads', confirm: undefined })).toBeUndefined();
  expect(refusal(small, { scope: 'uploads', confirm: 71 })).toBeUndefined();
  expect(refusal(small, { scope: 'uploads', confirm: 3 })?.message).toBe('the plan names 71 files by now, not 3');
});
