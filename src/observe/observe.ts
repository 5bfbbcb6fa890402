import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import { PROXY_NAME } from '../core/proxy.ts';
import { LABELS } from '../core/state.ts';
import type { Host } from '../transport/host.ts';
import { readFacts } from './facts.ts';
import type { FactsOptions } from './facts.ts';
import { parseContainer, parseImages, parseInspect, parseNetworks, parseVolumes } from './parse.ts';
import type { InspectedContainer } from './parse.ts';
import { readProxy } from './proxy.ts';
import { readState } from './state.ts';

export interface ObserveOptions extends FactsOptions {
  readonly project: string;
  readonly environment: string;
}

/**
 * One snapshot of a host, by GET calls and one read-only command. Two rounds: everything at once,
 * then the containers of this environment in detail, because lists tell nothing of limits and restarts.
 */
export async function observeHost(host: Host, options: ObserveOptions): Promise<ObservedHost> {
  const docker = host.docker();
  const { signal } = options;
  const get = (path: string, query: Record<string, string | boolean> = {}): Promise<unknown> =>
    docker.json({ method: 'GET', path, query, signal });
  const [facts, containers, images, networks, volumes, state] = await Promise.all([
    readFacts(host, options),
    get('/containers/json', { all: true }),
    get('/images/json'),
    get('/networks'),
    get('/volumes'),
    readState(docker, options, signal),
  ]);
  const listed = asArray(containers).map(parseContainer);
  const [proxy, detailed] = await Promise.all([
    readProxy(
      docker,
      listed.find((container) => container.name === PROXY_NAME),
      signal,
    ),
    Promise.all(listed.map((container) => (isOwn(container, options) ? inspect(host, container, signal) : container))),
  ]);
  return {
    name: host.name,
    facts,
    containers: detailed.filter((container) => container !== undefined),
    images: parseImages(images),
    networks: parseNetworks(networks),
    volumes: parseVolumes(volumes),
    state,
    proxy,
  };
}

function isOwn(
  thing: { readonly labels: Readonly<Record<string, string>> },
  owner: { readonly project: string; readonly environment: string },
): boolean {
  return thing.labels[LABELS.project] === owner.project && thing.labels[LABELS.environment] === owner.environment;
}

/** undefined when the container went away between the list and this call. */
async function inspect(
  host: Host,
  container: ObservedContainer,
  signal: AbortSignal,
): Promise<ObservedContainer | undefined> {
  const found = await inspectContainer(host, container.id, signal);
  return found === undefined ? undefined : { ...container, ...found.observed };
}

/** The engine's own account of one container; undefined when there is none of that id. */
export async function inspectContainer(
  host: Host,
  id: string,
  signal: AbortSignal,
): Promise<InspectedContainer | undefined> {
  const answer = await host.docker().json({ method: 'GET', path: `/containers/${id}/json`, signal, allow: [404] });
  return answer === undefined ? undefined : parseInspect(answer);
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
