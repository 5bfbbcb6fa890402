import { defineCommand } from '../command.ts';
import { outcomeResult } from '../outcome-result.ts';
import { planResult } from '../plan-result.ts';
import { TARGETS } from '../targets.ts';

export const deploy = defineCommand({
  name: 'deploy',
  summary: 'build, ship and roll out',
  args: [TARGETS],
  flags: {
    version: { type: 'text', value: 'V', summary: 'deploy this version instead of building one' },
    noBuild: { type: 'boolean', summary: 'use what is built already' },
    dryRun: { type: 'boolean', summary: 'only show the plan, as `cu plan` does' },
    plan: { type: 'text', value: 'FILE', summary: 'do what a saved plan says, if the hosts are as they were' },
    rebuild: { type: 'boolean', summary: 'build even what has not changed' },
    pull: { type: 'boolean', summary: 'fetch newer images: those used as they are, and bases' },
    pause: { type: 'duration', value: 'T', summary: 'rest so long between the batches of a service' },
    detach: { type: 'boolean', summary: 'do not wait for old workers to finish what they run' },
    prune: { type: 'boolean', summary: 'remove what the config no longer has, unasked' },
  },
  async run(context, targets, { plan: planFile, pause, detach, ...flags }) {
    const { deploy: deployAll } = await import('../../app/deploy.ts');
    const result = await deployAll(context, targets, {
      ...flags,
      planFile,
      pauseMs: pause,
      isDetached: detach,
    });
    return flags.dryRun ? planResult(result, { check: false }) : outcomeResult(result);
  },
});
