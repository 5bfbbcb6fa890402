import type { Action, PlanNode } from '../core/action.ts';
import type { ContainerSpec } from '../core/container.ts';
import type { ProxyPart, ProxyPlace, Slot } from '../core/proxy.ts';
import { LABELS } from '../core/state.ts';
import type { InstanceSpec, ObservedContainer, ObservedHost, RolloutStrategy } from '../core/state.ts';
import { memoryOf } from './body.ts';
import { compare } from './compare.ts';
import { isProxied, routesOf, slotOf } from './proxy/routes.ts';
import type { CompareScope } from './compare.ts';

/** Suffix of a container that has not proven itself yet, and of one that has been replaced. */
export const UNPROVEN = '-new';
export const REPLACED = '-old';

/** What a container is called, before its short id, that was told to finish its work and is waited for by nobody. */
export const DRAINING = '-draining-';

/** Why something is there that the config does not ask for. */
export const LEFT = 'left by an interrupted run';
export const FINISHED = 'has finished its work';

/** Steps for one instance, in order, with nothing in `after` but each other. */
export function containerNodes(
  instance: InstanceSpec,
  spec: ContainerSpec,
  candidates: readonly ObservedContainer[],
  scope: CompareScope & ContainerScope,
): readonly PlanNode[] {
  const { keeper, leftovers, draining } = sortAll(spec.name, candidates);
  const node = (verb: string, name: string, action: Action, cause: string): PlanNode => ({
    id: `${instance.host}/${name}/${verb}`,
    host: instance.host,
    action,
    cause,
    after: [],
  });
  const cleanup = [
    ...switchNodes(instance, keeper, scope).map(({ action, cause }) => node('switch', spec.name, action, cause)),
    ...leftovers.map((leftover) => removeLeftover(instance, leftover)),
    // One that still works was told to stop when its work is done: the next command after that takes it away.
    ...draining.filter((each) => each.state !== 'running').map((each) => removeLeftover(instance, each, FINISHED)),
  ];
  if (keeper === undefined)
    return [...cleanup, node('create', spec.name, { type: 'create-container', spec }, 'not found')];
  const verdict = compare(spec, keeper, scope);
  switch (verdict.type) {
    case 'same':
      return cleanup;
    case 'update':
      return [
        ...cleanup,
        node(
          'update',
          spec.name,
          { type: 'update-container', spec, id: keeper.id, previous: keeper.limits },
          verdict.cause,
        ),
      ];
    case 'stopped':
      return [...cleanup, node('start', spec.name, { type: 'start-container', spec, id: keeper.id }, verdict.cause)];
    case 'replace': {
      const strategy = strategyOf(instance, keeper, scope);
      const action = { type: 'replace-container', spec, oldId: keeper.id, strategy, isCanary: true } as const;
      const gap = strategy === 'proxy' ? handoverOf(instance, keeper) : gapOf(instance, strategy, scope);
      const replace = node('replace', spec.name, action, `${verdict.cause}${gap}`);
      if (strategy === 'recreate') return [...cleanup, replace];
      const isDetached = scope.isDetached && slotOf(keeper) === undefined;
      return [...cleanup, replace, drainNode(instance, keeper, isDetached)];
    }
  }
}

/** What an interrupted run has left beside the container of an instance, or a drain that has ended. */
export function removeLeftover(instance: InstanceSpec, container: ObservedContainer, cause: string = LEFT): PlanNode {
  const { name, id } = container;
  const { host, drainMs } = instance;
  const place = placeOf(instance, slotOf(container));
  const action = { type: 'remove-container', name, id, drainMs, place } as const;
  return { id: `${host}/${name}/remove`, host, action, cause, after: [] };
}

/** What a `replace-container` that needs no gap leaves running: it gets to finish its work. */
export function drainNode(instance: InstanceSpec, old: ObservedContainer, isDetached: boolean): PlanNode {
  const { host, service, instance: name, drainMs, containerName } = instance;
  const drained = { type: 'drain-container', service, instance: name, drainMs } as const;
  return {
    id: `${host}/${containerName}/drain`,
    host,
    action: {
      ...drained,
      name: `${containerName}${REPLACED}`,
      id: old.id,
      isDetached,
      place: placeOf(instance, slotOf(old)),
    },
    cause: 'replaced',
    after: [],
  };
}

/**
 * Which container stands for the instance, and which are left from a run that was cut off. A new one is called
 * NAME-new until it has proven itself, then the old becomes NAME-old and the new takes the name:
 * so NAME alone is proven, and NAME-old beside NAME-new without NAME was cut between the two renames.
 */
export function sortOut(
  name: string,
  candidates: readonly ObservedContainer[],
): { readonly keeper: ObservedContainer | undefined; readonly leftovers: readonly ObservedContainer[] } {
  const named = (wanted: string): ObservedContainer | undefined =>
    candidates.find((candidate) => candidate.name === wanted);
  const others = candidates.filter(
    (candidate) => ![`${name}${UNPROVEN}`, `${name}${REPLACED}`].includes(candidate.name),
  );
  const newest = others.toSorted((a, b) => b.createdAt - a.createdAt)[0];
  const keeper =
    named(name) ??
    newest ??
    (named(`${name}${REPLACED}`) === undefined
      ? undefined
      : (named(`${name}${UNPROVEN}`) ?? named(`${name}${REPLACED}`)));
  return { keeper, leftovers: candidates.filter((candidate) => candidate !== keeper) };
}

