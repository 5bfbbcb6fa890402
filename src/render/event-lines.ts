import { isAftermath } from '../core/describe.ts';
import type { CuEvent } from '../core/event.ts';
import { hasEnded } from '../core/job.ts';
import { clean, cleanLine } from './clean.ts';
import { jobAccepted, jobLog, sentText } from './job-text.ts';
import { planText } from './plan-text.ts';
import { stepDone, stepFailed, stepPrefix, stepSkipped } from './step-text.ts';
import type { Theme } from './theme.ts';

const KEPT_LINES = 20;

/** Makes the function that says which lines an event leaves for good; it keeps each step's last output for its failure. */
export function createEventLines(theme: Theme, verbose: boolean): (event: CuEvent) => readonly string[] {
  const kept = new Map<string, readonly string[]>();
  const accepted = new Set<string>();
  const take = (id: string): readonly string[] => {
    const lines = kept.get(id) ?? [];
    kept.delete(id);
    return lines;
  };

  return (event) => {
    switch (event.type) {
      case 'plan-ready':
        // That there is nothing to do is the result, on stdout.
        return event.plan.nodes.length === 0 ? [] : planText(event.plan, theme).split('\n');
      case 'step-output': {
        const lines = linesOf(event.text).map((line) => `${stepPrefix(event.node, theme)} ${line}`);
        // What a release task says is of as much interest as that it ended.
        if (verbose || event.node.action.type === 'run-task') return lines;
        kept.set(event.node.id, [...(kept.get(event.node.id) ?? []), ...lines].slice(-KEPT_LINES));
        return [];
      }
      case 'step-done':
        take(event.node.id);
        return [stepDone(event.node, event, theme)];
      case 'step-failed': {
        const said = take(event.node.id);
        const failed = stepFailed(event.node, { ms: event.ms, message: event.error.message }, theme);
        // An error with a detail is printed in full at the end.
        return event.error.detail === undefined ? [failed, ...said] : [failed];
      }
      case 'step-skipped':
        return isAftermath(event.node) ? [] : [stepSkipped(event.node, event.why, theme)];
      case 'hook-output':
        return [`hook | ${cleanLine(event.text)}`];
      case 'job-changed':
        if (accepted.has(event.job) || hasEnded(event.state)) return [];
        accepted.add(event.job);
        return [jobAccepted(event, theme)];
      case 'job-log':
        return linesOf(event.text).map((line) => jobLog(event, line, theme));
      case 'transfer':
        return event.isDone && event.direction === 'up' ? [sentText(event, theme)] : [];
      case 'host-unreachable':
        return [`${theme.name(event.host)} | ${theme.bad('unreachable')}: ${cleanLine(event.error.message)}`];
      case 'warning':
        return [warningLine(event, theme)];
      case 'debug':
        return verbose ? [theme.dim(`${hostPrefix(event.host)}${cleanLine(event.text)}`)] : [];
      case 'phase':
      case 'step-started':
      case 'step-progress':
        return [];
    }
  };
}

export function warningLine(event: { readonly host: string | undefined; readonly text: string }, theme: Theme): string {
  return `${theme.warn('warning:')} ${hostPrefix(event.host)}${cleanLine(event.text)}`;
}

function linesOf(text: string): readonly string[] {
  return clean(text).replace(/\n+$/, '').split('\n');
}

function hostPrefix(host: string | undefined): string {
  return host === undefined ? '' : `${host}: `;
}
