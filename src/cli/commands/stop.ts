import { defineCommand } from '../command.ts';
import { outcomeResult } from '../outcome-result.ts';
import { TARGETS } from '../targets.ts';

export const stop = defineCommand({
  name: 'stop',
  summary: 'stop instances, after they drained',
  args: [TARGETS],
  flags: {},
  async run(context, targets) {
    const { stop: stopInstances } = await import('../../app/stop.ts');
    return outcomeResult(await stopInstances(context, targets));
  },
});
