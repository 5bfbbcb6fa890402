import type { CuEvent } from '../core/event.ts';

type StepProgress = Extract<CuEvent, { type: 'step-progress' }>;

interface Told {
  readonly left: number;
  readonly at: number;
}

const REST_MS = 10_000;

/** Says what of a drain is worth a line that stays: what was left at first, and then another count, now and then. */
export function createDrainNews(now: () => number): (event: StepProgress) => boolean {
  const told = new Map<string, Told>();
  return ({ node, left }) => {
    if (left === undefined) return false;
    const last = told.get(node.id);
    const at = now();
    if (last !== undefined && (left === last.left || at - last.at < REST_MS)) return false;
    told.set(node.id, { left, at });
    return true;
  };
}
