import type { PlanNode } from '../core/action.ts';
import { CuErrors, type CuError } from '../core/error.ts';
import type { CuEvent } from '../core/event.ts';
import { hintFor } from '../core/hints.ts';
import { clean } from './clean.ts';

/** What `--json` promises: an explicit map, so that renaming a field inside cu breaks nobody. */
export function wireEvent(event: CuEvent): object {
  switch (event.type) {
    case 'phase':
      return { v: 1, type: 'phase', text: event.text };
    case 'plan-ready':
      return { v: 1, type: 'plan', steps: event.plan.nodes.map(wireNode) };
    case 'step-started':
      return { v: 1, type: 'step-started', ...stepKey(event.node), cause: event.node.cause };
    case 'step-progress':
      return { v: 1, type: 'step-progress', ...stepKey(event.node), text: clean(event.text) };
    case 'step-output':
      return { v: 1, type: 'step-output', ...stepKey(event.node), text: clean(event.text) };
    case 'step-done':
      return { v: 1, type: 'step-done', ...stepKey(event.node), ms: Math.round(event.ms), note: event.note };
    case 'step-failed':
      return {
        v: 1,
        type: 'step-failed',
        ...stepKey(event.node),
        ms: Math.round(event.ms),
        error: wireError(event.error),
      };
    case 'step-skipped':
      return { v: 1, type: 'step-skipped', ...stepKey(event.node), why: event.why };
    case 'hook-output':
      return { v: 1, type: 'hook-output', moment: event.moment, text: clean(event.text) };
    case 'job-changed': {
      const { job, name, state, progress, message } = event;
      return { v: 1, type: 'job', job, method: name, state, progress, message: clean(message) };
    }
    case 'job-log':
      return { v: 1, type: 'job-log', job: event.job, method: event.name, text: clean(event.text) };
    case 'transfer': {
      const { direction, name, bytes, totalBytes, isDone } = event;
      return { v: 1, type: 'transfer', direction, name, bytes, totalBytes, done: isDone };
    }
    case 'host-unreachable':
      return { v: 1, type: 'host-unreachable', host: event.host, error: wireError(event.error) };
    case 'warning':
      return { v: 1, type: 'warning', host: event.host, text: clean(event.text) };
    case 'debug':
      return { v: 1, type: 'debug', host: event.host, text: clean(event.text) };
  }
}

export function wireNode(node: PlanNode): object {
  return { ...stepKey(node), cause: node.cause, after: node.after };
}

export function wireError(error: CuError): object {
  return {
    code: error.code,
    exitCode: error.exitCode,
    message: clean(error.message),
    host: error.host,
    command: error.command,
    detail: error.detail === undefined ? undefined : clean(error.detail),
    hint: error.hint ?? hintFor(error.code, [error.message, error.detail]),
    errors: error instanceof CuErrors ? error.errors.map(wireError) : undefined,
  };
}

function stepKey(node: PlanNode): object {
  return { step: node.id, host: node.host, action: node.action.type };
}
