import type { Plan } from '../core/action.ts';
import { CuErrors, EXIT_CODES, type CuError } from '../core/error.ts';
import { planText } from '../render/plan-text.ts';
import { wireError, wireNode } from '../render/wire.ts';
import type { CommandResult } from './command.ts';

export interface Planned {
  readonly plan: Plan;
  /** Hosts left out by `--skip-unreachable`. */
  readonly unreachable: readonly CuError[];
  readonly usage: object;
}

/** `--check` found something to do; no error, so it is not among the codes of `CuError`. */
export const CHANGES_FOUND = 6;

/** What a command that only plans reports. */
export function planResult(
  { plan, unreachable, usage }: Planned,
  { check }: { readonly check: boolean },
): CommandResult {
  const isChange = check && plan.nodes.length > 0;
  return {
    exitCode: unreachable.length > 0 ? EXIT_CODES.HOST_UNREACHABLE : isChange ? CHANGES_FOUND : 0,
    text: (theme) => planText(plan, theme),
    json: { steps: plan.nodes.map(wireNode), unreachable: unreachable.map(wireError), usage },
    ...(unreachable.length === 0 ? {} : { error: new CuErrors(unreachable) }),
  };
}
