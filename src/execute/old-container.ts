import type { Action } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import type { OnProgress } from '../core/event.ts';
import { inspectContainer } from '../observe/observe.ts';
import type { InspectedContainer } from '../observe/parse.ts';
import { DRAINING, REPLACED, UNPROVEN } from '../plan/containers.ts';
import { slotOf } from '../plan/proxy/routes.ts';
import { within } from '../transport/abort.ts';
import type { Host } from '../transport/host.ts';
import { behindProxy, startAgain } from './containers.ts';
import type { ContainerStep } from './containers.ts';
import { removeContainer, renameContainer, startContainer, stopContainer, unpauseContainer } from './engine.ts';
import { finishWork } from './finish-work.ts';
import { waitHealthy } from './gate.ts';
import { moveAside, takeName } from './names.ts';
import { drainOut, switchTo } from './proxy/switch.ts';
import type { Switching } from './proxy/switch.ts';

type Drain = Extract<Action, { type: 'drain-container' }>;

interface DrainStep {
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly grace: AbortSignal;
  readonly onProgress: OnProgress;
  readonly proxy: Switching | undefined;
}

/** Long enough for the engine to have taken the order to stop. */
const TELL_MS = 2000;

/** How long one that was put back has to stay up before its successor goes. */
const BACK_MS = 1000;

/** What has been replaced finishes its work, and stops; it stays, stopped, until the run has succeeded. */
export async function drainContainer(step: DrainStep, drain: Drain): Promise<void> {
  const { host, signal, onProgress } = step;
  const found = await inspectContainer(host, drain.id, signal);
  if (found === undefined) return;
  if (found.observed.state === 'paused') await unpauseContainer(host, drain.id, signal);
  if (drain.isDetached) return detach(host, drain, step.grace);
  onProgress('draining the old one');
  if (step.proxy !== undefined) await drainOut(step.proxy, drain.drainMs);
  try {
    await finishWork(step, drain.id, drain.drainMs);
  } catch (error) {
    if (!(error instanceof CuError) || error.hint !== undefined) throw error;
    const hint = 'the new container runs, the old one still finishes its work: run `cu deploy` again';
    throw new CuError(error.code, error.message, { host: host.name, hint, cause: error });
  }
}

/**
 * Tells a container to finish its work and leaves it to do so: the engine waits for it, and kills it after its drain,
 * also when nobody listens any more. Its name says that it was told.
 */
async function detach(host: Host, { name, id, drainMs }: Drain, grace: AbortSignal): Promise<void> {
  const prompt = within(TELL_MS, grace);
  const base = name.slice(0, -REPLACED.length);
  await renameContainer(host, id, `${base}${DRAINING}${id.slice(0, 12)}`, prompt).catch(() => undefined);
  await stopContainer(host, id, drainMs, prompt).catch((error: unknown) => {
    if (!prompt.aborted) throw error;
  });
}

/** For the last requests of an old webserver when the run was interrupted: cu has to end within seven seconds. */
const LAST_REQUESTS_MS = 4000;

/**
 * What an interrupted run leaves of an old container: it is told to finish its work. One behind the proxy first has to
 * have no requests any more; while it has some it is left running, and the next deploy takes it away.
 */
export async function letGo(
  host: Host,
  drain: Drain,
  {
    owner,
    grace,
    switching,
  }: {
    readonly owner: Switching['owner'];
    readonly grace: AbortSignal;
    readonly switching: Pick<Switching, 'place' | 'socketGid' | 'locker'> | undefined;
  },
): Promise<void> {
  if (switching === undefined) return detach(host, drain, grace);
  const signal = within(LAST_REQUESTS_MS + TELL_MS, grace);
  const at = { ...switching, host, owner, signal, onProgress: () => undefined, moved: new Map<string, number>() };
  const isIdle = await drainOut(at, LAST_REQUESTS_MS);
  if (isIdle) await detach(host, drain, grace);
}

/** The old one serves again under its name; what had replaced it finishes its work and is removed. */
export async function restoreContainer(
  step: ContainerStep,
  { oldId, strategy }: Pick<Extract<Action, { type: 'restore-container' }>, 'oldId' | 'strategy'>,
): Promise<void> {
  const { host, spec, signal } = step;
  const failed = await inspectContainer(host, spec.name, signal);
  const failedId = failed?.observed.id;
  const mustMakeRoom = strategy === 'recreate' && failedId !== undefined && failedId !== oldId;
  if (mustMakeRoom && failed !== undefined) await changePlaces(step, failed, oldId);
  else await comeBack(step, oldId);
  const health = { ...spec.health, type: 'none', stableMs: BACK_MS } as const;
  await waitHealthy(host, oldId, { ...spec, health }, step);
  const oldProxy = behindProxy(step, slotOf((await inspectContainer(host, oldId, signal)) ?? { labels: {} }));
  if (oldProxy !== undefined) await switchTo(oldProxy, spec.drainMs, spec.health.timeoutMs);
  if (failedId !== undefined && failedId !== oldId) await moveAside(step, failedId, `${spec.name}${UNPROVEN}`);
  await takeName(step, oldId);
  if (failedId === undefined || failedId === oldId) return;
  await finishWork(step, failedId, spec.drainMs);
  await removeContainer(host, failedId, signal);
}

/** Interrupted between the end of the one and the start of the other, the old one must run all the same: nothing else would. */
async function changePlaces(step: ContainerStep, failed: InspectedContainer, oldId: string): Promise<void> {
  const { host, spec, grace } = step;
  const failedId = failed.observed.id;
  const proxy = behindProxy(step, slotOf(failed));
  try {
    // What the proxy does not do must not keep the old one down.
    if (proxy !== undefined) await drainOut(proxy, spec.drainMs).catch(() => undefined);
    await finishWork(step, failedId, spec.drainMs);
    await comeBack(step, oldId);
  } catch (error) {
    await stopContainer(host, failedId, 0, grace).catch(() => undefined);
    await startAgain(step, { id: oldId, startedAt: undefined });
    throw error;
  }
}

/** One that was told to stop takes no more work, so it has to end before it can start anew. */
async function comeBack(step: ContainerStep, id: string): Promise<void> {
  const { host, spec, signal, onProgress } = step;
  const found = await inspectContainer(host, id, signal);
  if (found === undefined) {
    throw new CuError('STEP_FAILED', `what ran before as ${spec.name} is gone`, {
      host: host.name,
      hint: '`cu rollback` makes it again from its image',
    });
  }
  if (found.observed.state === 'running' && found.observed.name.includes(DRAINING)) {
    onProgress('waiting until the old one has finished its work');
    await finishWork(step, id, spec.drainMs);
  }
  await startContainer(host, id, signal);
}

export async function resumeContainer(host: Host, id: string, signal: AbortSignal): Promise<void> {
  await startContainer(host, id, signal);
}
