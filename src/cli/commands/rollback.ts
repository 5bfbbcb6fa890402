import { defineCommand } from '../command.ts';
import { outcomeResult } from '../outcome-result.ts';
import { planResult } from '../plan-result.ts';

export const rollback = defineCommand({
  name: 'rollback',
  summary: 'go back to the last healthy release, or to a version',
  args: [{ name: '[VERSION]', summary: 'a version or the id of a release; `cu history` has them' }],
  flags: {
    dryRun: { type: 'boolean', summary: 'only show what it would do' },
    pause: { type: 'duration', value: 'T', summary: 'rest so long between the batches of a service' },
    detach: { type: 'boolean', summary: 'do not wait for old workers to finish what they run' },
    prune: { type: 'boolean', summary: 'remove what the config no longer has, unasked' },
  },
  async run(context, [version], { pause, detach, ...flags }) {
    const { rollback: run } = await import('../../app/rollback.ts');
    const result = await run(context, { ...flags, version, pauseMs: pause ?? 0, isDetached: detach });
    return flags.dryRun ? planResult(result, { check: false }) : outcomeResult(result);
  },
});
