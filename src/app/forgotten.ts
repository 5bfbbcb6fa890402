import { CuError } from '../core/error.ts';
import type { PlanNode } from '../core/action.ts';
import type { KnownHost } from '../core/state.ts';
import type { Desired, HostTarget, ObservedHost } from '../core/state.ts';
import { writeHosts } from '../history/now.ts';
import { observeHost } from '../observe/observe.ts';
import { isOurs } from '../plan/orphans.ts';
import { engineSocket } from '../transport/local.ts';
import type { Context } from './context.ts';
import type { Session } from './session.ts';

/** A host that an earlier deploy used and the config no longer has. */
export interface Forgotten {
  readonly host: KnownHost;
  /** undefined: it does not answer. */
  readonly observed: ObservedHost | undefined;
}

/**
 * Hosts that an earlier deploy used and the config no longer has, as the others remember them: what still runs there is
 * planned for removal like anything else that is no longer wanted.
 */
export async function observeForgotten(
  context: Context,
  session: Session,
  { desired, observed }: { readonly desired: Desired; readonly observed: readonly ObservedHost[] },
): Promise<readonly Forgotten[]> {
  const known = new Set(desired.hosts.map(placeOf));
  const gone = new Map(
    observed
      .flatMap(({ state }) => state?.hosts ?? [])
      .filter((host) => !known.has(placeOf(host)))
      .map((host) => [placeOf(host), host]),
  );
  return Promise.all(
    [...gone.values()].map(async (host): Promise<Forgotten> => {
      const target = targetOf(host, desired);
      try {
        const { now, signal } = context;
        const dockerSocket = await engineSocket(target, context);
        const found = await observeHost(await session.open(target), { ...desired, dockerSocket, now, signal });
        return { host, observed: found };
      } catch (error) {
        if (context.signal.aborted || !(error instanceof CuError)) throw error;
        const text = `it left the config and does not answer, so what runs there stays: ${error.message}`;
        context.emit({ type: 'warning', host: target.name, text });
        return { host, observed: undefined };
      }
    }),
  );
}

/** Hosts that somebody remembers and nobody looked at now, in the config or not. */
export function unseenHosts(
  { hosts }: Pick<Desired, 'hosts'>,
  observed: readonly ObservedHost[],
  forgotten: readonly Forgotten[],
): readonly string[] {
  const names = new Set(observed.map(({ name }) => name));
  const remembered = new Set(observed.flatMap(({ state }) => state?.hosts ?? []).map(placeOf));
  const away = hosts.filter((host) => !names.has(host.name) && remembered.has(placeOf(host)));
  const gone = forgotten.filter((each) => each.observed === undefined);
  return [...away.map(({ name }) => name), ...gone.map(({ host }) => host.name)];
}

/**
 * Those that the next commands are to find again: all that the config uses, and for as long as something of ours may be
 * there those that it uses no more. What could not be looked at, and what a run did not take away, is not gone.
 */
export function hostsToRemember(
  { desired, observed, forgotten }: Omit<Remembering, 'session'>,
  done: readonly PlanNode[],
): readonly KnownHost[] {
  const removed = new Set(done.flatMap(({ action }) => (action.type === 'remove-container' ? [action.id] : [])));
  const isEmpty = ({ containers }: ObservedHost): boolean =>
    containers.every((each) => !isOurs(each, { desired }) || removed.has(each.id));
  const known = new Set(observed.flatMap(({ state }) => state?.hosts ?? []).map(placeOf));
  const isNeeded = (host: HostTarget): boolean => {
    if (desired.instances.some((instance) => instance.host === host.name)) return true;
    const found = observed.find(({ name }) => name === host.name);
    return found === undefined ? known.has(placeOf(host)) : !isEmpty(found);
  };
  const left = forgotten.filter((each) => each.observed === undefined || !isEmpty(each.observed));
  return [...desired.hosts.filter(isNeeded), ...left.map(({ host }) => host)];
}

/**
 * Before the first step of a run, for whatever way it may end: nothing is dropped yet. Told only to hosts that do not
 * know it all already.
 */
export async function rememberHosts({ session, ...at }: Remembering): Promise<void> {
  const wanted = hostsToRemember(at, []);
  const places = wanted.map(placeOf);
  await Promise.all(
    at.observed.map(async ({ name, state }) => {
      const known = state?.hosts ?? [];
      const isKnown = new Set(known.map(placeOf));
      const host = session.hosts.get(name);
      if (host === undefined || places.every((place) => isKnown.has(place))) return;
      await writeHosts([host], at.desired, [...wanted, ...known.filter((each) => !places.includes(placeOf(each)))]);
    }),
  );
}

/** After it: hosts on which nothing is left are forgotten. */
export async function rememberOnly({ session, ...at }: Remembering, done: readonly PlanNode[]): Promise<void> {
  const hosts = hostsToRemember(at, done);
  const reached = hosts.flatMap(({ name }) => session.hosts.get(name) ?? []);
  await writeHosts(reached, at.desired, hosts);
}

interface Remembering {
  readonly desired: Desired;
  readonly observed: readonly ObservedHost[];
  readonly forgotten: readonly Forgotten[];
  readonly session: Session;
}

/** Two hosts may follow each other under one name. */
function placeOf({ connection, address, port, dockerSocket }: KnownHost | HostTarget): string {
  return [connection, address, port ?? 22, dockerSocket ?? ''].join(' ');
}

function targetOf(host: KnownHost, { hosts }: Desired): HostTarget {
  const isTaken = hosts.some(({ name }) => name === host.name);
  return {
    ...host,
    name: isTaken ? `${host.name}@${host.address}` : host.name,
    knownHosts: [...new Set(hosts.flatMap(({ knownHosts }) => knownHosts))],
    advertise: undefined,
  };
}
