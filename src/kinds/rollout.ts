import { z } from 'zod';
import type { BatchSize } from '../core/rollout.ts';
import type { RolloutStrategy } from '../core/state.ts';
import { count, reading, share, strict } from './fields.ts';
import { suggest } from '../core/suggest.ts';

const STRATEGIES: readonly RolloutStrategy[] = ['proxy', 'start-first', 'recreate'];

const strategy = reading({
  what: STRATEGIES.join(', '),
  pattern: `^(${STRATEGIES.join('|')})$`,
  read: (text) => STRATEGIES.find((each) => each === text),
  hint: (text) => {
    const near = suggest(text, STRATEGIES);
    return near === undefined ? undefined : `did you mean ${near}?`;
  },
});

const batch = z
  .union([
    count.transform((number): BatchSize => ({ type: 'count', count: number })),
    share.transform((part): BatchSize => ({ type: 'share', share: part })),
  ])
  .optional();

/** A strategy alone, or with how many are replaced at once. */
export const rollout = z.union([
  strategy.transform((name) => ({ strategy: name, batch: undefined })),
  strict({ strategy: strategy.optional(), batch }),
]);
