import type { Plan } from '../core/action.ts';
import type { CuError } from '../core/error.ts';
import type { Context } from './context.ts';
import type { Usage } from './meter.ts';
import { planOrThrow, prepare } from './prepare.ts';
import { savePlan } from './saved-plan.ts';

export interface PlanResult {
  readonly plan: Plan;
  readonly unreachable: readonly CuError[];
  readonly usage: Readonly<Record<string, Usage>>;
}

/** What a deploy would do; only GET calls are made. */
export async function plan(
  context: Context,
  targets: readonly string[],
  options: { readonly out: string | undefined },
): Promise<PlanResult> {
  await using prepared = await prepare(context, targets, { version: undefined, noBuild: false, rebuild: false });
  const planned = planOrThrow(prepared.input);
  if (options.out !== undefined) await savePlan(context, options.out, { plan: planned.plan, prepared });
  return { plan: planned.plan, unreachable: prepared.unreachable, usage: prepared.session.usage() };
}
