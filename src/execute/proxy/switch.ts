import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../../core/error.ts';
import type { OnProgress } from '../../core/event.ts';
import { backendName, otherSlot, serverName } from '../../core/proxy.ts';
import type { ProxyPart, ProxyPlace, Slot } from '../../core/proxy.ts';
import { readParts } from '../../observe/proxy.ts';
import { partOf, routesOf } from '../../plan/proxy/routes.ts';
import type { MovedPorts } from './moved-ports.ts';
import { writeSwitch } from './routes.ts';
import type { RouteChange } from './routes.ts';
import { proxyRows, setState } from './socket.ts';

/** How long the proxy's own check may take to agree that a server is well. */
const UP_MS = 15_000;
const POLL_MS = 50;

export interface Switching extends RouteChange {
  readonly owner: Pick<ProxyPart, 'project' | 'environment'>;
  readonly place: ProxyPlace;
  /** What the container there publishes, where that may be less than what is routed so far; undefined: all of it. */
  readonly containerPorts?: readonly number[] | undefined;
  readonly onProgress: OnProgress;
  readonly moved: MovedPorts;
}

/**
 * Requests go to the container in this slot as well, once the proxy's own check has found it well; and from then on it
 * is the one that a reboot comes up with. False: the proxy has no route to it yet, or is not there.
 */
export async function bringIn(at: Switching, upMs: number = UP_MS): Promise<boolean> {
  const backends = await backendsOf(at);
  if (backends.length === 0) return false;
  await admit(at, backends, upMs);
  await writeSwitch(at, at.owner, (part) => withLive(part, at.place));
  // Another project may have made the proxy read its config anew in between, in which the other slot was still live.
  await admit(at, backends, upMs);
  return true;
}

async function admit(at: Switching, backends: readonly string[], upMs: number): Promise<void> {
  const { host, place, signal } = at;
  for (const backend of backends) await setState(host, { backend, ...place }, 'ready', signal);
  await waitUp(at, backends, upMs);
}

/** No new requests to the container in this slot; true once it has none left, false when `drainMs` have passed. */
export async function drainOut(at: Switching, drainMs: number): Promise<boolean> {
  const backends = await backendsOf(at);
  if (backends.length === 0) return true;
  const { host, place, signal } = at;
  for (const backend of backends) await setState(host, { backend, ...place }, 'drain', signal);
  const deadline = AbortSignal.timeout(drainMs);
  let last = 0;
  while (!deadline.aborted) {
    const left = await sessionsOf(at, backends);
    if (left === 0) {
      for (const backend of backends) await setState(host, { backend, ...place }, 'maint', signal);
      return true;
    }
    if (left !== last) at.onProgress(`${left === 1 ? '1 request' : `${left} requests`} left`, left);
    last = left;
    await sleep(POLL_MS, undefined, { signal });
  }
  return false;
}

/**
 * Both: the other container of the instance gets no more requests afterwards. `upMs`: for one that was started just now
 * and is not known to be well.
 */
export async function switchTo(at: Switching, drainMs: number, upMs: number = UP_MS): Promise<void> {
  if (!(await bringIn(at, Math.max(upMs, UP_MS)))) return;
  await drainOut({ ...at, place: { ...at.place, slot: otherSlot(at.place.slot) } }, drainMs);
}

/** How long the proxy may take to hear that it may ask again. */
const READMIT_MS = 2000;

/**
 * Requests are gone before the work begins that stops their container, and may come again afterwards: the proxy's own
 * check decides when. Where the container has no place behind the proxy it is just the work.
 */
export async function withoutRequests(
  at: Switching | undefined,
  drainMs: number,
  work: () => Promise<void>,
): Promise<void> {
  if (at === undefined) return work();
  const backends = await backendsOf(at);
  try {
    if (backends.length > 0) await drainOut(at, drainMs);
    await work();
  } finally {
    const signal = AbortSignal.timeout(READMIT_MS);
    for (const backend of backends)
      await setState(at.host, { backend, ...at.place }, 'ready', signal).catch(() => undefined);
  }
}

async function backendsOf({ host, owner, place, containerPorts, signal }: Switching): Promise<readonly string[]> {
  const part = partOf(await readParts(host.docker(), signal).catch(() => []), owner);
  const routes = (part === undefined ? [] : routesOf(part, place)).map(({ route }) => route);
  const own = routes.filter((route) => containerPorts === undefined || containerPorts.includes(route.containerPort));
  return [...new Set(own.map((route) => backendName(owner, route)))];
}

async function waitUp(
  { host, place, signal, onProgress }: Switching,
  backends: readonly string[],
  upMs: number,
): Promise<void> {
  onProgress('waiting for the proxy to see it');
  const deadline = AbortSignal.timeout(upMs);
  const server = serverName(place.instance, place.slot);
  let seen = 'nothing';
  while (!deadline.aborted) {
    const rows = (await proxyRows(host, signal)).filter(
      (row) => row.server === server && backends.includes(row.backend),
    );
    // `INI` is what it takes a server for until it has asked it the first time.
    if (
      rows.length === backends.length &&
      rows.every(({ status, check }) => status.startsWith('UP') && /OK/.test(check))
    )
      return;
    // Another project has made the proxy read its config anew meanwhile, in which the other slot is still live.
    for (const { backend, status } of rows)
      if (status.startsWith('MAINT')) await setState(host, { backend, ...place }, 'ready', signal);
    seen = rows.map(({ status, check }) => `${status} ${check}`).join(', ');
    await sleep(POLL_MS, undefined, { signal });
  }
  for (const backend of backends) await setState(host, { backend, ...place }, 'maint', signal);
  throw new CuError('UNHEALTHY', `the proxy does not find ${place.service}/${place.instance} well: ${seen}`, {
    host: host.name,
    hint: 'it asks for the path of the health check on the loopback of the host: does the service listen on all addresses?',
  });
}

async function sessionsOf({ host, place, signal }: Switching, backends: readonly string[]): Promise<number> {
  const server = serverName(place.instance, place.slot);
  return (await proxyRows(host, signal))
    .filter((row) => row.server === server && backends.includes(row.backend))
    .reduce((sum, row) => sum + row.sessions + row.queued, 0);
}

function withLive(part: ProxyPart, { service, instance, slot }: ProxyPlace & { readonly slot: Slot }): ProxyPart {
  return {
    ...part,
    routes: part.routes.map((route) =>
      route.service === service
        ? {
            ...route,
            servers: route.servers.map((server) => (server.instance === instance ? { ...server, live: slot } : server)),
          }
        : route,
    ),
  };
}
