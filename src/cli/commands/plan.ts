import { defineCommand } from '../command.ts';
import { CHANGES_FOUND, planResult } from '../plan-result.ts';
import { TARGETS } from '../targets.ts';

export const plan = defineCommand({
  name: 'plan',
  summary: 'show what a deploy would do, and why',
  args: [TARGETS],
  flags: {
    version: { type: 'text', value: 'V', summary: 'plan for this version instead of building one' },
    noBuild: { type: 'boolean', summary: 'use what is built already' },
    pause: { type: 'duration', value: 'T', summary: 'rest so long between the batches of a service' },
    detach: { type: 'boolean', summary: 'do not wait for old workers to finish what they run' },
    out: { type: 'text', value: 'FILE', summary: 'save the plan for `cu deploy --plan FILE`' },
    check: { type: 'boolean', summary: `exit ${CHANGES_FOUND} when there is something to do` },
  },
  async run(context, targets, { pause, detach, check, ...flags }) {
    const { plan: makePlan } = await import('../../app/plan.ts');
    const result = await makePlan(context, targets, { ...flags, pauseMs: pause ?? 0, isDetached: detach });
    return planResult(result, { check });
  },
});
