import type { Plan, PlanNode } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import type { ObservedContainer } from '../core/state.ts';
import { placeOf } from './containers.ts';
import type { Bound, PlanInput } from './input.ts';
import { bindAll, candidatesOf } from './plan.ts';
import { slotOf } from './proxy/routes.ts';
import { orderRollout } from './rollout.ts';

export type LifecycleVerb = 'start' | 'stop' | 'restart';

/** start, stop or restart what is deployed, in the order of a rollout; stop in the reverse of it. */
export function planLifecycle(
  verb: LifecycleVerb,
  input: PlanInput,
): { readonly plan: Plan; readonly problems: readonly CuError[] } {
  const { bound, problems } = bindAll(input);
  const missing: CuError[] = [];
  const steps = bound.map((each) => {
    const container = candidatesOf(each, input).find((candidate) => candidate.name === each.spec.name);
    if (container === undefined && verb !== 'stop') missing.push(notDeployed(each));
    return { instance: each.instance, nodes: container === undefined ? [] : nodesFor(verb, each, container) };
  });
  const ordered = orderRollout(steps, []);
  return { plan: { nodes: verb === 'stop' ? reversed(ordered) : ordered }, problems: [...problems, ...missing] };
}

function nodesFor(verb: LifecycleVerb, { instance, spec }: Bound, container: ObservedContainer): readonly PlanNode[] {
  const { id } = container;
  const isRunning = container.state === 'running' || container.state === 'restarting';
  const at = { host: instance.host, after: [] };
  switch (verb) {
    case 'start':
      if (isRunning) return [];
      return [
        {
          ...at,
          id: `${instance.host}/${spec.name}/start`,
          action: { type: 'start-container', spec, id },
          cause: 'asked to',
        },
      ];
    case 'stop':
      if (!isRunning && container.state !== 'paused') return [];
      return [
        {
          ...at,
          id: `${instance.host}/${spec.name}/stop`,
          action: {
            type: 'stop-container',
            name: spec.name,
            id,
            drainMs: instance.drainMs,
            place: placeOf(instance, slotOf(container)),
          },
          cause: 'asked to',
        },
      ];
    case 'restart':
      return [
        {
          ...at,
          id: `${instance.host}/${spec.name}/restart`,
          action: { type: 'restart-container', spec, id },
          cause: 'asked to',
        },
      ];
  }
}

function notDeployed({ instance }: Bound): CuError {
  return new CuError('STEP_FAILED', `${instance.service}/${instance.instance} is not deployed on ${instance.host}`, {
    host: instance.host,
    hint: 'run `cu deploy` first',
  });
}

/** The same edges the other way round: webservers stop before workers, workers before the broker. */
function reversed(nodes: readonly PlanNode[]): readonly PlanNode[] {
  return nodes.toReversed().map((node) => ({
    ...node,
    after: nodes.filter((other) => other.after.includes(node.id)).map((other) => other.id),
  }));
}
