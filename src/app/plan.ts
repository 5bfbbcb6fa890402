import { carryOut } from './carry-out.ts';
import type { DeployResult } from './carry-out.ts';
import type { Context } from './context.ts';
import { prepare } from './prepare.ts';
import { savePlan } from './saved-plan.ts';

/** What a deploy would do, and what stands in its way; only GET calls are made. */
export async function plan(
  context: Context,
  targets: readonly string[],
  { out }: { readonly out: string | undefined },
): Promise<DeployResult> {
  await using prepared = await prepare(context, targets, { version: undefined, noBuild: false, rebuild: false });
  return await carryOut(context, prepared, {
    kind: 'deploy',
    targets,
    dryRun: true,
    prune: false,
    check: async (made) => {
      if (out !== undefined) await savePlan(context, out, { plan: made, prepared });
    },
  });
}
