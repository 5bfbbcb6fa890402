import { backendName, partName, PROXY_DIRECTORY, PROXY_SOCKET, serverName, SLOTS } from '../../core/proxy.ts';
import type { ProxyPart, ProxyRoute, ProxyServer, Slot } from '../../core/proxy.ts';

interface Routed {
  readonly part: ProxyPart;
  readonly route: ProxyRoute;
}

/** Beyond the longest drain, for an old process of the proxy to let go of its last connections. */
const HARD_STOP_MARGIN_S = 60;

/** haproxy.cfg for all that is routed on a host, the same text for the same parts in any order. */
export function renderProxyConfig(parts: readonly ProxyPart[], { socketGid }: { readonly socketGid: number }): string {
  const routed = parts
    .flatMap((part) => part.routes.map((route): Routed => ({ part, route })))
    .toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
  const longest = Math.max(0, ...routed.map(({ route }) => route.drainMs));
  const frontends = new Map<string, Routed[]>();
  for (const each of routed) {
    const name = frontendName(each.route);
    frontends.set(name, [...(frontends.get(name) ?? []), each]);
  }
  return [
    globalSection(socketGid, Math.ceil(longest / 1000) + HARD_STOP_MARGIN_S),
    ...[...frontends].map(([name, routes]) => frontendSection(name, routes)),
    // Two addresses may lead to one backend.
    ...new Set(routed.map(backendSection)),
  ].join('\n');
}

export function frontendName({ address, port }: Pick<ProxyRoute, 'address' | 'port'>): string {
  return `port-${address === '' ? 'any' : address.replaceAll(':', '_')}-${port}`;
}

/** Whether the running process has to read the config anew: all but which slot is live needs that. */
export function needsReload(before: string, after: string): boolean {
  const withoutSlots = (text: string): string => text.replaceAll(/^(\s+server \S+ \S+ check)( disabled)?$/gm, '$1');
  return withoutSlots(before) !== withoutSlots(after);
}

function keyOf({ part, route }: Routed): string {
  return [backendName(part, route), frontendName(route)].join(' ');
}

function globalSection(socketGid: number, hardStopS: number): string {
  return `# Made by cu for all projects of this host: what is changed here by hand is overwritten.
global
  log stdout format raw local0
  fd-hard-limit 50000
  user haproxy
  group haproxy
  hard-stop-after ${hardStopS}s
  stats socket ${PROXY_SOCKET} mode 660 gid ${socketGid} level admin expose-fd listeners

defaults
  mode http
  log global
  option httplog
  option forwardfor
  option redispatch
  option idle-close-on-response
  retries 3
  retry-on conn-failure
  timeout connect 2s
  timeout client 60s
  timeout http-keep-alive 60s
  timeout server 10m
  timeout tunnel 24h
  default-server inter 1s fastinter 200ms downinter 200ms fall 3 rise 1
`;
}

/** Names before all names, longer paths before shorter ones; what is left goes to the route without either. */
function frontendSection(name: string, routes: readonly Routed[]): string {
  const { address, port } = routes[0]?.route ?? { address: '', port: 0 };
  const certificates = [
    ...new Set(
      routes.flatMap(({ part, route }) =>
        route.certificate === undefined ? [] : [`${partName(part)}-${route.certificate}`],
      ),
    ),
  ].toSorted();
  const tls = certificates.map((file) => ` crt ${PROXY_DIRECTORY}/certs/${file}`).join('');
  const lines = [
    `frontend ${name}`,
    `  bind ${bindOf(address)}:${port}${tls === '' ? '' : ` ssl${tls} alpn h2,http/1.1`}`,
  ];
  if (tls !== '') lines.push('  http-request set-header X-Forwarded-Proto https');
  const wishes = routes.flatMap((each) =>
    orAny(each.route.hosts).flatMap((host) => orAny(each.route.paths).map((path) => ({ ...each, host, path }))),
  );
  const ordered = wishes.toSorted(
    (one, other) => weightOf(other.host) - weightOf(one.host) || (other.path ?? '').length - (one.path ?? '').length,
  );
  for (const { part, route, host, path } of ordered) {
    const conditions = [...hostConditions(host), ...pathConditions(path)];
    const backend = backendName(part, route);
    lines.push(
      conditions.length === 0 ? `  default_backend ${backend}` : `  use_backend ${backend} if ${conditions.join(' ')}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function bindOf(address: string): string {
  return address === '' ? '*' : address.includes(':') ? `[${address}]` : address;
}

function orAny(list: readonly string[]): readonly (string | undefined)[] {
  return list.length === 0 ? [undefined] : list;
}

function weightOf(host: string | undefined): number {
  if (host === undefined) return 0;
  return host.startsWith('*') ? host.length : 1000 + host.length;
}

function hostConditions(host: string | undefined): readonly string[] {
  if (host === undefined) return [];
  const name = '{ req.hdr(host),field(1,:),lower';
  return [host.startsWith('*.') ? `${name} -m end ${host.slice(1)} }` : `${name} ${host} }`];
}

/** `/api` is meant for /api and what lies below, not for /apix. */
function pathConditions(path: string | undefined): readonly string[] {
  const bare = path?.replace(/\/+$/, '') ?? '';
  return bare === '' ? [] : [`{ path -m reg ^${bare.replaceAll(/[.~]/g, '\\\\$&')}(/|$) }`];
}

function backendSection({ part, route }: Routed): string {
  const check = checkLines(route);
  const servers = route.servers
    .toSorted((one, other) => (one.instance < other.instance ? -1 : 1))
    .flatMap((server) => SLOTS.map((slot) => serverLine(server, slot)));
  return `${[`backend ${backendName(part, route)}`, '  balance leastconn', ...check, ...servers].join('\n')}\n`;
}

/** As cu's own health check asks. */
function checkLines({ checkPath, checkStatus }: ProxyRoute): readonly string[] {
  if (checkPath === undefined) return [];
  const expected = checkStatus === undefined ? [] : [`  http-check expect status ${checkStatus}`];
  return [
    '  option httpchk',
    `  http-check send meth GET uri ${checkPath} ver HTTP/1.1 hdr Host localhost`,
    ...expected,
  ];
}

function serverLine(server: ProxyServer, slot: Slot): string {
  const at = `127.0.0.1:${server.ports[slot]}`;
  return `  server ${serverName(server.instance, slot)} ${at} check${server.live === slot ? '' : ' disabled'}`;
}
