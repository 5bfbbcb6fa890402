import { CuError } from '../core/error.ts';
import { backendName, serverName } from '../core/proxy.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import { proxyRows } from '../execute/proxy/socket.ts';
import type { ProxyRow } from '../execute/proxy/socket.ts';
import { isOfInstance } from '../plan/containers.ts';
import type { PlanInput } from '../plan/input.ts';
import { isOurs } from '../plan/orphans.ts';
import { isProxied, partOf, routesOf, slotOf } from '../plan/proxy/routes.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';

interface SeenByProxy {
  readonly text: string;
  readonly ports: readonly string[];
}

/** Whether an instance that is asked about stands behind the proxy of a host, or is to; of a whole also what is to go. */
export function isBehindProxy(
  host: ObservedHost,
  { desired, instances, isWhole }: Pick<PlanInput, 'desired' | 'instances' | 'isWhole'>,
): boolean {
  const here = instances.filter((instance) => instance.host === host.name);
  return (
    here.some(isProxied) ||
    host.containers.some(
      (container) =>
        slotOf(container) !== undefined &&
        isOurs(container, { desired }) &&
        (isWhole || here.some((instance) => isOfInstance(container, instance))),
    )
  );
}

/** What the proxy of a host says of a container that stands behind it; undefined of all others. */
export async function askProxyFor(
  context: Context,
  at: Host,
  { host, container }: { readonly host: ObservedHost; readonly container: ObservedContainer },
): Promise<SeenByProxy | undefined> {
  const slot = slotOf(container);
  const { labels } = container;
  const owner = { project: labels[LABELS.project] ?? '', environment: labels[LABELS.environment] ?? '' };
  const part = partOf(host.proxy?.parts ?? [], owner);
  if (slot === undefined || part === undefined) return undefined;
  const instance = labels[LABELS.instance] ?? '';
  const routes = routesOf(part, { service: labels[LABELS.service] ?? '', instance });
  const ports = [
    ...new Set(routes.map(({ route }) => `${route.address === '' ? '0.0.0.0' : route.address}:${route.port}`)),
  ];
  try {
    const backends = routes.map(({ route }) => backendName(owner, route));
    const server = serverName(instance, slot);
    const rows = (await proxyRows(at, context.signal)).filter(
      (row) => row.server === server && backends.includes(row.backend),
    );
    return { text: textOf(rows), ports };
  } catch (error) {
    if (context.signal.aborted || !(error instanceof CuError)) throw error;
    return { text: 'does not answer', ports };
  }
}

function textOf(rows: readonly ProxyRow[]): string {
  const [first] = rows;
  if (first === undefined) return 'not routed';
  const sessions = rows.reduce((sum, row) => sum + row.sessions, 0);
  return `${first.status}, ${sessions === 1 ? '1 request' : `${sessions} requests`}`;
}
