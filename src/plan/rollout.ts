import type { Action, PlanNode } from '../core/action.ts';
import type { InstanceSpec } from '../core/state.ts';

interface InstanceSteps {
  readonly instance: InstanceSpec;
  readonly nodes: readonly PlanNode[];
}

/** An instance that something is done to, where its service comes, and the batch of it; 0 is the canary's. */
interface BatchedSteps extends InstanceSteps {
  readonly batch: number;
  readonly turn: Turn;
}

/** Services of a lower phase come first, and within a phase those that others depend on. */
interface Turn {
  readonly phase: number;
  readonly depth: number;
}

export interface RolloutOptions {
  /** Rest between the batches of a service. */
  readonly pauseMs: number;
}

/**
 * Orders what happens to containers: phase after phase (broker, workers, webservers), one instance of a service
 * at a time on a host. Where something is replaced, one host goes first as a canary and the rest follow in batches;
 * each waits for the gates of what goes before it, and for the drain only of what was replaced on the same host.
 */
export function orderRollout(
  steps: readonly InstanceSteps[],
  before: readonly PlanNode[],
  { pauseMs }: RolloutOptions = { pauseMs: 0 },
): readonly PlanNode[] {
  const busy = withBatches(steps).toSorted(compareSteps);
  const ordered: PlanNode[] = [];
  const done = new Map<BatchedSteps, readonly PlanNode[]>();
  const pauses = new Map<string, string>();
  for (const step of busy) {
    const waits = new Set(preparations(step, before));
    for (const [other, nodes] of done) for (const id of waitsFor(step, other, nodes)) waits.add(id);
    if (pauseMs > 0 && step.batch > 0) {
      const key = `${step.instance.service}/pause-${step.batch}`;
      const known = pauses.get(key);
      const id = known ?? `${step.instance.host}/${key}`;
      if (known === undefined) ordered.push(pauseNode(id, step, [...waits], pauseMs));
      pauses.set(key, id);
      waits.add(id);
    }
    const nodes: PlanNode[] = [];
    for (const node of step.nodes) {
      nodes.push({ ...withCanary(node, step), after: [...waits, ...nodes.map(({ id }) => id)] });
    }
    ordered.push(...nodes);
    done.set(step, nodes);
  }
  return ordered;
}

/** Where nothing that runs is touched there is nothing to protect, and all hosts go at once. */
function withBatches(steps: readonly InstanceSteps[]): readonly BatchedSteps[] {
  const turns = turnsOf(steps);
  const busy = steps
    .filter((step) => step.nodes.length > 0)
    .map((step) => ({ ...step, turn: turns.get(step.instance.service) ?? { phase: step.instance.phase, depth: 0 } }));
  const services = new Set(busy.map(({ instance }) => instance.service));
  return [...services].flatMap((service) => {
    const own = busy.filter(({ instance }) => instance.service === service);
    const isRenewed = own.some(({ nodes }) => nodes.some(({ action }) => RENEWALS.includes(action.type)));
    if (!isRenewed) return own.map((step) => ({ ...step, batch: 0 }));
    const all = new Set(steps.flatMap(({ instance }) => (instance.service === service ? [instance.host] : [])));
    const hosts = [...new Set(own.map(({ instance }) => instance.host))].toSorted();
    return own.map((step) => {
      const at = hosts.indexOf(step.instance.host);
      return { ...step, batch: at === 0 ? 0 : 1 + Math.floor((at - 1) / batchSize(step.instance, all.size)) };
    });
  });
}

/** What takes from its clients one that may be well. */
const RENEWALS: readonly Action['type'][] = ['replace-container', 'restart-container'];

/** A service that depends on one of a later phase comes in that phase; the rules of the config refuse circles. */
function turnsOf(steps: readonly InstanceSteps[]): ReadonlyMap<string, Turn> {
  const instances = new Map(steps.map(({ instance }) => [instance.service, instance]));
  const turns = new Map<string, Turn>();
  const turnOf = (service: string, below: readonly string[]): Turn | undefined => {
    const known = turns.get(service);
    const instance = instances.get(service);
    if (known !== undefined || instance === undefined || below.includes(service)) return known;
    const others = instance.dependsOn.flatMap((other) => turnOf(other, [...below, service]) ?? []);
    const phase = Math.max(instance.phase, ...others.map((other) => other.phase));
    const depth = Math.max(0, ...others.filter((other) => other.phase === phase).map((other) => other.depth + 1));
    turns.set(service, { phase, depth });
    return { phase, depth };
  };
  for (const service of [...instances.keys()].toSorted()) turnOf(service, []);
  return turns;
}

/** A share is one of the hosts of that service, at least one. */
function batchSize({ batch }: InstanceSpec, hosts: number): number {
  return batch.type === 'count' ? batch.count : Math.max(1, Math.ceil(batch.share * hosts));
}

function compareSteps(a: BatchedSteps, b: BatchedSteps): number {
  return (
    a.turn.phase - b.turn.phase ||
    a.turn.depth - b.turn.depth ||
    a.instance.service.localeCompare(b.instance.service) ||
    a.instance.host.localeCompare(b.instance.host) ||
    a.instance.instance.localeCompare(b.instance.instance, 'en', { numeric: true })
  );
}

/** Images everywhere, but networks, volumes and state only of the step's own host. */
function preparations(step: InstanceSteps, before: readonly PlanNode[]): readonly string[] {
  const isImage = (node: PlanNode): boolean => node.action.type.endsWith('-image');
  return before.filter((node) => isImage(node) || node.host === step.instance.host).map((node) => node.id);
}

/** Which steps of another instance come first. Old ones that finish their work hold up nothing on other hosts. */
function waitsFor(step: BatchedSteps, other: BatchedSteps, nodes: readonly PlanNode[]): readonly string[] {
  const isSameService = step.instance.service === other.instance.service;
  if (isSameService && step.instance.host === other.instance.host) return nodes.map(({ id }) => id);
  const isFirst =
    other.turn.phase < step.turn.phase ||
    step.instance.dependsOn.includes(other.instance.service) ||
    (isSameService && other.batch < step.batch);
  return isFirst ? nodes.filter(({ action }) => action.type !== 'drain-container').map(({ id }) => id) : [];
}

function withCanary(node: PlanNode, step: BatchedSteps): PlanNode {
  if (node.action.type !== 'replace-container') return node;
  return { ...node, action: { ...node.action, isCanary: step.batch === 0 } };
}

function pauseNode(id: string, step: BatchedSteps, after: readonly string[], ms: number): PlanNode {
  const { host, service } = step.instance;
  return { id, host, action: { type: 'pause', service, ms }, cause: `batch ${step.batch + 1}`, after };
}
