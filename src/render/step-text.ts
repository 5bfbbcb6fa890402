import type { PlanNode } from '../core/action.ts';
import { describeAction, subjectOf } from '../core/describe.ts';
import { cleanLine } from './clean.ts';
import { duration } from './duration.ts';
import type { Theme } from './theme.ts';

/** `host service |`, the start of every line about a step. */
export function stepPrefix(node: PlanNode, theme: Theme): string {
  return `${theme.name(node.host)} ${subjectOf(node.action)} |`;
}

export function stepStarted(node: PlanNode, theme: Theme): string {
  const { verb, object } = describeAction(node.action);
  return `${stepPrefix(node, theme)} ${verb} ${object} (${cleanLine(node.cause)})`;
}

/** What a step waits for, in a line that stays. */
export function stepWaits(node: PlanNode, text: string, theme: Theme): string {
  const { verb, object } = describeAction(node.action);
  return `${stepPrefix(node, theme)} ${verb} ${object}: ${cleanLine(text)}`;
}

export function stepDone(
  node: PlanNode,
  end: { readonly ms: number; readonly note: string | undefined },
  theme: Theme,
): string {
  const { done, object } = describeAction(node.action);
  const note = end.note === undefined ? '' : `, ${cleanLine(end.note)}`;
  return `${stepPrefix(node, theme)} ${theme.good(done)} ${object} ${theme.dim(`(${cleanLine(node.cause)}${note}) ${duration(end.ms)}`)}`;
}

export function stepFailed(
  node: PlanNode,
  end: { readonly ms: number; readonly message: string },
  theme: Theme,
): string {
  const { verb, object } = describeAction(node.action);
  return `${stepPrefix(node, theme)} ${theme.bad('failed')} to ${verb} ${object}: ${cleanLine(end.message)} ${theme.dim(duration(end.ms))}`;
}

export function stepSkipped(node: PlanNode, why: string, theme: Theme): string {
  const { verb, object } = describeAction(node.action);
  return `${stepPrefix(node, theme)} ${theme.warn('skipped')} ${verb} ${object}: ${cleanLine(why)}`;
}
