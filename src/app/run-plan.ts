import type { Plan, PlanNode } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import type { ImageIds } from '../core/release.ts';
import type { FailurePolicy } from '../core/rollout.ts';
import { execute } from '../execute/execute.ts';
import type { ExecutionResult, RunStep } from '../execute/execute.ts';
import { createRunner } from '../execute/handlers.ts';
import type { Gap, Runner } from '../execute/handlers.ts';
import { letGo } from '../execute/old-container.ts';
import { isGate, pendingDrains, planUndo } from '../plan/undo.ts';
import { engineAddress } from '../transport/local.ts';
import { delayed } from '../transport/abort.ts';
import { DEFAULT_SOCKET } from '../transport/engine-socket.ts';
import type { Context } from './context.ts';
import { lockOwner } from './locks.ts';
import type { Prepared } from './prepare.ts';

/** Steps under way at once over all hosts; a host is busy waiting most of the time. */
const DEFAULT_STEPS = 32;

/**
 * From an interrupt until all is put back. A CI runner kills after 7.5 s (FACTS.md section 4), and the record and the
 * locks want a moment too.
 */
const GRACE_MS = 4000;

/** What became of a plan, and of putting back what a failed one had done. */
export interface RunResult extends ExecutionResult {
  readonly undone?: ExecutionResult;
  readonly gaps?: readonly Gap[];
  /** By image; what was built, pulled or sent is known only now. */
  readonly imageIds?: Readonly<Record<string, ImageIds>>;
}

interface RunOptions {
  readonly rebuild?: boolean;
  readonly pull?: boolean;
  /** What happens when a step fails; without it nothing is put back. */
  readonly onFailure?: FailurePolicy;
}

type Scene = Pick<Prepared, 'desired' | 'session' | 'observed' | 'images' | 'inputs'> &
  Partial<Pick<Prepared, 'locks'>>;

/** Executes a plan over the connections that are open already, and puts back every host when it fails and is to. */
export async function runPlan(
  context: Context,
  prepared: Scene,
  plan: Plan,
  { onFailure = 'stop', rebuild = false, pull = false }: RunOptions = {},
): Promise<RunResult> {
  const grace = delayed(GRACE_MS, context.signal);
  await using runner = openRunner(context, prepared, { rebuild, pull, grace });
  const walk = (steps: Plan, policy: FailurePolicy): Promise<ExecutionResult> =>
    execute(steps, {
      run: (node, signal) => runUnderLock(node, signal, { run: runner.run, lost: prepared.locks?.lostOn(node.host) }),
      emit: context.emit,
      now: context.now,
      signal: context.signal,
      parallel: context.options.parallel ?? DEFAULT_STEPS,
      onFailure: policy,
    });
  const result = { ...(await walk(plan, onFailure)), gaps: runner.gaps, imageIds: runner.imageIds() };
  if (result.cancelled) await letDrain(context, prepared, { plan, done: result.done, grace });
  const done = new Set(result.done.map(({ id }) => id));
  // Whatever step it was that failed: a rollout of which a gate is not passed is half done.
  const isHalfDone = result.failed.length > 0 && plan.nodes.some((node) => isGate(node) && !done.has(node.id));
  if (onFailure !== 'rollback' || !isHalfDone || result.cancelled) return result;
  const undo = planUndo(plan.nodes.filter(({ id }) => done.has(id)));
  if (undo.nodes.length === 0) return result;
  context.emit({ type: 'phase', text: 'putting back what was changed' });
  // One host that cannot be put back keeps no other from it.
  const undone = await walk(undo, 'continue');
  return { ...result, undone, cancelled: undone.cancelled };
}

/** A step ends when the lock of its host is lost, and says that it was that. */
async function runUnderLock(
  node: PlanNode,
  signal: AbortSignal,
  { run, lost }: { readonly run: RunStep; readonly lost: AbortSignal | undefined },
): Promise<string | undefined> {
  if (lost === undefined) return run(node, signal);
  try {
    lost.throwIfAborted();
    return await run(node, AbortSignal.any([signal, lost]));
  } catch (error) {
    const isOwn = error instanceof CuError && error.code !== 'CANCELLED';
    throw lost.aborted && !signal.aborted && !isOwn ? lost.reason : error;
  }
}

/** Interrupted between the new one and the end of the old one: they must not go on working side by side. */
async function letDrain(
  context: Context,
  { session, desired, observed }: Scene,
  { plan, done, grace }: { readonly plan: Plan; readonly done: ExecutionResult['done']; readonly grace: AbortSignal },
): Promise<void> {
  await Promise.allSettled(
    pendingDrains(plan, done).map(async ({ host, action }) => {
      const at = session.hosts.get(host);
      if (at === undefined || action.type !== 'drain-container') return;
      const socketGid = observed.find(({ name }) => name === host)?.facts.dockerGid ?? 0;
      const { place } = action;
      await letGo(at, action, {
        owner: desired,
        grace,
        switching: place === undefined ? undefined : { place, socketGid, locker: lockOwner(context, 'deploy') },
      });
    }),
  );
}

function openRunner(
  context: Context,
  prepared: Scene,
  options: { readonly rebuild: boolean; readonly pull: boolean; readonly grace: AbortSignal },
): Runner {
  const { desired, session } = prepared;
  return createRunner({
    desired,
    hosts: session.hosts,
    observed: new Map(prepared.observed.map((host) => [host.name, host])),
    images: prepared.images,
    inputs: prepared.inputs,
    engineOf: async (name) => {
      const target = desired.hosts.find((host) => host.name === name) ?? {
        name,
        dockerSocket: undefined,
        connection: 'local',
      };
      return target.connection === 'local'
        ? engineAddress(target, context)
        : { type: 'unix', path: target.dockerSocket ?? DEFAULT_SOCKET };
    },
    openLocal: () => session.openLocal(),
    env: context.env,
    cacheDir: context.cacheDir,
    locker: lockOwner(context, 'deploy'),
    now: context.now,
    emit: context.emit,
    ...options,
  });
}
