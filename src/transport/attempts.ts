import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../core/error.ts';
import { createDeadline } from './deadline.ts';
import type { Deadline } from './deadline.ts';
import { connectError, connectTimeout, isTransient } from './errors.ts';
import type { Described } from './errors.ts';

const TRIES = 3;

/** Connects within one deadline; tries again only what failed before any login, and never what was refused. */
export async function connectInTries<T>(
  described: Described,
  { connectTimeoutMs, signal }: { readonly connectTimeoutMs: number; readonly signal?: AbortSignal | undefined },
  connect: (deadline: Deadline) => Promise<T>,
): Promise<T> {
  const deadline = createDeadline({
    timeoutMs: connectTimeoutMs,
    signal,
    onTimeout: () => connectTimeout(described, connectTimeoutMs),
    onCancel: () =>
      new CuError('CANCELLED', `connecting to ${described.description} was interrupted`, { host: described.name }),
  });
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await connect(deadline);
      } catch (error) {
        if (deadline.signal.aborted && deadline.signal.reason instanceof CuError) throw deadline.signal.reason;
        if (attempt === TRIES || !isTransient(error)) throw connectError(error, described);
        // Jitter, so that many hosts behind one busy bastion do not come back together.
        const pauseMs = 200 * 2 ** attempt * (0.5 + Math.random());
        await sleep(pauseMs, undefined, { signal: deadline.signal }).catch(() => undefined);
      }
    }
  } finally {
    deadline.stop();
  }
}
