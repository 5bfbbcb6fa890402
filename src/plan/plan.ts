import type { Plan, PlanNode } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import { otherSlot } from '../core/proxy.ts';
import type { ProxyPart } from '../core/proxy.ts';
import type { Secret } from '../core/secret.ts';
import type { InstanceSpec, ObservedContainer, ObservedHost } from '../core/state.ts';
import { bind, projectNetwork, stateVolume } from './bind.ts';
import type { BindScope } from './bind.ts';
import { memoryOf } from './body.ts';
import { containerNodes, isOfInstance, sortOut } from './containers.ts';
import { imageNodes, tagNodes } from './images.ts';
import type { Bound, PlanInput } from './input.ts';
import { isOurs, orphanNodes } from './orphans.ts';
import type { Prunes } from './orphans.ts';
import { hostProblems, singletonProblems } from './problems.ts';
import { goingRoutes, heldDrains, proxyNodes, routeNodes } from './proxy/nodes.ts';
import { isProxied, partOn, routesOf, slotOf, wantedPart, withOthers } from './proxy/routes.ts';
import { holdForTasks, taskNodes } from './tasks.ts';
import { orderRollout } from './rollout.ts';
import { isGate, retireNodes, verifyNodes } from './undo.ts';

export interface Planned {
  readonly plan: Plan;
  /** What stands in the way; found before anything changes, all at once. */
  readonly problems: readonly CuError[];
  /** Steps of the plan that take away a service or host which the config no longer has. */
  readonly prunes: Prunes;
}

/** What has to happen so that the hosts are what the config says: a pure function of both. */
export function plan(input: PlanInput): Planned {
  const { bound, problems, parts } = bindAll(input);
  const images = imageNodes(input);
  const preparations = input.hosts.flatMap((host) => [
    ...prepareNodes(host, bound, input),
    ...proxyNodes(host, parts.get(host.name) ?? noRoutes(input), images),
  ]);
  const rollout = bound.map((each) => ({
    instance: each.instance,
    nodes: containerNodes(each.instance, each.spec, candidatesOf(each, input), {
      host: each.host,
      image: wantedImage(each.instance, input),
      rebuild: input.rebuild,
      ignoreSecrets: isStateLost(each.host, input),
      roomBytes: roomOn(each.host, input.desired),
      isDetached: input.isDetached,
      part: partOn(each.host, input.desired),
    }),
  }));
  const containers = orderRollout(rollout, [...images, ...preparations], input);
  const routes = routeNodes(input, parts, { bound, containers, before: [...images, ...preparations] });
  const freeing = routes.filter(({ takers }) => takers.length > 0);
  const routed = routes.map(({ node }) => node);
  const arriving = routes.filter(({ isFarewell }) => !isFarewell).map(({ node }) => node);
  const held = heldDrains(input, parts, { bound, containers, routes: arriving });
  const verify = verifyNodes(containers, routed);
  const proven = [...containers, ...routed, ...verify].filter(isGate).map((node) => node.id);
  const { early, late, prunes } = orphanNodes(input, bound, [
    ...proven,
    ...containers.filter(({ action }) => action.type === 'drain-container').map(({ id }) => id),
  ]);
  const tags = tagNodes(input, () => proven);
  const tasks = taskNodes(input, bound, containers, [...images, ...preparations]);
  const blocked = early.map((node) => node.id);
  const freeingFor = ({ id }: PlanNode): readonly string[] =>
    freeing.filter(({ takers }) => takers.includes(id)).map(({ node }) => node.id);
  const nodes = [
    ...images,
    ...preparations,
    ...early.map((node) => ({ ...node, after: images.map((image) => image.id) })),
    ...without(containers, held).flatMap((node) => [
      ...freeing
        .filter(({ takers }) => takers[0] === node.id)
        .map((each) => ({
          ...each.node,
          after: [...each.node.after, ...node.after, ...blocked],
        })),
      { ...node, after: [...node.after, ...blocked, ...freeingFor(node)] },
    ]),
    ...routes.filter((each) => !freeing.includes(each)).map(({ node }) => node),
    ...held,
    ...verify,
    ...retireNodes(containers, proven),
    ...late,
    ...tags,
  ];
  return {
    plan: { nodes: holdForTasks(nodes, tasks) },
    problems: [...problems, ...hostProblems(input, bound, parts), ...singletonProblems(input, containers)],
    prunes: { ...prunes, along: [...prunes.along, ...goingRoutes(routes, prunes.containers)] },
  };
}

