import type { Host } from '../../transport/host.ts';
import { acquireLocks } from '../lock.ts';
import type { LockOwner } from '../lock-channel.ts';

/** One change takes a second or two; this is for a few that wait in line. */
const WAIT_MS = 60_000;

/** Who waits in this process, by host: nobody asks the host again and again for what is held here. */
const lines = new WeakMap<Host, Promise<unknown>>();

/**
 * The proxy of a host is everybody's: whoever reads what all want of it, and writes its config, does so alone, also
 * among the deploys of other projects.
 */
export async function withProxyLock<T>(
  at: { readonly host: Host; readonly owner: LockOwner; readonly signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  const turn = (lines.get(at.host) ?? Promise.resolve()).then(() => lockAndWork(at, work));
  lines.set(
    at.host,
    turn.catch(() => undefined),
  );
  return turn;
}

async function lockAndWork<T>(at: Parameters<typeof withProxyLock>[0], work: () => Promise<T>): Promise<T> {
  at.signal.throwIfAborted();
  await using _lock = await acquireLocks([at.host], {
    name: 'cu-proxy',
    what: 'the proxy',
    owner: at.owner,
    waitMs: WAIT_MS,
    signal: at.signal,
    now: Date.now,
    isGone: () => false,
    onWaiting: () => undefined,
    // The deploy itself has warned of it.
    onWarning: () => undefined,
  });
  return await work();
}
