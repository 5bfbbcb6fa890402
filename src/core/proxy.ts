import type { Secret } from './secret.ts';

/** The container that stands before the webservers of a host, shared by all projects there, and its volume. */
export const PROXY_NAME = 'cu-proxy';
export const PROXY_DIRECTORY = '/etc/cu-proxy';
/** On the host and in the container: the engine makes it whenever the container starts. */
export const PROXY_SOCKET_DIRECTORY = '/run/cu-proxy';
export const PROXY_SOCKET = `${PROXY_SOCKET_DIRECTORY}/admin.sock`;

export const SLOTS = ['a', 'b'] as const;

/** An instance has two places behind the proxy: one serves, the other is for its successor. */
export type Slot = (typeof SLOTS)[number];

/** One container's place behind the proxy of its host. */
export interface ProxyPlace {
  readonly service: string;
  readonly instance: string;
  readonly slot: Slot;
}

export interface ProxyServer {
  readonly instance: string;
  /** Ports of the host's loopback, the same for as long as the instance exists, so that a reboot changes nothing. */
  readonly ports: Readonly<Record<Slot, number>>;
  readonly live: Slot;
}

/** From a port of the host to one port of the instances of a service. */
export interface ProxyRoute {
  readonly service: string;
  readonly containerPort: number;
  /** An address of the host; empty for all. */
  readonly address: string;
  readonly port: number;
  /** Lower case, `*.example.org` for all below; none: every name. */
  readonly hosts: readonly string[];
  /** Beginnings of paths; none: every path. */
  readonly paths: readonly string[];
  /** Name of a PEM file in the volume's `certs`. */
  readonly certificate: string | undefined;
  /** What the proxy asks a server for; undefined: whether it takes a connection. */
  readonly checkPath: string | undefined;
  /** The one status that means well; undefined: 2xx and 3xx. */
  readonly checkStatus?: number | undefined;
  readonly drainMs: number;
  readonly servers: readonly ProxyServer[];
}

/** What one project and environment wants of the proxy of a host; each writes only its own. */
export interface ProxyPart {
  readonly project: string;
  readonly environment: string;
  readonly routes: readonly ProxyRoute[];
}

/** The proxy of a host as it was found. */
export interface ObservedProxy {
  readonly isRunning: boolean;
  readonly spec: string | undefined;
  readonly parts: readonly ProxyPart[];
}

export function partName({ project, environment }: Pick<ProxyPart, 'project' | 'environment'>): string {
  return `${project}-${environment}`;
}

export function backendName(
  part: Pick<ProxyPart, 'project' | 'environment'>,
  { service, containerPort }: Pick<ProxyRoute, 'service' | 'containerPort'>,
): string {
  return `${partName(part)}-${service}-${containerPort}`;
}

export function serverName(instance: string, slot: Slot): string {
  return `${instance}-${slot}`;
}

export function otherSlot(slot: Slot): Slot {
  return slot === 'a' ? 'b' : 'a';
}

/** PEM files of the operator's machine by their paths. */
export type Certificates = ReadonlyMap<string, { readonly sha256: string; readonly pem: Secret }>;
