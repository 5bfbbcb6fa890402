import type { Plan } from '../core/action.ts';
import { CuErrors } from '../core/error.ts';
import type { CuError } from '../core/error.ts';
import type { ExecutionResult } from '../execute/execute.ts';
import { planLifecycle } from '../plan/lifecycle.ts';
import type { LifecycleVerb } from '../plan/lifecycle.ts';
import type { Context } from './context.ts';
import { prepareUnheld } from './hold.ts';
import { runPlan } from './run-plan.ts';

export interface LifecycleResult {
  readonly plan: Plan;
  readonly outcome: ExecutionResult;
  readonly unreachable: readonly CuError[];
}

/** `cu start`, `cu stop` and `cu restart`: in dependency order, with the drain and health gates of a deploy. */
export async function lifecycle(
  context: Context,
  verb: LifecycleVerb,
  targets: readonly string[],
): Promise<LifecycleResult> {
  await using prepared = await prepareUnheld(context, targets, verb);
  const { plan, problems } = planLifecycle(verb, prepared.input);
  if (problems.length > 0) throw new CuErrors(problems);
  context.emit({ type: 'plan-ready', plan });
  return { plan, outcome: await runPlan(context, prepared, plan), unreachable: prepared.unreachable };
}
