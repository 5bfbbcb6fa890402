import { setMaxListeners } from 'node:events';

/** Calls the listener once when the signal aborts, or at once when it has; returns what takes the listener off. */
export function onAbort(signal: AbortSignal | undefined, listener: (reason: Error) => void): () => void {
  if (signal === undefined) return () => undefined;
  const abort = (): void => listener(reasonOf(signal));
  if (signal.aborted) {
    abort();
    return () => undefined;
  }
  // One signal is heard by every call of a run; Node would warn of a leak at the eleventh.
  setMaxListeners(0, signal);
  signal.addEventListener('abort', abort, { once: true });
  return () => signal.removeEventListener('abort', abort);
}

/** Settles with the promise, or rejects with the signal's reason when that comes first. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const off = onAbort(signal, reject);
    promise.then(resolve, reject).finally(off);
  });
}

/** Node 20 may forget a timeout that only `AbortSignal.any` knows of, and then it never comes (nodejs/node#54614). */
const pending = new Set<AbortSignal>();

/** Aborts after so many milliseconds, or with the other signal. */
export function within(ms: number, signal?: AbortSignal): AbortSignal {
  const limit = AbortSignal.timeout(ms);
  pending.add(limit);
  limit.addEventListener('abort', () => pending.delete(limit), { once: true });
  return signal === undefined ? limit : AbortSignal.any([signal, limit]);
}

/** Aborts so many milliseconds after the other one: for what is worse cut in the middle than finished. */
export function delayed(ms: number, signal: AbortSignal): AbortSignal {
  const controller = new AbortController();
  onAbort(signal, (reason) => void setTimeout(() => controller.abort(reason), ms).unref());
  return controller.signal;
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('interrupted');
}
