import type { Plan, PlanNode } from '../core/action.ts';
import type { CuError } from '../core/error.ts';
import type { Context } from './context.ts';
import { assertNotHeld } from './hold.ts';
import { hookFacts, runHooks, runHooksAfter } from './hooks.ts';
import type { Usage } from './meter.ts';
import { checkPreflight } from './preflight.ts';
import { planOrThrow, prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import { pullImages } from './pull.ts';
import { repairState } from './repair.ts';
import { runPlan } from './run-plan.ts';
import type { RunResult } from './run-plan.ts';
import { checkSavedPlan } from './saved-plan.ts';

export interface DeployOptions {
  readonly version: string | undefined;
  readonly noBuild: boolean;
  readonly dryRun: boolean;
  readonly planFile: string | undefined;
  readonly rebuild: boolean;
  readonly pull: boolean;
  /** Answers beforehand whether what the config no longer has may be removed. */
  readonly prune: boolean;
  /** Rest between the batches of a service. */
  readonly pauseMs: number;
  /** Old containers finish their work with nobody waiting for them. */
  readonly isDetached: boolean;
}

export interface DeployResult {
  readonly plan: Plan;
  readonly outcome: RunResult;
  readonly unreachable: readonly CuError[];
  readonly usage: Readonly<Record<string, Usage>>;
}

const NOTHING: RunResult = { done: [], failed: [], skipped: [], cancelled: false };

/** load, resolve, observe, plan, confirm, execute: the one way. */
export async function deploy(
  context: Context,
  targets: readonly string[],
  options: DeployOptions,
): Promise<DeployResult> {
  await using prepared = await prepareDeploy(context, targets, options);
  if (!options.dryRun) assertNotHeld(prepared.observed, prepared.desired);
  const { plan, prunes } = planOrThrow(prepared.input);
  if (options.planFile !== undefined) await checkSavedPlan(context, options.planFile, { plan, prepared });
  await checkPreflight(context, prepared, plan);
  if (!options.dryRun) context.emit({ type: 'plan-ready', plan });
  const result = (outcome: RunResult): DeployResult => ({
    plan,
    outcome,
    unreachable: prepared.unreachable,
    usage: prepared.session.usage(),
  });
  if (options.dryRun || plan.nodes.length === 0) return result(NOTHING);
  const confirmed = await confirmPrunes(context, { plan, prunes, prune: options.prune });
  const facts = await hookFacts(context, prepared, confirmed);
  await runHooks(context, prepared.desired, 'beforeDeploy', facts);
  const outcome = await runPlan(context, prepared, confirmed, {
    ...options,
    onFailure: prepared.desired.onFailure,
  });
  await runHooksAfter(context, prepared.desired, { outcome, facts });
  return result(outcome);
}

/** Before the plan: a state that was pruned by hand is made readable again, newer base images are fetched. */
async function prepareDeploy(context: Context, targets: readonly string[], options: DeployOptions): Promise<Prepared> {
  const prepared = await prepare(context, targets, options);
  if (options.dryRun) return prepared;
  const isRepaired = await repairState(context, prepared);
  const isPulled = options.pull && (await pullImages(context, prepared));
  if (!isRepaired && !isPulled) return prepared;
  await prepared[Symbol.asyncDispose]();
  return prepare(context, targets, options);
}

async function confirmPrunes(
  context: Context,
  { plan, prunes, prune }: { readonly plan: Plan; readonly prunes: readonly PlanNode[]; readonly prune: boolean },
): Promise<Plan> {
  if (prunes.length === 0 || prune) return plan;
  const names = prunes.map(
    (node) => `${node.action.type === 'remove-container' ? node.action.name : node.id} on ${node.host}`,
  );
  const isAgreed = await context.confirm(`The config no longer has ${names.join(', ')}. Remove them?`, '--prune');
  if (isAgreed) return plan;
  const dropped = new Set(prunes.map((node) => node.id));
  context.emit({
    type: 'warning',
    host: undefined,
    text: `still running, though not in the config: ${names.join(', ')}`,
  });
  return {
    nodes: plan.nodes
      .filter((node) => !dropped.has(node.id))
      .map((node) => ({ ...node, after: node.after.filter((id) => !dropped.has(id)) })),
  };
}
