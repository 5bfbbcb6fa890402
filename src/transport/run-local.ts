import { kill } from 'node:process';
import { CuError } from '../core/error.ts';
import { orAborted } from './abort.ts';
import { createDeadline } from './deadline.ts';
import type { Deadline } from './deadline.ts';
import { exitStatus } from './exit-status.ts';
import type { RunOptions, RunResult } from './host.ts';

export interface LocalRunOptions extends RunOptions {
  readonly host: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether `env` comes on top of cu's own environment; default: yes. */
  readonly inheritsEnv?: boolean;
  readonly cwd?: string;
}

const DEFAULT_RUN_MS = 60_000;
const TERM_MS = 1000;

/** Runs a program of this machine; killed by a signal it is a failure above 128, as a shell has it. */
export async function runLocal(argv: readonly string[], options: LocalRunOptions): Promise<RunResult> {
  const deadline = runDeadline(argv, options);
  try {
    return await orAborted(execute(argv, options, deadline.signal), deadline.signal);
  } finally {
    deadline.stop();
  }
}

/** How long a command may take, and what it is called when it takes longer; the same for all clients. */
export function runDeadline(
  [program = '']: readonly string[],
  { host, signal, timeoutMs = DEFAULT_RUN_MS }: RunOptions & { readonly host: string },
): Deadline {
  return createDeadline({
    timeoutMs,
    signal,
    onTimeout: () => new CuError('TIMEOUT', `${program} did not end within ${Math.ceil(timeoutMs / 1000)} s`, { host }),
    onCancel: () => new CuError('CANCELLED', `${program} was interrupted`, { host }),
  });
}

/** Ends when the program and all that hold its output have, which may be after the signal. */
export async function execute(
  argv: readonly string[],
  { env, inheritsEnv = true, cwd, stdin, onOutput }: Omit<LocalRunOptions, 'host'>,
  signal: AbortSignal,
): Promise<RunResult> {
  const { execa } = await import('execa');
  const [file = '', ...args] = argv;
  signal.throwIfAborted();
  const child = execa(file, args, {
    reject: false,
    stripFinalNewline: false,
    maxBuffer: Number.MAX_SAFE_INTEGER,
    // A group of its own: it can be ended with all its children, and Ctrl-C on the terminal is for cu alone.
    detached: true,
    cleanup: false,
    ...(stdin === undefined ? { stdin: 'ignore' as const } : { input: stdin }),
    ...(env === undefined ? {} : { env: { ...env } }),
    ...(cwd === undefined ? {} : { cwd }),
    extendEnv: inheritsEnv,
  });
  const off = onAbortKill(child.pid, signal);
  child.stdout?.setEncoding('utf8').on('data', (text: string) => onOutput?.('stdout', text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => onOutput?.('stderr', text));
  const result = await child;
  off();
  // A program that could not be started has neither a code nor a signal.
  const isMissing = result.exitCode === undefined && result.signal === undefined;
  return {
    ...exitStatus(isMissing ? 127 : result.exitCode, result.signal),
    stdout: result.stdout ?? '',
    stderr: isMissing ? `${file}: ${result.shortMessage ?? 'could not be started'}` : (result.stderr ?? ''),
  };
}

function onAbortKill(pid: number | undefined, signal: AbortSignal): () => void {
  let timer: NodeJS.Timeout | undefined;
  const killGroup = (name: NodeJS.Signals): void => {
    try {
      if (pid !== undefined) kill(-pid, name);
    } catch {
      // It has ended by itself meanwhile.
    }
  };
  const abort = (): void => {
    killGroup('SIGTERM');
    timer = setTimeout(() => killGroup('SIGKILL'), TERM_MS).unref();
  };
  signal.addEventListener('abort', abort, { once: true });
  return () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  };
}
