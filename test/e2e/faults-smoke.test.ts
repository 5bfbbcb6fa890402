import { afterAll, beforeAll, expect, test } from 'vitest';
import { FAULTS } from '../faults/faults.ts';
import { POINTS } from '../faults/points.ts';
import { openScene } from '../faults/scene.ts';
import type { Scene } from '../faults/scene.ts';
import { strike } from '../faults/strike.ts';

/** The quick ones of `npm run test:faults`, which has every fault at every point. */
const STRIKES = [
  ['SIGINT of cu', 'while the new one is not healthy yet'],
  ['SIGKILL of cu', 'right after the switch'],
  ['two deployers at once', 'when the plan is made'],
] as const;

let scene: Scene;

beforeAll(async () => {
  scene = await openScene({ project: 'e2e-faults', port: 8661 });
});

afterAll(() => scene[Symbol.asyncDispose]());

test.each(STRIKES)('%s %s: no request fails, nothing hangs, and the next deploy converges', async (fault, point) => {
  const { problems } = await strike(scene, named(FAULTS, fault), named(POINTS, point));

  expect(problems).toEqual([]);
});

function named<T extends { readonly name: string }>(all: readonly T[], name: string): T {
  const found = all.find((each) => each.name === name);
  if (found === undefined) throw new Error(`nothing is called ${name}`);
  return found;
}
