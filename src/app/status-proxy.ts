import { CuError } from '../core/error.ts';
import { backendName, serverName } from '../core/proxy.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import { proxyRows } from '../execute/proxy/socket.ts';
import type { ProxyRow } from '../execute/proxy/socket.ts';
import { partOf, routesOf, slotOf } from '../plan/proxy/routes.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';

interface SeenByProxy {
  readonly text: string;
  readonly ports: readonly string[];
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
