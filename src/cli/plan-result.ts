import type { Plan } from '../core/action.ts';
import { CuErrors, EXIT_CODES, type CuError } from '../core/error.ts';
import { planText } from '../render/plan-text.ts';
import { wireError, wireNode } from '../render/wire.ts';
import type { CommandResult } from './command.ts';

export interface Planned {
  readonly plan: Plan;
  /** What would end a deploy before its first change. */
  readonly findings: readonly CuError[];
  /** Hosts left out by `--skip-unreachable`. */
  readonly unreachable: readonly CuError[];
  readonly usage: object;
}

/** `--check` found something to do; no error, so it is not among the codes of `CuError`. */
export const CHANGES_FOUND = 6;

/** What a command that only plans reports: the plan, and beside it what stands in its way. */
export function planResult(
  { plan, findings, unreachable, usage }: Planned,
  { check }: { readonly check: boolean },
): CommandResult {
  const errors = [...findings, ...unreachable];
  const error = errors.length === 0 ? undefined : new CuErrors(errors);
  const isChange = check && plan.nodes.length > 0;
  return {
    // A host that cannot be reached weighs more than what is wrong with another.
    exitCode:
      unreachable.length > 0 ? EXIT_CODES.HOST_UNREACHABLE : (error?.exitCode ?? (isChange ? CHANGES_FOUND : 0)),
    text: (theme) => planText(plan, theme),
    json: {
      steps: plan.nodes.map(wireNode),
      ...(findings.length === 0 ? {} : { error: wireError(new CuErrors(findings)) }),
      unreachable: unreachable.map(wireError),
      usage,
    },
    ...(error === undefined ? {} : { error }),
  };
}
