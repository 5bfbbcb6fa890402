import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../core/error.ts';
import { formatMoment } from '../core/format.ts';
import type { Host } from '../transport/host.ts';
import { holdLock } from './lock-channel.ts';
import type { HeldLock, LockOwner } from './lock-channel.ts';

export interface LockOptions {
  /** Of the file on each host: `cu-PROJECT-ENV`. */
  readonly name: string;
  /** For people: `rasters dev`. */
  readonly what: string;
  readonly owner: LockOwner;
  /** 0: the first refusal is the answer. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
  readonly now: () => number;
  /** Whether an owner is known to be dead: then its lock is free as soon as the host has found that out. */
  readonly isGone: (owner: LockOwner) => boolean;
  /** Told whenever somebody else turns out to hold it. */
  readonly onWaiting: (text: string) => void;
  readonly onWarning: (host: string, text: string) => void;
}

/** Locks that are held until they are disposed of, or their owner dies. */
export interface Locks extends AsyncDisposable {
  /** Aborts when the lock of a host ended before it was given back: nothing more may be changed there. */
  lostOn(host: string): AbortSignal | undefined;
  /** Takes those of further hosts as well, all or none of them; a host that was asked already costs nothing. */
  add(hosts: readonly Host[]): Promise<void>;
}

const POLL_MS = 500;

/** A host behind a network that was cut gives the lock up when it has heard nothing for 20 s. */
const UNTIL_FREE_MS = 30_000;

/** Two that begin at once may refuse each other for a moment, until one has all: not yet a reason to give up. */
const LEAST_ROUNDS = 4;

/**
 * One lock on every host, all or none, and none ever bypassed by a choice of targets. First all are tried at once, which
 * costs one round trip; where that fails they are taken one after the other in the order of their names, so that of
 * several deployers one goes on and none waits for another in a circle.
 */
export async function acquireLocks(hosts: readonly Host[], options: LockOptions): Promise<Locks> {
  const warned = new Set<string>();
  const once: LockOptions = {
    ...options,
    // Another lock of the same process is another's too.
    owner: { ...options.owner, id: randomUUID() },
    onWarning: (host, text) => {
      if (!warned.has(host)) options.onWarning(host, text);
      warned.add(host);
    },
  };
  const held: HeldLock[] = [];
  const asked = new Set<string>();
  const locks: Locks = {
    lostOn: (host) => held.find((lock) => lock.host === host)?.lost,
    add: async (further) => {
      const fresh = further.filter(({ name }) => !asked.has(name));
      held.push(...(await takeUntilHeld(fresh, once)));
      for (const { name } of fresh) asked.add(name);
    },
    [Symbol.asyncDispose]: () => release(held),
  };
  await locks.add(hosts);
  return locks;
}

async function takeUntilHeld(hosts: readonly Host[], options: LockOptions): Promise<readonly HeldLock[]> {
  const sorted = hosts.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  const startedAt = options.now();
  let told = '';
  for (let round = 0; ; round += 1) {
    const taken = round === 0 ? await takeAll(sorted, options) : await takeInOrder(sorted, options);
    if (taken.refusal === undefined) return taken.held;
    await release(taken.held);
    const text = refusalText(taken.refusal, options);
    const { owner } = taken.refusal;
    const waitMs =
      owner !== undefined && options.isGone(owner) ? Math.max(UNTIL_FREE_MS, options.waitMs) : options.waitMs;
    if (round >= LEAST_ROUNDS && options.now() - startedAt >= waitMs) {
      throw new CuError('LOCK_HELD', text, {
        host: taken.refusal.host,
        hint: options.waitMs === 0 ? 'wait for it with --lock-wait 5m' : 'it took longer than --lock-wait',
      });
    }
    if (round >= LEAST_ROUNDS && text !== told) options.onWaiting((told = text));
    await pause(round < LEAST_ROUNDS ? POLL_MS / 4 : POLL_MS, options.signal);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms * (0.5 + Math.random()), undefined, { signal });
  } catch (error) {
    throw new CuError('CANCELLED', 'interrupted while waiting for a lock; nothing was changed', { cause: error });
  }
}

interface Refusal {
  readonly host: string;
  readonly owner: LockOwner | undefined;
}

interface Taken {
  readonly held: readonly HeldLock[];
  readonly refusal: Refusal | undefined;
}

async function takeAll(hosts: readonly Host[], options: LockOptions): Promise<Taken> {
  const results = await Promise.allSettled(hosts.map((host) => take(host, options)));
  const held = results.flatMap((result) =>
    result.status === 'fulfilled' && result.value.type === 'held' ? [result.value.lock] : [],
  );
  const failed = results.find((result): result is PromiseRejectedResult => result.status === 'rejected');
  if (failed !== undefined) {
    await release(held);
    throw failed.reason;
  }
  const refusal = results.flatMap((result) =>
    result.status === 'fulfilled' && result.value.type === 'refused' ? [result.value] : [],
  )[0];
  return { held, refusal };
}

async function takeInOrder(hosts: readonly Host[], options: LockOptions): Promise<Taken> {
  const held: HeldLock[] = [];
  try {
    for (const host of hosts) {
      const result = await take(host, options);
      if (result.type === 'refused') return { held, refusal: result };
      if (result.type === 'held') held.push(result.lock);
    }
  } catch (error) {
    await release(held);
    throw error;
  }
  return { held, refusal: undefined };
}

type Result =
  | { readonly type: 'held'; readonly lock: HeldLock }
  | ({ readonly type: 'refused' } & Refusal)
  | { readonly type: 'none' };

async function take(host: Host, { name, owner, signal, onWarning }: LockOptions): Promise<Result> {
  const answer = await holdLock(host, { name, owner, signal });
  switch (answer.type) {
    case 'held':
      return { type: 'held', lock: answer.lock };
    case 'refused':
      // One machine under two names: the lock is ours already.
      if (JSON.stringify(answer.owner) === JSON.stringify(owner)) return { type: 'none' };
      return { type: 'refused', host: host.name, owner: answer.owner };
    case 'no-flock':
      onWarning(host.name, 'there is no `flock`: two deploys at once are not kept apart there');
      return { type: 'none' };
  }
}

async function release(held: readonly HeldLock[]): Promise<void> {
  await Promise.all(held.map((lock) => lock[Symbol.asyncDispose]()));
}

function refusalText({ owner }: Refusal, { what }: LockOptions): string {
  if (owner === undefined) return `${what} is being changed by somebody else`;
  const { user, machine, command, commit, startedAt, pid } = owner;
  const details = [`cu ${command}`, commit === undefined ? undefined : `commit ${commit.slice(0, 10)}`, `pid ${pid}`];
  const since = formatMoment(startedAt);
  const parts = details.filter((part) => part !== undefined).join(', ');
  return `${what} is being changed by ${user}@${machine} since ${since} (${parts})`;
}
