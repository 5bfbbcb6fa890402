import type { Plan } from '../core/action.ts';
import type { CuError } from '../core/error.ts';
import type { ExecutionResult } from '../execute/execute.ts';
import { planRemove } from '../plan/remove.ts';
import type { Context } from './context.ts';
import { observeForgotten } from './forgotten.ts';
import { prepareUnheld } from './hold.ts';
import { changedHosts, lockFurther } from './locks.ts';
import { runPlan } from './run-plan.ts';

export interface RemoveResult {
  readonly plan: Plan;
  readonly outcome: ExecutionResult;
  readonly unreachable: readonly CuError[];
}

/** Takes the environment off its hosts; asks first, and once more in words where data would go. */
export async function remove(context: Context, options: { readonly volumes: boolean }): Promise<RemoveResult> {
  await using prepared = await prepareUnheld(context, [], 'remove');
  const { desired, session } = prepared;
  // Also what left the config while something still ran there.
  const forgotten = await observeForgotten(context, session, prepared);
  const observed = [...prepared.observed, ...forgotten.flatMap((each) => each.observed ?? [])];
  const plan = planRemove(desired, observed, options);
  context.emit({ type: 'plan-ready', plan });
  if (plan.nodes.length > 0) {
    const data = options.volumes ? ', with the data in its volumes,' : '';
    const name = `${desired.project} (${desired.environment})`;
    const isAgreed = await context.confirm(
      `Remove ${name}${data} from ${observed.map((host) => host.name).join(', ')}?`,
      '--yes',
    );
    if (!isAgreed)
      return {
        plan,
        outcome: { done: [], failed: [], skipped: [], cancelled: false },
        unreachable: prepared.unreachable,
      };
  }
  await lockFurther(prepared, changedHosts(plan));
  return { plan, outcome: await runPlan(context, { ...prepared, observed }, plan), unreachable: prepared.unreachable };
}
