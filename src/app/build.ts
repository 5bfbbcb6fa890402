import type { Plan, PlanNode } from '../core/action.ts';
import type { CuError } from '../core/error.ts';
import type { Desired } from '../core/state.ts';
import type { ExecutionResult } from '../execute/execute.ts';
import type { WantedImage } from '../plan/input.ts';
import type { Context } from './context.ts';
import { readInputs, wantImages } from './images.ts';
import type { ImageUse } from './images.ts';
import { openProject } from './project.ts';
import { openSession } from './session.ts';
import type { Session } from './session.ts';
import { runPlan } from './run-plan.ts';

export interface BuildResult {
  readonly plan: Plan;
  readonly outcome: ExecutionResult;
  readonly unreachable: readonly CuError[];
}

export interface BuildOptions {
  readonly rebuild: boolean;
  readonly pull: boolean;
}

/** `cu build`: builds where the config says, with no other host contacted; the same inputs are not built again. */
export async function build(context: Context, options: BuildOptions): Promise<BuildResult> {
  const { desired } = await openProject(context);
  await using session = openSession(context, desired);
  const { plan, outcome } = await buildImages(context, { session, desired, uses: desired.instances }, options);
  return { plan, outcome, unreachable: [] };
}

/** Builds those of the used images that their builders do not have. */
export async function buildImages(
  context: Context,
  at: { readonly session: Session; readonly desired: Desired; readonly uses: readonly ImageUse[] },
  options: BuildOptions,
): Promise<{
  readonly plan: Plan;
  readonly outcome: ExecutionResult;
  readonly images: ReadonlyMap<string, WantedImage>;
}> {
  const { session, desired, uses } = at;
  const inputs = await readInputs(context, desired, uses);
  const images = await wantImages(
    context,
    { session, desired, instances: uses, observed: [], inputs },
    { version: undefined, noBuild: false, rebuild: options.rebuild, isBuild: true },
  );
  const nodes = [...images].flatMap(([name, wanted]): readonly PlanNode[] =>
    wanted.type === 'ref' || wanted.origin === undefined || wanted.origin.isBuilt
      ? []
      : [
          {
            id: `${wanted.origin.host}/${name}/build`,
            host: wanted.origin.host,
            action: { type: 'build-image', image: name, version: wanted.version, inputs: wanted.inputs },
            cause: options.rebuild ? 'asked to rebuild' : 'no image of these inputs',
            after: [],
          },
        ],
  );
  const plan = { nodes };
  context.emit({ type: 'plan-ready', plan });
  const outcome = await runPlan(context, { desired, session, observed: [], images, inputs }, plan, options);
  return { plan, outcome, images };
}
