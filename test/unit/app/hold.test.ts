import { expect, test } from 'vitest';
import { assertNotHeld } from '../../../src/app/hold.ts';
import { Secret } from '../../../src/core/secret.ts';
import type { ObservedHost } from '../../../src/core/state.ts';
import { observedHost } from '../plan/inputs.ts';

const RASTERS = { project: 'rasters', environment: 'dev' };
const AT = new Date(2026, 10, 23, 10, 12).getTime();

function heldBy(who: string | undefined, since = AT): ObservedHost {
  const hold = who === undefined ? undefined : { message: 'measuring until six', who, since };
  return observedHost({
    state: { specKey: new Secret('spec-key', 'k'), brokerPassword: undefined, hosts: [], gaps: {}, hold },
  });
}

test('a hold on one host of several keeps deploys away, and says whose, since when and why', () => {
  expect(() => assertNotHeld([heldBy(undefined), heldBy('ana@laptop')], RASTERS)).toThrow(
    expect.objectContaining({
      code: 'LOCK_HELD',
      exitCode: 5,
      message: 'rasters dev is locked by ana@laptop since 2026-11-23 10:12: measuring until six',
      hint: '`cu unlock` lifts it',
    }),
  );
});

test('of two holds the older one is named', () => {
  expect(() => assertNotHeld([heldBy('ben@desk', AT + 1), heldBy('ana@laptop')], RASTERS)).toThrow('by ana@laptop');
});

test('without a hold, or without any state, nothing is in the way', () => {
  expect(() => assertNotHeld([heldBy(undefined), observedHost()], RASTERS)).not.toThrow();
});
