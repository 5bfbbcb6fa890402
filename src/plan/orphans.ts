import type { PlanNode } from '../core/action.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import { drainOf, isOfInstance } from './containers.ts';
import type { Bound, PlanInput } from './input.ts';
import { keptNodes } from './remove.ts';

/** Steps that are asked about first, because with them a whole service leaves a host. */
export interface Prunes {
  readonly containers: readonly PlanNode[];
  /** What goes from a host with the last of them, or stays with it. */
  readonly along: readonly PlanNode[];
}

interface Orphans {
  /** What stands in the way of something new: done before it. */
  readonly early: readonly PlanNode[];
  /** The rest: done once all else has succeeded. */
  readonly late: readonly PlanNode[];
  readonly prunes: Prunes;
}

const CAUSE = 'no longer in the config';

/**
 * Containers of this environment that nothing wants, and what cu keeps on hosts that nothing is to run on any more.
 * They are removed once all else has succeeded; containers that hold a port which a new one needs, or are a singleton
 * that moves to another host, are stopped before it. A deploy of targets knows of nothing but its singletons.
 */
export function orphanNodes(input: PlanInput, bound: readonly Bound[], proven: readonly string[]): Orphans {
  const early: PlanNode[] = [];
  const late: PlanNode[] = [];
  const containers: PlanNode[] = [];
  const along: PlanNode[] = [];
  for (const host of input.hosts) {
    const found = containersOn(host, input);
    const stops = found.filter((each) => isInTheWay(each, host, { input, bound })).map(stopNode(host, input));
    early.push(...stops);
    const removals = found.map(removeNode(host, input)).map((node) => {
      const stop = stops.find(({ id }) => id === node.id.replace(/remove$/, 'stop'));
      return { ...node, after: [...(stop === undefined ? [] : [stop.id]), ...proven] };
    });
    const vacated = vacateNodes(host, input, [...removals.map(({ id }) => id), ...proven]);
    late.push(...removals, ...vacated);
    const prunes = [...stops, ...removals].filter((node) => isPrune(node, found, input));
    containers.push(...prunes);
    if (prunes.length > 0) along.push(...vacated);
  }
  return { early, late, prunes: { containers, along } };
}

export function isOurs(container: Pick<ObservedContainer, 'labels'>, { desired }: Pick<PlanInput, 'desired'>): boolean {
  return (
    container.labels[LABELS.project] === desired.project &&
    container.labels[LABELS.environment] === desired.environment &&
    container.labels[LABELS.service] !== undefined
  );
}

function containersOn(host: ObservedHost, input: PlanInput): readonly ObservedContainer[] {
  const { instances } = input.desired;
  const wanted = instances.filter((instance) => instance.host === host.name);
  return host.containers.filter(
    (container) =>
      isOurs(container, input) &&
      !wanted.some((instance) => isOfInstance(container, instance)) &&
      (input.isWhole || isSingleton(container, input.instances)) &&
      !isAllThereIs(container, input),
  );
}

function isSingleton({ labels }: ObservedContainer, instances: PlanInput['instances']): boolean {
  return instances.some(({ singleton, service }) => singleton && service === labels[LABELS.service]);
}

/** It is to run elsewhere instead, on a host that was left out: until that is there, this one is kept. */
function isAllThereIs({ labels }: ObservedContainer, { desired, hosts }: PlanInput): boolean {
  const seen = new Set(hosts.map(({ name }) => name));
  return desired.instances.some(({ service, host }) => service === labels[LABELS.service] && !seen.has(host));
}

function isInTheWay(
  container: ObservedContainer,
  host: ObservedHost,
  { input, bound }: { readonly input: PlanInput; readonly bound: readonly Bound[] },
): boolean {
  if (isSingleton(container, input.desired.instances)) return true;
  const ports = bound.flatMap((each) => (each.host === host ? each.instance.ports.map(({ port }) => port) : []));
  return container.ports.some(({ port }) => ports.includes(port));
}

function stopNode({ name: host }: ObservedHost, { desired }: PlanInput): (container: ObservedContainer) => PlanNode {
  return (container) => {
    const { name, id } = container;
    const drainMs = drainOf(container, desired.instances);
    const action = { type: 'stop-container', name, id, drainMs } as const;
    return { id: `${host}/${name}/stop`, host, action, cause: CAUSE, after: [] };
  };
}

function removeNode({ name: host }: ObservedHost, { desired }: PlanInput): (container: ObservedContainer) => PlanNode {
  return (container) => {
    const { name, id } = container;
    const drainMs = drainOf(container, desired.instances);
    const action = { type: 'remove-container', name, id, drainMs, isOrphan: true } as const;
    return { id: `${host}/${name}/remove`, host, action, cause: CAUSE, after: [] };
  };
}

/** A host that nothing is to run on loses the network and the state as well; data stays. */
function vacateNodes(host: ObservedHost, input: PlanInput, after: readonly string[]): readonly PlanNode[] {
  const { desired, isWhole } = input;
  if (!isWhole || desired.instances.some((instance) => instance.host === host.name)) return [];
  if (host.containers.some((container) => isOurs(container, input) && isAllThereIs(container, input))) return [];
  return keptNodes(desired, host, 'nothing runs there any more').map((node) => ({
    ...node,
    after: [...node.after, ...after],
  }));
}

/**
 * Fewer replicas of a service is a change of the config, and so is a singleton that moves; a whole service gone from a
 * host is asked about.
 */
function isPrune({ host, action }: PlanNode, found: readonly ObservedContainer[], { desired }: PlanInput): boolean {
  const container = found.find(({ id }) => 'id' in action && id === action.id);
  const service = container?.labels[LABELS.service];
  return !desired.instances.some((each) => each.service === service && (each.host === host || each.singleton));
}
