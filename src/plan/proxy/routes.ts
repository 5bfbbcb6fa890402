import { CuError } from '../../core/error.ts';
import { otherSlot, partName, SLOTS } from '../../core/proxy.ts';
import type { Certificates, ProxyPart, ProxyRoute, ProxyServer, Slot } from '../../core/proxy.ts';
import { LABELS } from '../../core/state.ts';
import type { Desired, InstanceSpec, ObservedContainer, ObservedHost } from '../../core/state.ts';
import { bindAddress } from '../address.ts';
import type { PlanInput } from '../input.ts';

/** Ports of the loopback that slots get; below those that Linux gives out by itself (32768). */
export const FIRST_PORT = 20_000;
export const PORTS = 10_000;

/** Whether an instance stands behind the proxy of its host; one on a network of its own kind cannot. */
export function isProxied({ rollout, ports, network, kind }: InstanceSpec): boolean {
  return rollout === 'proxy' && kind === 'webserver' && ports.length > 0 && !['host', 'none'].includes(network);
}

export function partOn(host: ObservedHost, desired: Pick<Desired, 'project' | 'environment'>): ProxyPart | undefined {
  return partOf(host.proxy?.parts ?? [], desired);
}

export function partOf(
  parts: readonly ProxyPart[],
  owner: Pick<ProxyPart, 'project' | 'environment'>,
): ProxyPart | undefined {
  return parts.find((part) => partName(part) === partName(owner));
}

/**
 * What the proxy of a host is to route for this environment: what the config says, with the slots that instances have
 * there already and free ones for new instances. The live slots stay: only a switch changes them.
 */
export function wantedPart(
  host: ObservedHost,
  desired: Pick<Desired, 'project' | 'environment' | 'instances'>,
  { certificates, hashing }: Pick<PlanInput, 'certificates' | 'hashing'>,
): ProxyPart {
  const known = partOn(host, desired);
  const used = usedPorts(host);
  const take = (purpose: string): number => {
    const start = placeIn(hashing.sha256(`${partName(desired)} ${purpose}`));
    for (let step = 0; step < PORTS; step += 1) {
      const port = FIRST_PORT + ((start + step) % PORTS);
      if (used.has(port)) continue;
      used.add(port);
      return port;
    }
    throw new CuError('HOST_MISMATCH', `no port of ${FIRST_PORT} to ${FIRST_PORT + PORTS - 1} is free for the proxy`, {
      host: host.name,
      hint: 'remove services that are no longer needed there',
    });
  };
  const own = desired.instances
    .filter((instance) => instance.host === host.name && isProxied(instance))
    .toSorted((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1));
  const routes = new Map<string, ProxyRoute>();
  for (const instance of own) {
    for (const port of instance.ports) {
      const address = bindAddress(port.bind, host, `services.${instance.service}.ports`);
      const key = `${instance.service} ${port.containerPort} ${address} ${port.port}`;
      const route = routes.get(key) ?? routeOf(instance, { address, ...port }, certificates);
      const at = { service: instance.service, containerPort: port.containerPort, instance: instance.instance };
      const server =
        serverIn(known?.routes ?? [], at) ??
        serverIn([...routes.values()], at) ??
        newServer(at, standing(host, desired, at) ?? awaited(host, desired, at), take);
      routes.set(key, { ...route, servers: [...route.servers, server] });
    }
  }
  return { project: desired.project, environment: desired.environment, routes: [...routes.values()] };
}

/** Where the search begins: projects that are deployed at the same time do not see each other's choice. */
function placeIn(digest: string): number {
  return Number.parseInt(digest.slice(0, 8), 16) % PORTS;
}

interface ServerKey {
  readonly service: string;
  readonly containerPort: number;
  readonly instance: string;
}

/** Where one that runs behind a proxy has its place, for when the proxy was taken away and knows nothing any more. */
function standing(
  host: ObservedHost,
  desired: Pick<Desired, 'project' | 'environment'>,
  at: ServerKey,
): { readonly slot: Slot; readonly port: number } | undefined {
  for (const container of containersOf(host, desired, at).filter(({ state }) => state === 'running')) {
    const slot = slotOf(container);
    const port = container.ports.find((each) => each.containerPort === at.containerPort)?.port;
    if (slot !== undefined && port !== undefined) return { slot, port };
  }
  return undefined;
}

