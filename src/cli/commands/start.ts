import { defineCommand } from '../command.ts';
import { outcomeResult } from '../outcome-result.ts';
import { TARGETS } from '../targets.ts';

export const start = defineCommand({
  name: 'start',
  summary: 'start what is stopped',
  args: [TARGETS],
  flags: {},
  async run(context, targets) {
    const { start: startInstances } = await import('../../app/start.ts');
    return outcomeResult(await startInstances(context, targets));
  },
});
