import type { PlanNode } from '../core/action.ts';
import { describeAction, hostsOf, isAftermath } from '../core/describe.ts';
import type { CuError } from '../core/error.ts';
import { cleanLine } from './clean.ts';
import type { Theme } from './theme.ts';

/** What became of a plan; `execute` returns one. */
export interface Outcome {
  readonly done: readonly PlanNode[];
  readonly failed: readonly { readonly node: PlanNode; readonly error: CuError }[];
  readonly skipped: readonly { readonly node: PlanNode; readonly why: string }[];
  readonly cancelled: boolean;
  /** What became of putting back what had been done. */
  readonly undone?: Outcome;
}

/** Host by host what was done, what failed and what was not begun; the errors themselves go to stderr. */
export function outcomeText(outcome: Outcome, unreachable: readonly CuError[], theme: Theme): string {
  const { undone } = outcome;
  const nodes = [
    ...outcome.done,
    ...outcome.failed.map(({ node }) => node),
    ...outcome.skipped.map(({ node }) => node),
  ];
  const away = unreachable.flatMap(({ host }) => (host === undefined ? [] : [host]));
  if (nodes.length === 0 && away.length === 0)
    return outcome.cancelled ? 'stopped before anything was done' : 'nothing to do';
  const hosts = [...new Set([...hostsOf(nodes), ...away])];
  const back =
    undone === undefined ? [] : ['', theme.bold('Put back after the failure:'), outcomeText(undone, [], theme)];
  const width = Math.max(...hosts.map((host) => host.length));
  const lines = hosts.map((host) => {
    const summary = away.includes(host) ? theme.bad('unreachable, left out') : hostSummary(host, outcome, theme);
    return `${theme.name(host)}${' '.repeat(width - host.length)}  ${summary}`;
  });
  return [...lines, ...back].join('\n');
}

function hostSummary(host: string, { done, failed, skipped }: Outcome, theme: Theme): string {
  const finished = done.filter((node) => node.host === host && !isAftermath(node)).map(doneText);
  const broken = failed.filter(({ node }) => node.host === host).map(({ node }) => stepText(node));
  const left = skipped.filter(({ node }) => node.host === host && !isAftermath(node));
  const parts = [
    ...finished,
    ...(broken.length === 0 ? [] : [`${theme.bad('failed')} to ${broken.join(', ')}`]),
    ...(left.length === 0
      ? []
      : [
          `${theme.warn('skipped')} ${left.map(({ node }) => stepText(node)).join(', ')} (${[...new Set(left.map(({ why }) => cleanLine(why)))].join('; ')})`,
        ]),
  ];
  return parts.join(', ');
}

function doneText(node: PlanNode): string {
  const { done, object } = describeAction(node.action);
  return `${done} ${object}`;
}

function stepText(node: PlanNode): string {
  const { verb, object } = describeAction(node.action);
  return `${verb} ${object}`;
}
