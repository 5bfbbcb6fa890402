import type { Plan, PlanNode } from '../core/action.ts';
import { describeAction, hostsOf, isAftermath, summarize } from '../core/describe.ts';
import { cleanLine } from './clean.ts';
import type { Theme } from './theme.ts';

/** One line per step, host by host, then the counts. */
export function planText(plan: Plan, theme: Theme): string {
  if (plan.nodes.length === 0) return summarize(plan);
  const hosts = hostsOf(plan.nodes);
  const width = Math.max(...hosts.map((host) => host.length));
  const lines = hosts.flatMap((host) =>
    plan.nodes.filter((node) => node.host === host && !isAftermath(node)).map((node) => planLine(node, width, theme)),
  );
  return [...lines, '', theme.bold(summarize(plan))].join('\n');
}

function planLine(node: PlanNode, width: number, theme: Theme): string {
  const { symbol, verb, object } = describeAction(node.action);
  const paint = { '+': theme.good, '~': theme.warn, '-': theme.bad, '·': theme.dim }[symbol];
  const host = theme.name(node.host) + ' '.repeat(width - node.host.length);
  return `${paint(symbol)} ${host}  ${verb} ${object} ${theme.dim(`(${cleanLine(node.cause)})`)}`;
}
