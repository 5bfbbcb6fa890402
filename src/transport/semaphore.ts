import { onAbort } from './abort.ts';

/** Hands out at most `size` places; the rest wait in line. */
export interface Semaphore {
  /** Resolves to the function that gives the place back; rejects with the signal's reason. */
  acquire(signal?: AbortSignal): Promise<() => void>;
}

export function createSemaphore(size: number): Semaphore {
  let free = size;
  const waiting = new Set<() => void>();
  const release = (): void => {
    const [next] = waiting;
    if (next === undefined) {
      free += 1;
      return;
    }
    waiting.delete(next);
    next();
  };
  const wait = (signal: AbortSignal | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      const enter = (): void => {
        off();
        resolve();
      };
      waiting.add(enter);
      const off = onAbort(signal, (reason) => {
        waiting.delete(enter);
        reject(reason);
      });
    });
  return {
    acquire: async (signal) => {
      signal?.throwIfAborted();
      if (free > 0) free -= 1;
      else await wait(signal);
      let isReleased = false;
      return () => {
        if (isReleased) return;
        isReleased = true;
        release();
      };
    },
  };
}