interface Sorted extends ReturnType<typeof sortOut> {
  /** Told to finish their work, and waited for by nobody. */
  readonly draining: readonly ObservedContainer[];
}

/** The same for all that is there of an instance, whether it still works or not. */
export function sortAll(name: string, candidates: readonly ObservedContainer[]): Sorted {
  const draining = candidates.filter((candidate) => isDraining(name, candidate));
  return {
    ...sortOut(
      name,
      candidates.filter((candidate) => !draining.includes(candidate)),
    ),
    draining,
  };
}

export function isDraining(name: string, container: Pick<ObservedContainer, 'name'>): boolean {
  return container.name.startsWith(`${name}${DRAINING}`);
}

/** Where nothing says how long it may take. */
const DEFAULT_DRAIN_MS = 30_000;

/** How long one may take to finish that the config may know no more: as it was made. */
export function drainOf(container: ObservedContainer, instances: readonly InstanceSpec[]): number {
  const service = container.labels[LABELS.service];
  return container.stopMs ?? instances.find((each) => each.service === service)?.drainMs ?? DEFAULT_DRAIN_MS;
}

export interface ContainerScope {
  readonly roomBytes: number;
  readonly isDetached: boolean;
  readonly part: ProxyPart | undefined;
}

export function placeOf({ service, instance }: InstanceSpec, slot: Slot | undefined): ProxyPlace | undefined {
  return slot === undefined ? undefined : { service, instance, slot };
}

/** A run that was cut off between the proxy and the names left requests with the wrong one of two containers. */
function switchNodes(
  instance: InstanceSpec,
  keeper: ObservedContainer | undefined,
  { part, host }: ContainerScope & Pick<CompareScope, 'host'>,
): readonly Pick<PlanNode, 'action' | 'cause'>[] {
  const place = placeOf(instance, slotOf(keeper));
  if (place === undefined || part === undefined || keeper?.state !== 'running') return [];
  const isElsewhere = routesOf(part, instance).some(({ server }) => server.live !== place.slot);
  const { dockerGid: socketGid } = host.facts;
  const action = { type: 'switch-proxy', place, drainMs: instance.drainMs, socketGid } as const;
  return isElsewhere ? [{ action, cause: LEFT }] : [];
}

interface Room {
  readonly host: ObservedHost;
  /** Memory of the host that no instance of this environment is promised. */
  readonly roomBytes: number;
}

/** Stop-first wherever two of them cannot live side by side, whatever the config prefers. */
export function strategyOf(instance: InstanceSpec, keeper: ObservedContainer, room: Room): RolloutStrategy {
  if (isProxied(instance) && !instance.singleton && hasRoom(instance, room)) return 'proxy';
  // What moves away from behind the proxy publishes a port that its old container does not hold.
  if (instance.ports.length > 0 || instance.network === 'host' || instance.singleton) return 'recreate';
  if (!hasRoom(instance, room)) return 'recreate';
  return instance.rollout === 'proxy' ? 'start-first' : instance.rollout;
}

/** The first time the proxy has to get the port from the container that holds it. */
function handoverOf(instance: InstanceSpec, keeper: ObservedContainer): string {
  return slotOf(keeper) === undefined ? `, hands port ${instance.ports[0]?.port ?? ''} to the proxy: a short gap` : '';
}

function hasRoom(instance: InstanceSpec, { host, roomBytes }: Room): boolean {
  return memoryOf(instance, host) <= roomBytes;
}

function gapOf(instance: InstanceSpec, strategy: RolloutStrategy, room: Room): string {
  const port = instance.ports[0];
  if (strategy !== 'recreate') return '';
  const last = room.host.state?.gaps[`${instance.service}/${instance.instance}`];
  const gap = last === undefined ? '' : `, ${(last / 1000).toFixed(1)} s without it last time`;
  if (port !== undefined && !isProxied(instance)) return `, stop first: holds port ${port.port}${gap}`;
  if (instance.singleton) return `, stop first: only one at a time${gap}`;
  if (!hasRoom(instance, room)) return `, stop first: no memory for two${gap}`;
  if (instance.network === 'host') return `, stop first: on the host's network${gap}`;
  const volume = instance.mounts.find((mount) => mount.type === 'volume' && !mount.readOnly);
  // A worker may write beside another: there it is the config that wants it so.
  const isWriter = volume !== undefined && ['container', 'webserver', 'redis'].includes(instance.kind);
  return `, stop first: ${isWriter ? `writes to ${volume.target}` : 'rollout: recreate'}${gap}`;
}

export function isOfInstance(container: ObservedContainer, instance: InstanceSpec): boolean {
  return (
    container.labels[LABELS.service] === instance.service && container.labels[LABELS.instance] === instance.instance
  );
}
