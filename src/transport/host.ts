import type { Duplex } from 'node:stream';
import type { Docker } from './docker.ts';

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Default: 60 s. */
  readonly timeoutMs?: number;
  readonly stdin?: string | Uint8Array;
  readonly onOutput?: (stream: 'stdout' | 'stderr', chunk: string) => void;
}

/** A command that was killed by a signal has `signal` set and an `exitCode` above 128: never a success. */
export interface RunResult {
  readonly exitCode: number;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export type DialTarget =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'tcp'; readonly address: string; readonly port: number };

/** One machine, reached over one connection that carries commands and the Docker API. */
export interface Host extends AsyncDisposable {
  readonly name: string;
  /** For messages: `deploy@192.0.2.11:22` or `this machine`. */
  readonly description: string;
  /** Runs `argv` without a shell's interpretation; a non-zero exit is a result, not an error. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /**
   * Runs `argv` with its stdin held open, as one stream: what is written goes there, what is read is its stdout. It
   * sees the end of its input as soon as the stream or the connection is gone.
   */
  converse(argv: readonly string[], signal: AbortSignal): Promise<Duplex>;
  /** Opens a byte stream from the host to a socket or port that the host can reach. */
  dial(target: DialTarget, signal?: AbortSignal): Promise<Duplex>;
  /** Listens on the host's loopback and hands each connection to `onConnection`; the port is the host's choice. */
  listen(onConnection: (stream: Duplex) => void): Promise<AsyncDisposable & { readonly port: number }>;
  docker(): Docker;
}
