import { CuError } from '../core/error.ts';
import { exitStatus } from './exit-status.ts';
import type { RunOptions, RunResult } from './host.ts';

export const DEFAULT_RUN_MS = 60_000;

export interface LocalRunOptions extends RunOptions {
  readonly host: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Ctrl-C of the terminal is not for it. */
  readonly isDetached?: boolean;
  /** The program in messages, where the one that is started only carries it. */
  readonly shownAs?: string;
}

/** Runs a program of this machine; killed by a signal it is a failure above 128, as a shell has it. */
export async function runLocal(argv: readonly string[], options: LocalRunOptions): Promise<RunResult> {
  const { execa } = await import('execa');
  const [file = '', ...args] = argv;
  const shown = options.shownAs ?? file;
  const timeoutMs = options.timeoutMs ?? DEFAULT_RUN_MS;
  const child = execa(file, args, {
    reject: false,
    stripFinalNewline: false,
    timeout: timeoutMs,
    forceKillAfterDelay: 1000,
    detached: options.isDetached === true,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.stdin === undefined ? { stdin: 'ignore' as const } : { input: options.stdin }),
    ...(options.env === undefined ? {} : { env: { ...options.env } }),
  });
  child.stdout?.on('data', (chunk: Buffer) => options.onOutput?.('stdout', chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => options.onOutput?.('stderr', chunk.toString()));
  const result = await child;
  if (result.isCanceled) throw new CuError('CANCELLED', `${shown} was interrupted`, { host: options.host });
  if (result.timedOut) {
    throw new CuError('TIMEOUT', `${shown} did not end within ${Math.round(timeoutMs / 1000)} s`, {
      host: options.host,
    });
  }
  // A program that could not be started has neither a code nor a signal.
  const isMissing = result.exitCode === undefined && result.signal === undefined;
  return {
    ...exitStatus(isMissing ? 127 : result.exitCode, result.signal),
    stdout: result.stdout ?? '',
    stderr: isMissing ? `${file}: ${result.shortMessage ?? 'could not be started'}` : (result.stderr ?? ''),
  };
}
