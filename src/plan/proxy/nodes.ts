import type { PlanNode } from '../../core/action.ts';
import { partName, PROXY_NAME } from '../../core/proxy.ts';
import type { ProxyPart } from '../../core/proxy.ts';
import type { ObservedHost } from '../../core/state.ts';
import type { Bound, PlanInput } from '../input.ts';
import { hasOtherRoutes, partOn } from './routes.ts';

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

/** Once the containers of a host are proven, its proxy learns of new and changed routes. */
export function routeNodes(
  input: PlanInput,
  parts: ReadonlyMap<string, ProxyPart>,
  at: {
    readonly bound: readonly Bound[];
    readonly containers: readonly PlanNode[];
    readonly before: readonly PlanNode[];
  },
): readonly PlanNode[] {
  if (!input.isWhole) return [];
  return input.hosts.flatMap((host): readonly PlanNode[] => {
    const wanted = parts.get(host.name);
    const previous = partOn(host, input.desired);
    if (wanted === undefined || !hasOtherRoutes(previous, wanted)) return [];
    const names = new Set(at.bound.filter((each) => each.host === host).map(({ spec }) => spec.name));
    const own = at.containers.filter(
      (node) =>
        node.host === host.name &&
        node.action.type !== 'drain-container' &&
        names.has('spec' in node.action ? node.action.spec.name : ''),
    );
    const mustMakeRoom = isInTheWay(previous, wanted, at.bound, host);
    const after = [...at.before.filter((node) => node.host === host.name), ...(mustMakeRoom ? [] : own)];
    return [
      {
        id: `${host.name}/${partName(input.desired)}/routes`,
        host: host.name,
        action: {
          type: 'apply-routes',
          part: wanted,
          previous,
          certificates: certificatesFor(wanted, input),
          socketGid: host.facts.dockerGid,
        },
        cause: previous === undefined || previous.routes.length === 0 ? 'new routes' : 'routes changed',
        after: after.map(({ id }) => id),
      },
    ];
  });
}

/** The proxy holds a port that a container is to publish by itself from now on. */
function isInTheWay(
  previous: ProxyPart | undefined,
  wanted: ProxyPart,
  bound: readonly Bound[],
  host: ObservedHost,
): boolean {
  const kept = new Set(wanted.routes.map(({ port }) => port));
  const freed = (previous?.routes ?? []).map(({ port }) => port).filter((port) => !kept.has(port));
  return bound.some(
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
