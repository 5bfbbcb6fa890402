import type { Plan, PlanNode } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer } from '../core/state.ts';
import { drainNode, LEFT, placeOf, removeLeftover, sortAll, strategyOf } from './containers.ts';
import type { Bound, PlanInput } from './input.ts';
import { bindAll, candidatesOf, isStateLost, roomOn } from './plan.ts';
import { slotOf } from './proxy/routes.ts';
import { orderRollout } from './rollout.ts';
import { specChanges } from './spec-label.ts';
import { isGate, retireNodes, verifyNodes } from './undo.ts';

export type LifecycleVerb = 'start' | 'stop' | 'restart';

/** start, stop or restart what is deployed, in the order of a rollout; stop in the reverse of it. */
export function planLifecycle(
  verb: LifecycleVerb,
  input: PlanInput,
): { readonly plan: Plan; readonly problems: readonly CuError[] } {
  const { bound, problems } = bindAll(input);
  const missing: CuError[] = [];
  const steps = bound.map((each) => {
    const { instance } = each;
    const candidates = candidatesOf(each, input);
    if (verb === 'stop') return { instance, nodes: stopNodes(each, candidates) };
    const container = candidates.find((candidate) => candidate.name === each.spec.name);
    if (container === undefined) {
      missing.push(notDeployed(each));
      return { instance, nodes: [] };
    }
    const { leftovers } = sortAll(each.spec.name, candidates);
    const renewed = verb === 'restart' ? renewNodes(each, { container, leftovers }, input) : undefined;
    return { instance, nodes: renewed ?? nodesFor(verb, each, container) };
  });
  const ordered = orderRollout(steps, []);
  const verify = verifyNodes(ordered, []);
  const proven = [...ordered, ...verify].filter(isGate).map(({ id }) => id);
  const nodes = [...ordered, ...verify, ...retireNodes(ordered, proven)];
  return { plan: { nodes: verb === 'stop' ? reversed(ordered) : nodes }, problems: [...problems, ...missing] };
}

/**
 * A webserver behind the proxy is not restarted but replaced by its like, so that no request fails. Where the config has
 * other settings by now, which a restart must not bring, or there is no room for two, undefined: it is restarted in place.
 */
function renewNodes(
  { instance, spec, host }: Bound,
  { container, leftovers }: { readonly container: ObservedContainer; readonly leftovers: readonly ObservedContainer[] },
  input: PlanInput,
): readonly PlanNode[] | undefined {
  const { id: oldId, imageId, labels, state } = container;
  const strategy = strategyOf(instance, container, { host, roomBytes: roomOn(host, input.desired) });
  if (strategy !== 'proxy' || slotOf(container) === undefined || state !== 'running') return undefined;
  const ignoreSecrets = isStateLost(host, input);
  if (specChanges(spec.labels[LABELS.spec] ?? '', labels[LABELS.spec], { ignoreSecrets }).length > 0) return undefined;
  const { version, inputs } = LABELS;
  const own = Object.fromEntries(
    [version, inputs].flatMap((name) => Object.entries(labels).filter(([key]) => key === name)),
  );
  const env = labels[version] === undefined ? spec.env : { ...spec.env, CU_VERSION: labels[version] };
  const like = { ...spec, env, labels: { ...spec.labels, ...own } };
  const action = { type: 'replace-container', spec: like, oldId, strategy, isCanary: true, imageId } as const;
  const at = { id: `${instance.host}/${spec.name}/replace`, host: instance.host, after: [] };
  return [
    ...leftovers.map((leftover) => removeLeftover(instance, leftover)),
    { ...at, action, cause: 'asked to' },
    drainNode(instance, container, false),
  ];
}

/** Of an instance everything stops that runs: what stands for it, and what an interrupted run or `--detach` has left. */
function stopNodes({ instance, spec }: Bound, candidates: readonly ObservedContainer[]): readonly PlanNode[] {
  const { keeper, leftovers, draining } = sortAll(spec.name, candidates);
  const stop = (container: ObservedContainer, cause: string, isLeftover: boolean): PlanNode => {
    const { name, id } = container;
    const place = placeOf(instance, slotOf(container));
    return {
      id: `${instance.host}/${name}/stop`,
      host: instance.host,
      action: { type: 'stop-container', name, id, drainMs: instance.drainMs, place, isLeftover },
      cause,
      after: [],
    };
  };
  // In the order of a start, so that what takes new work is the first to stop.
  return [
    ...draining.filter(isUp).map((each) => stop(each, 'still finishes its work', true)),
    ...leftovers.filter(isUp).map((each) => stop(each, LEFT, true)),
    ...(keeper !== undefined && isUp(keeper) ? [stop(keeper, 'asked to', false)] : []),
  ];
}

function isUp({ state }: ObservedContainer): boolean {
  return state === 'running' || state === 'restarting' || state === 'paused';
}

function nodesFor(
  verb: Exclude<LifecycleVerb, 'stop'>,
  { instance, spec }: Bound,
  container: ObservedContainer,
): readonly PlanNode[] {
  const { id, state } = container;
  const at = { host: instance.host, after: [] };
  switch (verb) {
    case 'start':
      if (state === 'running' || state === 'restarting') return [];
      return [
        {
          ...at,
          id: `${instance.host}/${spec.name}/start`,
          action: { type: 'start-container', spec, id },
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
