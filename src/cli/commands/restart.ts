import { defineCommand } from '../command.ts';
import { outcomeResult } from '../outcome-result.ts';
import { TARGETS } from '../targets.ts';

export const restart = defineCommand({
  name: 'restart',
  summary: 'restart instances in order',
  args: [TARGETS],
  flags: {},
  async run(context, targets) {
    const { restart: restartInstances } = await import('../../app/restart.ts');
    return outcomeResult(await restartInstances(context, targets));
  },
});
