import { carryOut } from './carry-out.ts';
import type { DeployResult } from './carry-out.ts';
import type { Context } from './context.ts';
import { recallChoices } from './plan-choices.ts';
import type { GivenChoices, PlanChoices } from './plan-choices.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import { pullImages } from './pull.ts';
import { repairState } from './repair.ts';
import { checkSavedPlan, readSavedPlan } from './saved-plan.ts';

export interface DeployOptions extends Omit<GivenChoices, 'targets'> {
  readonly dryRun: boolean;
  readonly planFile: string | undefined;
  readonly pull: boolean;
  /** Answers beforehand whether what the config no longer has may be removed. */
  readonly prune: boolean;
}

/** load, resolve, lock, observe, plan, confirm, execute: the one way. */
export async function deploy(
  context: Context,
  targets: readonly string[],
  options: DeployOptions,
): Promise<DeployResult> {
  const { planFile, dryRun, pull, prune, rebuild } = options;
  const given = { ...options, targets };
  const saved = planFile === undefined ? undefined : await readSavedPlan(context, planFile);
  const choices =
    saved === undefined ? { ...given, pauseMs: given.pauseMs ?? 0 } : recallChoices(saved.file, saved.choices, given);
  const request = { ...choices, dryRun, pull, prune, rebuild };
  await using prepared = await prepareDeploy(context, request);
  return await carryOut(context, prepared, {
    ...request,
    kind: 'deploy',
    check: async (plan) => {
      if (saved !== undefined) checkSavedPlan(saved, { plan, prepared });
    },
  });
}

interface Request extends PlanChoices, Pick<DeployOptions, 'dryRun' | 'pull' | 'rebuild'> {}

/** Before the plan: a state that was pruned by hand is made readable again, newer base images are fetched. */
async function prepareDeploy(context: Context, { targets, ...options }: Request): Promise<Prepared> {
  const request = options.dryRun ? options : { ...options, command: 'deploy' };
  const prepared = await prepare(context, targets, request);
  if (options.dryRun) return prepared;
  const isRepaired = await repairState(context, prepared);
  const isPulled = options.pull && (await pullImages(context, prepared));
  if (!isRepaired && !isPulled) return prepared;
  await prepared[Symbol.asyncDispose]();
  return prepare(context, targets, request);
}
