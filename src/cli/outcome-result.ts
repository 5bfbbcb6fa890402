import { CuErrors, EXIT_CODES, type CuError } from '../core/error.ts';
import { outcomeText, type Outcome } from '../render/outcome-text.ts';
import { wireError } from '../render/wire.ts';
import type { CommandResult } from './command.ts';

export interface Executed {
  readonly outcome: Outcome;
  /** Hosts left out by `--skip-unreachable`. */
  readonly unreachable?: readonly CuError[];
  /** What each host was asked: calls, commands, round trips, bytes. */
  readonly usage?: object;
}

/** What a command that executed a plan reports: host by host what was done, and the exit code that follows. */
export function outcomeResult({ outcome, unreachable = [], usage }: Executed): CommandResult {
  const errors = [
    ...unreachable,
    ...outcome.failed.map(({ error }) => error),
    ...(outcome.undone?.failed ?? []).map(({ error }) => error),
  ];
  return {
    exitCode: exitCodeFor(errors, outcome.cancelled),
    text: (theme) => outcomeText(outcome, unreachable, theme),
    json: {
      changed: outcome.done.length > 0,
      done: outcome.done.map((node) => node.id),
      failed: outcome.failed.map(({ node, error }) => ({ step: node.id, error: wireError(error) })),
      skipped: outcome.skipped.map(({ node, why }) => ({ step: node.id, why })),
      undone: outcome.undone?.done.map((node) => node.id),
      notUndone: outcome.undone?.failed.map(({ node, error }) => ({ step: node.id, error: wireError(error) })),
      runsNow: outcome.runsNow,
      unreachable: unreachable.map(wireError),
      cancelled: outcome.cancelled,
      usage,
    },
    ...(errors.length === 0 ? {} : { error: new CuErrors(errors) }),
  };
}

/** A host that cannot be reached weighs more than a step that failed. */
function exitCodeFor(errors: readonly CuError[], isCancelled: boolean): number {
  if (isCancelled) return EXIT_CODES.CANCELLED;
  const codes = errors.map((error) => error.exitCode);
  for (const code of [EXIT_CODES.BUG, EXIT_CODES.HOST_UNREACHABLE]) if (codes.includes(code)) return code;
  return codes.length > 0 ? EXIT_CODES.STEP_FAILED : 0;
}
