import type { Readable } from 'node:stream';
import { CuError } from '../core/error.ts';
import { onAbort } from './abort.ts';

const DEFAULT_TIMEOUT_MS = 60_000;

/** The life of one call: its deadline, the caller's signal, and what its failure is called. */
export interface Call {
  readonly signal: AbortSignal;
  /** Starts the deadline anew: bytes are still being sent. */
  touch(): void;
  stopTimer(): void;
  /** Nothing of the call goes on after this. */
  end(error?: CuError): void;
  explain(error: unknown): Promise<CuError>;
}

export interface CallSetup {
  readonly host: string;
  readonly command: string;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** What is being sent, given up when the call fails. */
  readonly upload: Readable | undefined;
  readonly explain: (error: unknown, command: string) => CuError | Promise<CuError>;
}

export function startCall({ host, command, timeoutMs = DEFAULT_TIMEOUT_MS, signal, upload, explain }: CallSetup): Call {
  const controller = new AbortController();
  const stop = (code: 'TIMEOUT' | 'CANCELLED', message: string, hint?: string): void => {
    controller.abort(new CuError(code, message, { host, command, ...(hint === undefined ? {} : { hint }) }));
  };
  const timer = setTimeout(() => {
    const hint = 'the host may be overloaded or frozen: look at it, then run the command again';
    stop('TIMEOUT', `the Docker engine gave no answer within ${Math.round(timeoutMs / 1000)} s`, hint);
  }, timeoutMs);
  const off = onAbort(signal, () => stop('CANCELLED', `${command} was interrupted`));
  return {
    signal: controller.signal,
    touch: () => void timer.refresh(),
    stopTimer: () => clearTimeout(timer),
    end: (error) => {
      clearTimeout(timer);
      off();
      // An engine that refuses an upload early does not read the rest of it.
      if (error !== undefined) controller.abort(error);
      if (error !== undefined) upload?.destroy();
    },
    explain: async (error) => {
      if (controller.signal.reason instanceof CuError) return controller.signal.reason;
      return error instanceof CuError ? error : explain(error, command);
    },
  };
}
