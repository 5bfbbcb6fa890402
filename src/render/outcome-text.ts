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
  /** What runs where a rollout did not succeed. */
  readonly runsNow?: readonly RunsOn[];
}

export interface RunsOn {
  readonly host: string;
  /** undefined: the host does not answer. */
  readonly instances:
    | readonly {
        readonly service: string;
        readonly instance: string;
        readonly version: string | undefined;
        readonly why: 'new' | 'as before' | 'put back';
      }[]
    | undefined;
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
  const hosts = [...new Set([...hostsOf(nodes), ...away])].toSorted((one, other) =>
    one.localeCompare(other, 'en', { numeric: true }),
  );
  const back =
    undone === undefined ? [] : ['', theme.bold('Put back after the failure:'), outcomeText(undone, [], theme)];
  const width = Math.max(...hosts.map((host) => host.length));
  const lines = hosts.map((host) => {
    const summary = away.includes(host) ? theme.bad('unreachable, left out') : hostSummary(host, outcome, theme);
    return `${theme.name(host)}${' '.repeat(width - host.length)}  ${summary}`;
  });
  const now = outcome.runsNow === undefined || outcome.runsNow.length === 0 ? [] : runsNowLines(outcome.runsNow, theme);
  return [...lines, ...back, ...now].join('\n');
}

/** `host1  web/1 r41 (put back), worker/1 r41 (as before)`. */
function runsNowLines(runsNow: readonly RunsOn[], theme: Theme): readonly string[] {
  const width = Math.max(...runsNow.map(({ host }) => host.length));
  const lines = runsNow.map(({ host, instances }) => {
    const texts = instances?.map(
      ({ service, instance, version, why }) =>
        `${instance === service ? service : `${service}/${instance}`}${version === undefined ? '' : ` ${version}`} (${why})`,
    );
    const text = texts === undefined ? theme.bad('does not answer') : texts.length === 0 ? 'nothing' : texts.join(', ');
    return `${theme.name(host)}${' '.repeat(width - host.length)}  ${text}`;
  });
  return ['', theme.bold('What runs now:'), ...lines];
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
