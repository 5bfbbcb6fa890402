import type { PlanNode } from '../core/action.ts';
import { CuErrors } from '../core/error.ts';
import type { Context } from './context.ts';
import type { Prepared } from './prepare.ts';
import { runPlan } from './run-plan.ts';

/** `--pull`: fetches every `ref` image anew, on each host that uses it, before the plan compares. */
export async function pullImages(context: Context, prepared: Prepared): Promise<boolean> {
  const nodes = [...prepared.images].flatMap(([name, wanted]): readonly PlanNode[] => {
    if (wanted.type !== 'ref') return [];
    const hosts = new Set(
      prepared.instances.filter((instance) => instance.image === name).map((instance) => instance.host),
    );
    return prepared.observed
      .filter((host) => hosts.has(host.name))
      .map((host) => ({
        id: `${host.name}/${name}/pull`,
        host: host.name,
        action: { type: 'pull-image', image: name, reference: wanted.source.reference },
        cause: '--pull',
        after: [],
      }));
  });
  if (nodes.length === 0) return false;
  const outcome = await runPlan(context, prepared, { nodes });
  if (outcome.failed.length > 0) throw new CuErrors(outcome.failed.map(({ error }) => error));
  return true;
}