function without(nodes: readonly PlanNode[], others: readonly PlanNode[]): readonly PlanNode[] {
  const ids = new Set(others.map(({ id }) => id));
  return nodes.filter(({ id }) => !ids.has(id));
}

/** Every instance on a reached host, bound to it; what cannot be bound is a problem each. */
export function bindAll(input: PlanInput): {
  readonly bound: readonly Bound[];
  readonly problems: readonly CuError[];
  /** What each host's proxy is to route. */
  readonly parts: ReadonlyMap<string, ProxyPart>;
} {
  const bound: Bound[] = [];
  const problems: CuError[] = [];
  const parts = new Map<string, ProxyPart>();
  for (const host of input.hosts) {
    try {
      parts.set(host.name, partFor(host, input));
    } catch (error) {
      if (!(error instanceof CuError)) throw error;
      problems.push(error);
    }
  }
  const brokerHost = input.hosts.find((host) => host.name === input.desired.broker?.host);
  for (const instance of input.instances) {
    const host = input.hosts.find((candidate) => candidate.name === instance.host);
    if (host === undefined) continue;
    if (isPasswordUnknown(instance, input)) {
      problems.push(unknownPassword(instance, input));
      continue;
    }
    try {
      const scope = {
        desired: input.desired,
        host,
        brokerHost,
        brokerPassword: brokerPassword(input),
        image: wantedImage(instance, input),
        specKey: host.state?.specKey ?? input.fresh.specKey,
        hashing: input.hashing,
        place: placeFor(instance, host, { input, part: parts.get(host.name) }),
      };
      bound.push({ instance, spec: bind(instance, scope), host });
    } catch (error) {
      if (!(error instanceof CuError)) throw error;
      problems.push(error);
    }
  }
  return { bound, problems, parts };
}

/** A deploy of targets leaves the routes of other services as they are. */
function partFor(host: ObservedHost, input: PlanInput): ProxyPart {
  const wanted = wantedPart(host, input.desired, input);
  if (input.isWhole) return wanted;
  const targeted = input.instances.filter((instance) => instance.host === host.name);
  return withOthers(partOn(host, input.desired), wanted, new Set(targeted.map(({ service }) => service)));
}

/** A new container gets the slot that the one which stands for the instance now does not have. */
function placeFor(
  instance: InstanceSpec,
  host: ObservedHost,
  { input, part }: { readonly input: PlanInput; readonly part: ProxyPart | undefined },
): BindScope['place'] {
  if (part === undefined || !isProxied(instance)) return undefined;
  const routes = routesOf(part, instance);
  const [first] = routes;
  if (first === undefined) return undefined;
  const own = host.containers.filter((container) => isOurs(container, input) && isOfInstance(container, instance));
  const held = slotOf(sortOut(instance.containerName, own).keeper);
  const slot = held === undefined ? first.server.live : otherSlot(held);
  return {
    slot,
    ports: Object.fromEntries(routes.map(({ route, server }) => [route.containerPort, server.ports[slot]])),
  };
}

function noRoutes({ desired: { project, environment } }: PlanInput): ProxyPart {
  return { project, environment, routes: [] };
}

