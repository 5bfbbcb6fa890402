import { defineCommand } from '../command.ts';
import { CHANGES_FOUND, planResult } from '../plan-result.ts';
import { TARGETS } from '../targets.ts';

export const plan = defineCommand({
  name: 'plan',
  summary: 'show what a deploy would do, and why',
  args: [TARGETS],
  flags: {
    out: { type: 'text', value: 'FILE', summary: 'save the plan for `cu deploy --plan FILE`' },
    check: { type: 'boolean', summary: `exit ${CHANGES_FOUND} when there is something to do` },
  },
  async run(context, targets, { out, check }) {
    const { plan: makePlan } = await import('../../app/plan.ts');
    return planResult(await makePlan(context, targets, { out }), { check });
  },
});