/** What stands behind the proxy without this port is replaced by one that has it, in its other place. */
function awaited(...at: Parameters<typeof standing>): { readonly slot: Slot; readonly port: undefined } | undefined {
  const held = slotOf(containersOf(...at)[0]);
  return held === undefined ? undefined : { slot: otherSlot(held), port: undefined };
}

/** The proven one first, which has the shortest name: `-new`, `-old` and `-draining-` come behind it. */
function containersOf(
  { containers }: ObservedHost,
  { project, environment }: Pick<Desired, 'project' | 'environment'>,
  { service, instance }: ServerKey,
): readonly ObservedContainer[] {
  return containers
    .filter(
      ({ labels }) =>
        labels[LABELS.project] === project &&
        labels[LABELS.environment] === environment &&
        labels[LABELS.service] === service &&
        labels[LABELS.instance] === instance,
    )
    .toSorted((one, other) => one.name.length - other.name.length);
}

function newServer(
  { service, containerPort, instance }: ServerKey,
  found: { readonly slot: Slot; readonly port: number | undefined } | undefined,
  take: (purpose: string) => number,
): ProxyServer {
  const portFor = (slot: Slot): number =>
    (found?.slot === slot ? found.port : undefined) ?? take(`${service} ${containerPort} ${instance} ${slot}`);
  return { instance, ports: { a: portFor('a'), b: portFor('b') }, live: found?.slot ?? 'a' };
}

function nameOf({ service, instance }: InstanceSpec): string {
  return `${service} ${instance}`;
}

function routeOf(
  instance: InstanceSpec,
  { address, port, containerPort }: { readonly address: string; readonly port: number; readonly containerPort: number },
  certificates: Certificates,
): ProxyRoute {
  const { route, health } = instance;
  const isChecked = health.type === 'http' && health.port === containerPort;
  const digest = certificates.get(route?.certificate ?? '')?.sha256;
  return {
    service: instance.service,
    containerPort,
    address,
    port,
    hosts: route?.hosts ?? [],
    paths: route?.paths ?? [],
    // Named by its content, so that another one is another config.
    certificate: digest === undefined ? undefined : `${instance.service}-${digest.slice(0, 16)}.pem`,
    checkPath: isChecked ? health.path : undefined,
    checkStatus: isChecked ? health.status : undefined,
    drainMs: instance.drainMs,
    servers: [],
  };
}

function serverIn(routes: readonly ProxyRoute[], at: ServerKey): ProxyServer | undefined {
  return routes
    .filter((route) => route.service === at.service && route.containerPort === at.containerPort)
    .flatMap((route) => route.servers)
    .find((server) => server.instance === at.instance);
}

function usedPorts({ containers, facts, proxy }: ObservedHost): Set<number> {
  const slots = (proxy?.parts ?? []).flatMap(({ routes }) =>
    routes.flatMap(({ servers }) => servers.flatMap(({ ports }) => [ports.a, ports.b])),
  );
  const published = containers.flatMap(({ ports }) => ports.map(({ port }) => port));
  return new Set([...slots, ...published, ...facts.listening.map(({ port }) => port)]);
}

/** Where a container stands behind the proxy; undefined when it publishes its ports itself. */
export function slotOf(container: Pick<ObservedContainer, 'labels'> | undefined): Slot | undefined {
  return SLOTS.find((slot) => slot === container?.labels[LABELS.slot]);
}

/** The routes of an instance by the container's port, with the slots of its server. */
export function routesOf(
  part: ProxyPart,
  { service, instance }: Pick<InstanceSpec, 'service' | 'instance'>,
): readonly { readonly route: ProxyRoute; readonly server: ProxyServer }[] {
  return part.routes.flatMap((route) =>
    route.service === service
      ? route.servers.filter((server) => server.instance === instance).map((server) => ({ route, server }))
      : [],
  );
}

/** Whether the proxy has to be told more than which slot serves. */
export function hasOtherRoutes(known: ProxyPart | undefined, wanted: ProxyPart): boolean {
  return routeTexts(known).join() !== routeTexts(wanted).join();
}

/** Whether it gets a route that it has not in this form: what it had is only taken away otherwise. */
export function hasNewRoutes(known: ProxyPart | undefined, wanted: ProxyPart): boolean {
  const texts = new Set(routeTexts(known));
  return routeTexts(wanted).some((text) => !texts.has(text));
}

/** In an order of their own, without which slot serves. */
function routeTexts(part: ProxyPart | undefined): readonly string[] {
  const routes = (part?.routes ?? []).map((route) => ({
    ...route,
    servers: route.servers.map(({ instance, ports }) => ({ instance, ports })),
  }));
  return routes.map((route) => JSON.stringify(route)).toSorted();
}