/** The broker's password: the config's secret, else what the broker's host keeps, else a fresh one. */
function brokerPassword(input: Pick<PlanInput, 'desired' | 'hosts' | 'fresh'>): Secret {
  const { broker } = input.desired;
  const kept = input.hosts.find((host) => host.name === broker?.host)?.state?.brokerPassword;
  return broker?.password ?? kept ?? input.fresh.brokerPassword;
}

/** One that cu made lies on the broker's host: another one would lock everybody out. */
function isPasswordUnknown({ brokerUser }: InstanceSpec, { desired: { broker }, hosts }: PlanInput): boolean {
  const isSeen = hosts.some(({ name }) => name === broker?.host);
  return brokerUser !== undefined && broker !== undefined && broker.password === undefined && !isSeen;
}

function unknownPassword({ service, host }: InstanceSpec, { desired: { broker } }: PlanInput): CuError {
  return new CuError(
    'HOST_UNREACHABLE',
    `${service} needs the password that ${broker?.host ?? ''} keeps, which was not reached`,
    {
      host,
      hint: `bring ${broker?.host ?? 'it'} back, or name the password: services.${broker?.service ?? ''}.password: { secret: NAME }`,
    },
  );
}

function wantedImage(instance: InstanceSpec, input: PlanInput): NonNullable<ReturnType<PlanInput['images']['get']>> {
  const image = input.images.get(instance.image);
  if (image === undefined) throw new Error(`image ${instance.image} of ${instance.service} was not resolved`);
  return image;
}

/** The volume is there but the container through which it is read was pruned: what it holds is not known now. */
export function isStateLost(host: ObservedHost, input: PlanInput): boolean {
  return host.state === undefined && host.volumes.some((volume) => volume.name === stateVolume(input.desired));
}

function prepareNodes(host: ObservedHost, bound: readonly Bound[], input: PlanInput): readonly PlanNode[] {
  const here = bound.filter((each) => each.host === host);
  if (here.length === 0) return [];
  const nodes: PlanNode[] = [];
  const { broker } = input.desired;
  const needsPassword =
    broker?.host === host.name && broker.password === undefined && host.state?.brokerPassword === undefined;
  const volume = stateVolume(input.desired);
  if (host.state === undefined || needsPassword) {
    nodes.push({
      id: `${host.name}/${volume}/state`,
      host: host.name,
      action: {
        type: 'init-state',
        volume,
        specKey: host.state?.specKey ?? input.fresh.specKey,
        brokerPassword: needsPassword ? input.fresh.brokerPassword : undefined,
      },
      cause: isStateLost(host, input) ? 'its container was removed' : 'first deploy on the host',
      after: [],
    });
  }
  const network = projectNetwork(input.desired);
  if (here.some((each) => each.spec.network === network) && !host.networks.some((each) => each.name === network)) {
    nodes.push({
      id: `${host.name}/${network}/network`,
      host: host.name,
      action: { type: 'create-network', name: network },
      cause: 'not found',
      after: [],
    });
  }
  const volumes = new Set(
    here.flatMap((each) => each.instance.mounts.flatMap((mount) => (mount.type === 'volume' ? [mount.name] : []))),
  );
  for (const name of [...volumes].toSorted()) {
    if (host.volumes.some((each) => each.name === name)) continue;
    nodes.push({
      id: `${host.name}/${name}/volume`,
      host: host.name,
      action: { type: 'create-volume', name },
      cause: 'not found',
      after: [],
    });
  }
  return nodes;
}

export function candidatesOf(each: Bound, input: PlanInput): readonly ObservedContainer[] {
  return each.host.containers.filter((container) => isOurs(container, input) && isOfInstance(container, each.instance));
}

/** Memory that is left when every instance of this environment has what it was promised, also one that is no target. */
export function roomOn(host: ObservedHost, { instances }: PlanInput['desired']): number {
  const promised = instances.filter((each) => each.host === host.name).map((each) => memoryOf(each, host));
  return host.facts.memoryBytes - promised.reduce((sum, bytes) => sum + bytes, 0);
}
