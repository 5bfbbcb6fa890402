import { defineCommand } from '../command.ts';
import { outcomeResult } from '../outcome-result.ts';
import { TARGETS } from '../targets.ts';

export const push = defineCommand({
  name: 'push',
  summary: 'build and ship the images, restart nothing',
  args: [TARGETS],
  flags: {},
  async run(context, targets) {
    const { push: pushImages } = await import('../../app/push.ts');
    return outcomeResult(await pushImages(context, targets));
  },
});
