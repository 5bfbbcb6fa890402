import { z } from 'zod';
import { duration, reference, strict, words } from '../kinds/fields.ts';

const SECOND = 1000;
const DAY = 86_400 * SECOND;
const DEFAULT_MS = 600 * SECOND;

/** Longer waits are no release steps any more; it is also within what a timer can wait. */
const timeout = duration.refine((ms) => ms >= SECOND && ms <= DAY, 'must be between 1s and 24h').prefault('10m');

const task = z.union(
  [
    words.transform((command) => ({ service: undefined, command, timeout: DEFAULT_MS })),
    strict({ service: reference.optional(), command: words, timeout }),
  ],
  { error: 'expected a command such as [python, -m, migrate], or { service, command, timeout }' },
);

/** What runs once with the new image, before anything is switched to it. */
export const tasks = strict({
  beforeSwitch: z
    .array(task, { error: 'expected a list of commands, such as [[python, -m, migrate]]' })
    .max(100, 'expected at most 100 commands')
    .default([]),
});

const commands = z
  .union([words.transform((command) => [command]), z.array(words)], {
    error: 'expected a command such as [./notify.sh], or a list of commands',
  })
  .default([]);

/** What runs on the operator's machine around a deploy. */
export const hooks = strict({ beforeDeploy: commands, afterDeploy: commands, onFailure: commands });

export const onFailure = z.enum(['rollback', 'stop', 'continue']);
