import type { PlanNode } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import { formatBytes } from '../core/format.ts';
import type { ProxyPart } from '../core/proxy.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import { bindAddress } from './address.ts';
import { memoryOf } from './body.ts';
import { REPLACED, UNPROVEN } from './containers.ts';
import type { Bound, PlanInput } from './input.ts';
import { routeProblems, tlsProblems } from './proxy/routes.ts';

/** What only the hosts could tell: taken ports and names, more memory asked for than there is. */
export function hostProblems(
  input: PlanInput,
  bound: readonly Bound[],
  parts: ReadonlyMap<string, ProxyPart>,
): readonly CuError[] {
  return input.hosts.flatMap((host) => {
    const here = bound.filter((each) => each.host === host);
    const part = parts.get(host.name);
    return [
      ...portProblems(host, here, input),
      ...(part === undefined ? [] : routeProblems(host, part)),
      ...(part === undefined ? [] : tlsProblems(host, part)),
      ...nameProblems(host, here, input),
      ...memoryProblems(host, here),
    ];
  });
}

/** Of a singleton there may never be two: none is made while one may run on a host that nobody can look at. */
export function singletonProblems(
  { desired, hosts, unseen }: PlanInput,
  nodes: readonly PlanNode[],
): readonly CuError[] {
  if (unseen.length === 0) return [];
  const isFound = (service: string): boolean =>
    hosts.some(({ containers }) => containers.some(({ labels }) => isOwnService(labels, service, desired)));
  return nodes.flatMap(({ host, action }) => {
    if (action.type !== 'create-container') return [];
    const { service } = action.spec;
    const isSingleton = desired.instances.some((each) => each.singleton && each.service === service);
    if (!isSingleton || isFound(service)) return [];
    const message = `${service} may still run on ${unseen.join(', ')}, which was not reached, and two of it must not run`;
    const hint = 'bring that host back, or say with --skip-unreachable that nothing runs there any more';
    return [new CuError('HOST_UNREACHABLE', message, { host, hint })];
  });
}

function isOwnService(
  labels: ObservedContainer['labels'],
  service: string,
  { project, environment }: PlanInput['desired'],
): boolean {
  return (
    labels[LABELS.project] === project &&
    labels[LABELS.environment] === environment &&
    labels[LABELS.service] === service
  );
}

function portProblems(host: ObservedHost, here: readonly Bound[], input: PlanInput): readonly CuError[] {
  return here.flatMap(({ instance, spec }) =>
    instance.ports.flatMap((port) => {
      const address = bindAddress(port.bind, host, `services.${instance.service}.ports`);
      const holder = host.containers.find((container) =>
        container.ports.some((taken) => taken.port === port.port && overlaps(taken.address, address)),
      );
      if (holder !== undefined)
        return isOwned(holder, input) ? [] : [taken(port.port, instance.service, host, owner(holder))];
      const router = proxyHolder(host, port.port, address);
      if (router !== undefined) {
        const isOwn = router.project === input.desired.project && router.environment === input.desired.environment;
        const { project, environment } = router;
        const who = `the proxy (project ${project}, environment ${environment})`;
        if (spec.slot === undefined && !isOwn) return [taken(port.port, instance.service, host, who)];
      }
      const isListening = host.facts.listening.some(
        (socket) => socket.port === port.port && overlaps(socket.address, address) && !isProxySocket(host, socket),
      );
      // A port of ours that the engine still forwards for a stopped container is not listed as a container's.
      return isListening ? [taken(port.port, instance.service, host, 'a process of the host')] : [];
    }),
  );
}

/** Whose route has the port; what two routes share is looked at by itself. */
function proxyHolder(host: ObservedHost, port: number, address: string): ProxyPart | undefined {
  return host.proxy?.parts.find(({ routes }) =>
    routes.some((route) => route.port === port && overlaps(route.address, address)),
  );
}

/** What the proxy listens on for a route it hands on, shares, or goes on with; other sockets are somebody else's. */
function isProxySocket({ proxy }: ObservedHost, socket: { readonly address: string; readonly port: number }): boolean {
  if (proxy?.isRunning !== true) return false;
  return proxy.parts.some(({ routes }) =>
    routes.some(({ address, port }) => port === socket.port && isSameBind(address, socket.address)),
  );
}

/** An IPv6 address may be spelled in several ways, so that of the port has to do. */
function isSameBind(route: string, socket: string): boolean {
  if (isAny(route) || isAny(socket)) return isAny(route) && isAny(socket);
  return route === socket || (route.includes(':') && socket.includes(':'));
}

function taken(port: number, service: string, host: ObservedHost, holder: string): CuError {
  // After a reload the process of before may take a moment to let go of its sockets.
  const again = host.proxy?.isRunning === true ? '; if a route to it has just gone, try again' : '';
  return new CuError('HOST_MISMATCH', `port ${port} for ${service} is taken by ${holder}`, {
    host: host.name,
    hint: `free it, or choose another port in services.${service}.ports${again}`,
  });
}

function owner(container: ObservedContainer): string {
  const project = container.labels[LABELS.project];
  const environment = container.labels[LABELS.environment];
  return project === undefined
    ? `container ${container.name}`
    : `container ${container.name} (project ${project}, environment ${environment ?? 'unknown'})`;
}

function overlaps(a: string, b: string): boolean {
  return isAny(a) || isAny(b) || a === b;
}

function isAny(address: string): boolean {
  return ['', '0.0.0.0', '::', '*'].includes(address);
}

function isOwned(container: ObservedContainer, { desired }: PlanInput): boolean {
  return (
    container.labels[LABELS.project] === desired.project && container.labels[LABELS.environment] === desired.environment
  );
}

function nameProblems(host: ObservedHost, here: readonly Bound[], input: PlanInput): readonly CuError[] {
  return here.flatMap(({ spec }) => {
    const names = [spec.name, `${spec.name}${UNPROVEN}`, `${spec.name}${REPLACED}`];
    const holder = host.containers.find((container) => names.includes(container.name));
    if (holder === undefined || isOwned(holder, input)) return [];
    return [
      new CuError('HOST_MISMATCH', `the name ${holder.name} is taken by a container that cu did not make`, {
        host: host.name,
        hint: `rename it: docker rename ${holder.name} ${holder.name}-mine`,
      }),
    ];
  });
}

function memoryProblems(host: ObservedHost, here: readonly Bound[]): readonly CuError[] {
  const asked = here.reduce((sum, { instance }) => sum + memoryOf(instance, host), 0);
  const { memoryBytes } = host.facts;
  if (asked <= memoryBytes) return [];
  const list = here
    .filter(({ instance }) => instance.memory !== undefined)
    .map(({ instance }) => `${instance.service}/${instance.instance} ${formatBytes(memoryOf(instance, host))}`)
    .join(', ');
  return [
    new CuError(
      'HOST_MISMATCH',
      `the services ask for ${formatBytes(asked)} of memory, the host has ${formatBytes(memoryBytes)}`,
      { host: host.name, detail: list, hint: 'lower `memory`, or move an instance to another host' },
    ),
  ];
}
