import { constants } from 'node:os';
import type { RunResult } from './host.ts';

export type ExitStatus = Pick<RunResult, 'exitCode' | 'signal'>;

/**
 * How a command ended, the same for all clients: killed, it has `signal` and an exit code above 128. A shell in
 * between (a login shell, or `sh -c`) reports its child's signal as 128+n, so that is read as a signal too.
 */
export function exitStatus(code: number | null | undefined, signal: string | undefined): ExitStatus {
  if (code === null || code === undefined) {
    const name = signal === undefined ? 'SIGKILL' : `SIG${signal.replace(/^SIG/, '')}`;
    return { exitCode: 128 + (numberOf(name) ?? constants.signals.SIGKILL), signal: name };
  }
  return { exitCode: code, signal: code > 128 ? nameOf(code - 128) : undefined };
}

function numberOf(name: string): number | undefined {
  return Object.entries(constants.signals).find(([each]) => each === name)?.[1];
}

function nameOf(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, each]) => each === number)?.[0];
}