/** What a deploy of some services alone leaves of the others: they are routed as they were. */
export function withOthers(known: ProxyPart | undefined, wanted: ProxyPart, services: ReadonlySet<string>): ProxyPart {
  const others = (known?.routes ?? []).filter(({ service }) => !services.has(service));
  return { ...wanted, routes: [...wanted.routes.filter(({ service }) => services.has(service)), ...others] };
}

/**
 * What is wanted, and of before what belongs to services that leave the host, as far as nothing new stands in its place:
 * `wanted` itself where nothing goes.
 */
export function withGoing(known: ProxyPart | undefined, wanted: ProxyPart): ProxyPart {
  const services = new Set(wanted.routes.map(({ service }) => service));
  const going = (known?.routes ?? []).filter(
    (route) => !services.has(route.service) && !wanted.routes.some((other) => excludes(other, route)),
  );
  return going.length === 0 ? wanted : { ...wanted, routes: [...wanted.routes, ...going] };
}

/** One port of the proxy leads for one name and path to one service, and speaks TLS for all or for none. */
function excludes(one: ProxyRoute, other: ProxyRoute): boolean {
  const isSamePort = one.port === other.port && isSameAddress(one.address, other.address);
  const isTlsMixed = (one.certificate === undefined) !== (other.certificate === undefined);
  return isSamePort && (isTlsMixed || wishesOf(one).some((wish) => wishesOf(other).includes(wish)));
}

/** What two projects cannot have both: the same port, name and path. */
export function routeProblems(host: ObservedHost, wanted: ProxyPart): readonly CuError[] {
  return wanted.routes.flatMap((route) =>
    otherParts(host, wanted).flatMap((part) =>
      part.routes
        .filter((other) => other.port === route.port && isSameAddress(other.address, route.address))
        .filter((other) => wishesOf(other).some((wish) => wishesOf(route).includes(wish)))
        .map(
          () =>
            new CuError('HOST_MISMATCH', `port ${route.port} for ${route.service} leads to ${ownerOf(part)} already`, {
              host: host.name,
              hint: `give services.${route.service}.route a host or path of its own, or choose another port`,
            }),
        ),
    ),
  );
}

/** Routes of one port that have a certificate, and those that have none. */
export function tlsProblems(host: ObservedHost, wanted: ProxyPart): readonly CuError[] {
  const theirs = otherParts(host, wanted).flatMap((part) =>
    part.routes.map((route) => ({ route, name: `${route.service} of ${ownerOf(part)}` })),
  );
  // An interface and its address are one: only the host knows that, so the config's own routes are compared as well.
  const own = wanted.routes.map((route) => ({ route, name: route.service }));
  return own.flatMap(({ route }, index) =>
    [...theirs, ...own.slice(0, index)]
      .filter((other) => isMixed(other.route, route))
      .map(({ name }) => tlsDiffers(host, route, name)),
  );
}

function otherParts({ proxy }: ObservedHost, wanted: ProxyPart): readonly ProxyPart[] {
  return (proxy?.parts ?? []).filter((part) => partName(part) !== partName(wanted));
}

function ownerOf({ project, environment }: ProxyPart): string {
  return `project ${project}, environment ${environment}`;
}

/** What one `bind` of the proxy stands for speaks TLS with everybody or with nobody. */
function isMixed(other: ProxyRoute, route: ProxyRoute): boolean {
  return (
    other.port === route.port &&
    other.address === route.address &&
    (other.certificate === undefined) !== (route.certificate === undefined)
  );
}

function tlsDiffers(host: ObservedHost, { port, service, certificate }: ProxyRoute, other: string): CuError {
  const [secured, plain] = certificate === undefined ? [other, service] : [service, other];
  return new CuError('HOST_MISMATCH', `port ${port} has a certificate for ${secured} and none for ${plain}`, {
    host: host.name,
    hint: `the proxy speaks TLS for both or for neither: see to services.${service}.route.certificate, or choose another port`,
  });
}

function isSameAddress(one: string, other: string): boolean {
  return one === other || one === '' || other === '';
}

function wishesOf({ hosts, paths }: ProxyRoute): readonly string[] {
  const any = (list: readonly string[]): readonly string[] => (list.length === 0 ? [''] : list);
  return any(hosts).flatMap((host) => any(paths).map((path) => `${host} ${path.replace(/\/+$/, '')}`));
}
