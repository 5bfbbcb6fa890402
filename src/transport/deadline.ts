import { onAbort } from './abort.ts';

/** A time limit that stands still while a person is asked; `signal` aborts with what `onTimeout` makes. */
export interface Deadline {
  readonly signal: AbortSignal;
  pausing<T>(question: () => Promise<T>): Promise<T>;
  stop(): void;
}

export interface DeadlineOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onTimeout: () => Error;
  readonly onCancel: () => Error;
}

export function createDeadline(options: DeadlineOptions): Deadline {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let leftMs = options.timeoutMs;
  let startedAt = performance.now();
  const start = (): void => {
    startedAt = performance.now();
    timer = setTimeout(() => controller.abort(options.onTimeout()), leftMs);
  };
  const hold = (): void => {
    clearTimeout(timer);
    leftMs = Math.max(1, leftMs - (performance.now() - startedAt));
  };
  const off = onAbort(options.signal, () => controller.abort(options.onCancel()));
  start();
  return {
    signal: controller.signal,
    pausing: async (question) => {
      hold();
      try {
        return await question();
      } finally {
        start();
      }
    },
    stop: () => {
      clearTimeout(timer);
      off();
    },
  };
}
