import { carryOut } from './carry-out.ts';
import type { DeployResult } from './carry-out.ts';
import type { Context } from './context.ts';
import type { PlanChoices } from './plan-choices.ts';
import { prepare } from './prepare.ts';
import { savePlan } from './saved-plan.ts';

export interface PlanOptions extends Omit<PlanChoices, 'targets'> {
  /** Where it is saved, for `cu deploy --plan`. */
  readonly out: string | undefined;
}

/** What a deploy would do, and what stands in its way; only GET calls are made. */
export async function plan(
  context: Context,
  targets: readonly string[],
  { out, ...options }: PlanOptions,
): Promise<DeployResult> {
  await using prepared = await prepare(context, targets, { ...options, rebuild: false });
  return await carryOut(context, prepared, {
    kind: 'deploy',
    targets,
    dryRun: true,
    prune: false,
    check: async (made) => {
      if (out !== undefined) await savePlan(context, out, { plan: made, prepared, choices: { targets, ...options } });
    },
  });
}
