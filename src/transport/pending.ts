import { setTimeout as sleep } from 'node:timers/promises';

/** Work that nobody waits for until the connection is to be closed. */
export interface Pending {
  add(work: Promise<unknown>): void;
  /** Waits for what is left, but not for long. */
  settle(withinMs: number): Promise<void>;
}

export function createPending(): Pending {
  const open = new Set<Promise<unknown>>();
  return {
    add: (work) => {
      const settled: Promise<unknown> = work.catch(() => undefined).finally(() => open.delete(settled));
      open.add(settled);
    },
    settle: async (withinMs) => {
      if (open.size === 0) return;
      const limit = new AbortController();
      const late = sleep(withinMs, undefined, { signal: limit.signal }).catch(() => undefined);
      await Promise.race([Promise.all(open), late]);
      limit.abort();
    },
  };
}
