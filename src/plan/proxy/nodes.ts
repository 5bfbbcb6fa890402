import type { PlanNode } from '../../core/action.ts';
import { partName, PROXY_NAME } from '../../core/proxy.ts';
import type { ProxyPart } from '../../core/proxy.ts';
import type { ObservedHost } from '../../core/state.ts';
import type { Bound, PlanInput } from '../input.ts';
import { hasNewRoutes, hasOtherRoutes, partOn, withGoing } from './routes.ts';

/** The key under `images` of what the proxy of every host is made of. */
export const PROXY_IMAGE = 'haproxy';

/** How the proxy's container is made; another value makes it anew, which costs a moment without it. */
export const PROXY_SPEC = 'v1 proxy=1';

/** Before containers: the proxy itself, and routes that stand in the way of what publishes a port directly from now on. */
export function proxyNodes(host: ObservedHost, wanted: ProxyPart, images: readonly PlanNode[]): readonly PlanNode[] {
  if (wanted.routes.length === 0) return [];
  const { proxy } = host;
  const cause =
    proxy === undefined ? 'not found' : proxy.spec !== PROXY_SPEC ? 'made by another version of cu' : 'stopped';
  if (proxy?.isRunning === true && proxy.spec === PROXY_SPEC) return [];
  const action = { type: 'ensure-proxy', image: PROXY_IMAGE, socketGid: host.facts.dockerGid } as const;
  return [
    {
      id: `${host.name}/${PROXY_NAME}/proxy`,
      host: host.name,
      action,
      cause,
      after: images.filter((node) => node.host === host.name).map(({ id }) => id),
    },
  ];
}

/** What the proxy of a host is told anew, and when. */
export interface RouteStep {
  readonly node: PlanNode;
  /** Steps that get a port from it, so that it comes just before the first of them. */
  readonly takers: readonly string[];
  /** Nothing new is routed: only what goes from the host, or to another one. */
  readonly isFarewell: boolean;
}

/**
 * Once the containers of a host are proven, its proxy learns of new and changed routes; what is routed there no more goes
 * once all else in the fleet is proven, because until then nobody else may answer.
 */
export function routeNodes(
  input: PlanInput,
  parts: ReadonlyMap<string, ProxyPart>,
  at: {
    readonly bound: readonly Bound[];
    readonly containers: readonly PlanNode[];
    readonly before: readonly PlanNode[];
  },
): readonly RouteStep[] {
  return input.hosts.flatMap((host): readonly RouteStep[] => {
    const wanted = parts.get(host.name);
    const previous = partOn(host, input.desired);
    if (wanted === undefined || !hasOtherRoutes(previous, wanted)) return [];
    const isFarewell = !hasNewRoutes(previous, wanted);
    const takers = takersOf(previous, wanted, at.bound, host).flatMap(({ spec }) =>
      at.containers.filter((node) => node.host === host.name && specName(node) === spec.name).map(({ id }) => id),
    );
    const own = new Set(at.bound.filter((each) => each.host === host).map(({ spec }) => spec.name));
    const proven = at.containers.filter((node) => node.action.type !== 'drain-container');
    const gates = proven.filter((node) => isFarewell || (node.host === host.name && own.has(specName(node))));
    const before = at.before.filter((node) => node.host === host.name).map(({ id }) => id);
    const step = (verb: string, change: Change, after: readonly string[]): PlanNode => ({
      id: `${host.name}/${partName(input.desired)}/${verb}`,
      host: host.name,
      action: {
        type: 'apply-routes',
        ...change,
        certificates: certificatesFor(change.part, input),
        socketGid: host.facts.dockerGid,
      },
      cause: previous === undefined || previous.routes.length === 0 ? 'new routes' : 'routes changed',
      after,
    });
    if (takers.length > 0)
      return [{ node: step('routes', { part: wanted, previous, isFarewell }, before), takers, isFarewell }];
    const ready = [...before, ...gates.map(({ id }) => id)];
    const staying = isFarewell ? wanted : withGoing(previous, wanted);
    const first = step('routes', { part: staying, previous, isFarewell }, ready);
    if (staying === wanted) return [{ node: first, takers, isFarewell }];
    const last = step('farewell', { part: wanted, previous: staying, isFarewell: true }, [
      ...before,
      ...proven.map(({ id }) => id),
      first.id,
    ]);
    return [
      { node: first, takers, isFarewell },
      { node: last, takers, isFarewell: true },
    ];
  });
}

type Change = Pick<Extract<PlanNode['action'], { type: 'apply-routes' }>, 'part' | 'previous' | 'isFarewell'>;

/**
 * Drains that wait for the routes of their host: where a service has other ports than before, only its old containers
 * are asked until the proxy knows the new ones. Of several on a host it is the last one that stays.
 */
export function heldDrains(
  input: PlanInput,
  parts: ReadonlyMap<string, ProxyPart>,
  at: {
    readonly bound: readonly Bound[];
    readonly containers: readonly PlanNode[];
    readonly routes: readonly PlanNode[];
  },
): readonly PlanNode[] {
  return at.routes.flatMap((routes) => {
    const host = input.hosts.find(({ name }) => name === routes.host);
    const previous = host === undefined ? undefined : partOn(host, input.desired);
    const here = at.bound.filter((each) => each.host === host);
    return [...new Set(here.map(({ instance }) => instance.service))]
      .filter((service) => portsOf(previous, service) !== portsOf(parts.get(routes.host), service))
      .flatMap((service) => {
        const drains = at.containers.filter(
          (node) =>
            node.host === routes.host && node.action.type === 'drain-container' && node.action.service === service,
        );
        return drains.slice(-1).map((node) => ({ ...node, after: [...node.after, routes.id] }));
      });
  });
}

function portsOf(part: ProxyPart | undefined, service: string): string {
  const own = (part?.routes ?? []).filter((route) => route.service === service);
  return [...new Set(own.map(({ containerPort }) => containerPort))].toSorted((a, b) => a - b).join();
}

/** Routes that go with containers which are asked about: they stay with them. */
export function goingRoutes(routes: readonly RouteStep[], containers: readonly PlanNode[]): readonly PlanNode[] {
  return routes
    .filter(({ isFarewell, takers }) => isFarewell && takers.length === 0)
    .map(({ node }) => node)
    .filter(({ host }) => containers.some((each) => each.host === host));
}

function specName({ action }: PlanNode): string {
  return 'spec' in action ? action.spec.name : '';
}

/** The proxy holds a port that these are to publish by themselves from now on. */
function takersOf(
  previous: ProxyPart | undefined,
  wanted: ProxyPart,
  bound: readonly Bound[],
  host: ObservedHost,
): readonly Bound[] {
  const kept = new Set(wanted.routes.map(({ port }) => port));
  const freed = (previous?.routes ?? []).map(({ port }) => port).filter((port) => !kept.has(port));
  return bound.filter(
    (each) =>
      each.host === host &&
      each.spec.slot === undefined &&
      each.instance.ports.some(({ port }) => freed.includes(port)),
  );
}

function certificatesFor(
  part: ProxyPart,
  { certificates }: Pick<PlanInput, 'certificates'>,
): Extract<PlanNode['action'], { type: 'apply-routes' }>['certificates'] {
  const names = new Set(part.routes.flatMap(({ certificate }) => certificate ?? []));
  return [...names].flatMap((name) =>
    [...certificates.values()]
      .filter(({ sha256 }) => name.endsWith(`-${sha256.slice(0, 16)}.pem`))
      .slice(0, 1)
      .map(({ pem }) => ({ name: `${partName(part)}-${name}`, pem })),
  );
}
