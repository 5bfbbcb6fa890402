import pLimit from 'p-limit';
import type { Action, Plan, PlanNode } from '../core/action.ts';
import { amend, CuError } from '../core/error.ts';
import type { Emit } from '../core/event.ts';
import type { FailurePolicy } from '../core/rollout.ts';

/** Does one step; the returned note says what a person may want to know, such as bytes sent. */
export type RunStep = (node: PlanNode, signal: AbortSignal) => Promise<string | undefined>;

export interface ExecuteOptions {
  readonly run: RunStep;
  readonly emit: Emit;
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** Steps under way at once, over all hosts. */
  readonly parallel: number;
  /** `continue`: a failure on one host stops that host alone. */
  readonly onFailure?: FailurePolicy;
}

export interface ExecutionResult {
  readonly done: readonly PlanNode[];
  readonly failed: readonly { readonly node: PlanNode; readonly error: CuError }[];
  readonly skipped: readonly { readonly node: PlanNode; readonly why: string }[];
  readonly cancelled: boolean;
}

/**
 * Walks a plan: a step starts when all it waits for are done. After the first failure, and after a cancel, no new step
 * starts; those under way finish or put back what they changed. Where a failure is not undone, what has been replaced
 * already still gets to finish its work: old and new would else work side by side.
 */
export async function execute(plan: Plan, options: ExecuteOptions): Promise<ExecutionResult> {
  assertTopological(plan);
  const limit = pLimit(options.parallel);
  const done: PlanNode[] = [];
  const failed: { node: PlanNode; error: CuError }[] = [];
  const skipped: { node: PlanNode; why: string }[] = [];
  const outcomes = new Map<string, Promise<boolean>>();

  const skip = (node: PlanNode, why: string): boolean => {
    skipped.push({ node, why });
    options.emit({ type: 'step-skipped', node, why });
    return false;
  };
  const { onFailure = 'stop' } = options;
  const reasonToSkip = (node: PlanNode): string | undefined => {
    if (options.signal.aborted) return 'interrupted';
    const reason = failed.find((each) => stops(each.node, node, onFailure));
    return reason === undefined ? undefined : `after ${reason.node.id} failed`;
  };
  const attempt = async (node: PlanNode): Promise<boolean> => {
    const why = reasonToSkip(node);
    if (why !== undefined) return skip(node, why);
    const startedAt = options.now();
    options.emit({ type: 'step-started', node });
    try {
      const note = await options.run(node, options.signal);
      done.push(node);
      options.emit({ type: 'step-done', node, ms: options.now() - startedAt, note });
      return true;
    } catch (cause) {
      const error = asStepError(cause, node, options.signal);
      failed.push({ node, error });
      options.emit({ type: 'step-failed', node, ms: options.now() - startedAt, error });
      return false;
    }
  };
  const byId = new Map(plan.nodes.map((node) => [node.id, node]));
  // With `continue` hosts do not wait for each other's success, but nothing is built on a broker or image that failed.
  const isBlocking = (id: string, node: PlanNode): boolean => {
    const other = byId.get(id);
    return other === undefined || onFailure !== 'continue' || !isSeparate(other, node);
  };
  const follow = async (node: PlanNode): Promise<boolean> => {
    const before = await Promise.all(
      node.after.map(async (id) => (await (outcomes.get(id) ?? true)) || !isBlocking(id, node)),
    );
    if (before.includes(false)) return skip(node, reasonToSkip(node) ?? 'what it waits for was not done');
    return limit(attempt, node);
  };

  for (const node of plan.nodes) outcomes.set(node.id, follow(node));
  await Promise.all(outcomes.values());
  return { done, failed, skipped, cancelled: options.signal.aborted };
}

/** Whether the failure of one step keeps another from starting. */
function stops(failed: PlanNode, node: PlanNode, onFailure: FailurePolicy): boolean {
  if (onFailure === 'continue') return !isSeparate(failed, node);
  return onFailure === 'rollback' || node.action.type !== 'drain-container';
}

/** What concerns one host alone, besides its containers. */
const LOCAL: readonly Action['type'][] = [
  'create-network',
  'create-volume',
  'ensure-proxy',
  'apply-routes',
  'switch-proxy',
  'pause',
];

/** Matters of two hosts, where the one is not the broker of the other, nor what takes its place. */
function isSeparate(one: PlanNode, other: PlanNode): boolean {
  const isOfHost = [one, other].every(
    ({ action }) => action.type.endsWith('-container') || LOCAL.includes(action.type),
  );
  const isBroker = 'spec' in one.action && one.action.spec.kind === 'redis';
  return isOfHost && one.host !== other.host && !isBroker && !isGivenUp(other);
}

/** What leaves a host, or comes back to it, because of what is on another one by then. */
function isGivenUp({ action }: PlanNode): boolean {
  if (action.type === 'apply-routes') return action.isFarewell === true;
  return action.type === 'resume-container' || (action.type === 'remove-container' && action.isOrphan === true);
}

const GO_ON = 'the same command again goes on from there';

function asStepError(cause: unknown, node: PlanNode, signal: AbortSignal): CuError {
  if (cause instanceof CuError && (cause.code !== 'CANCELLED' || !signal.aborted)) {
    return cause.host === undefined ? amend(cause, { host: node.host }) : cause;
  }
  if (signal.aborted) {
    const said = cause instanceof CuError ? cause.hint : undefined;
    const hint = said === undefined ? GO_ON : / again\b/.test(said) ? said : `${said}; ${GO_ON}`;
    return new CuError('CANCELLED', `${node.id} was interrupted`, { host: node.host, cause, hint });
  }
  return new CuError('BUG', `${node.id} failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
    host: node.host,
    cause,
  });
}

function assertTopological(plan: Plan): void {
  const seen = new Set<string>();
  for (const node of plan.nodes) {
    const missing = node.after.find((id) => !seen.has(id));
    if (missing !== undefined) throw new Error(`step ${node.id} stands before ${missing}, which it waits for`);
    if (seen.has(node.id)) throw new Error(`two steps are called ${node.id}`);
    seen.add(node.id);
  }
}
