import { defineCommand } from '../command.ts';
import { outcomeResult } from '../outcome-result.ts';
import { planResult } from '../plan-result.ts';

export const promote = defineCommand({
  name: 'promote',
  summary: 'give the version that runs in one environment to another',
  args: [
    { name: '<FROM>', summary: 'the environment whose version is taken, such as dev' },
    { name: '<TO>', summary: 'the environment that gets it, such as stable' },
  ],
  flags: {
    dryRun: { type: 'boolean', summary: 'only show what it would do' },
    pause: { type: 'duration', value: 'T', summary: 'rest so long between the batches of a service' },
    detach: { type: 'boolean', summary: 'do not wait for old workers to finish what they run' },
    prune: { type: 'boolean', summary: 'remove what the config no longer has, unasked' },
  },
  async run(context, [from = '', to = ''], { pause, detach, ...flags }) {
    const { promote: run } = await import('../../app/promote.ts');
    const result = await run(context, { ...flags, from, to, pauseMs: pause ?? 0, isDetached: detach });
    return flags.dryRun ? planResult(result, { check: false }) : outcomeResult(result);
  },
});
