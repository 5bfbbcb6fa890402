import { carryOut } from './carry-out.ts';
import type { DeployResult } from './carry-out.ts';
import type { Context } from './context.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import { pullImages } from './pull.ts';
import { repairState } from './repair.ts';
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

/** load, resolve, lock, observe, plan, confirm, execute: the one way. */
export async function deploy(
  context: Context,
  targets: readonly string[],
  options: DeployOptions,
): Promise<DeployResult> {
  const { planFile } = options;
  await using prepared = await prepareDeploy(context, targets, options);
  return await carryOut(context, prepared, {
    ...options,
    kind: 'deploy',
    targets,
    check: async (plan) => {
      if (planFile !== undefined) await checkSavedPlan(context, planFile, { plan, prepared });
    },
  });
}

/** Before the plan: a state that was pruned by hand is made readable again, newer base images are fetched. */
async function prepareDeploy(context: Context, targets: readonly string[], options: DeployOptions): Promise<Prepared> {
  const request = options.dryRun ? options : { ...options, command: 'deploy' };
  const prepared = await prepare(context, targets, request);
  if (options.dryRun) return prepared;
  const isRepaired = await repairState(context, prepared);
  const isPulled = options.pull && (await pullImages(context, prepared));
  if (!isRepaired && !isPulled) return prepared;
  await prepared[Symbol.asyncDispose]();
  return prepare(context, targets, request);
}
