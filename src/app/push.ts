import type { Plan } from '../core/action.ts';
import { CuErrors } from '../core/error.ts';
import type { CuError } from '../core/error.ts';
import type { ExecutionResult } from '../execute/execute.ts';
import { imageNodes } from '../plan/images.ts';
import type { Context } from './context.ts';
import { prepare } from './prepare.ts';
import { runPlan } from './run-plan.ts';

export interface PushResult {
  readonly plan: Plan;
  readonly outcome: ExecutionResult;
  readonly unreachable: readonly CuError[];
}

/** `cu push`: the first half of a deploy. Images are built and brought to the hosts, no container is touched. */
export async function push(context: Context, targets: readonly string[]): Promise<PushResult> {
  await using prepared = await prepare(context, targets, { version: undefined, noBuild: false, rebuild: false });
  const plan = { nodes: imageNodes(prepared.input) };
  context.emit({ type: 'plan-ready', plan });
  const outcome = await runPlan(context, prepared, plan);
  if (prepared.observed.length === 0) throw new CuErrors(prepared.unreachable);
  return { plan, outcome, unreachable: prepared.unreachable };
}
