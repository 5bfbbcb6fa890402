import { setTimeout as sleep } from 'node:timers/promises';
import type { Action } from '../core/action.ts';
import type { ContainerSpec } from '../core/container.ts';
import { amend, CuError } from '../core/error.ts';
import type { OnProgress } from '../core/event.ts';
import { hintFor } from '../core/hints.ts';
import { otherSlot } from '../core/proxy.ts';
import type { Slot } from '../core/proxy.ts';
import { LABELS } from '../core/state.ts';
import { inspectContainer } from '../observe/observe.ts';
import { limitsOf } from '../plan/compare.ts';
import { REPLACED, UNPROVEN } from '../plan/containers.ts';
import { slotOf } from '../plan/proxy/routes.ts';
import { within } from '../transport/abort.ts';
import type { Host } from '../transport/host.ts';
import {
  putFiles,
  removeContainer,
  renameContainer,
  startContainer,
  stopContainer,
  unpauseContainer,
} from './engine.ts';
import { finishWork } from './finish-work.ts';
import { waitHealthy } from './gate.ts';
import { giveNameBack, moveAside, takeName } from './names.ts';
import { heldPort, movePort } from './proxy/move-port.ts';
import { bringIn, drainOut, withoutRequests } from './proxy/switch.ts';
import type { Switching } from './proxy/switch.ts';
import { createWithVolumes } from './volumes.ts';

export interface ContainerStep {
  readonly host: Host;
  readonly spec: ContainerSpec;
  readonly imageId: string;
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** Aborts a few seconds after an interrupt: what is put back has to be by then. */
  readonly grace: AbortSignal;
  readonly onProgress: OnProgress;
  /** Its place behind the proxy of its host, and how the proxy is told. */
  readonly proxy: Switching | undefined;
}

/** For each part of putting back; after an interrupt all parts share the time that is left until a CI runner's kill. */
const PUT_BACK_MS = 6000;

/** For how long a service without a health check has to stay up before the next one's turn. */
const BRIEF_MS = 1000;

export async function createAndProve(step: ContainerStep): Promise<void> {
  const id = await startUnproven(step, briefly(step.spec));
  try {
    await takeName(step, id);
  } catch (error) {
    await discard(step, id);
    throw error;
  }
}

/**
 * A canary is watched for its whole stability window before the others' turn, and so is each one that gets requests from
 * the proxy, for the old one still answers them meanwhile; the others are watched at the end.
 */
export function isWatchedFirst({
  strategy,
  isCanary,
}: Pick<Extract<Action, { type: 'replace-container' }>, 'strategy' | 'isCanary'>): boolean {
  return strategy === 'proxy' || isCanary;
}

function briefly({ health }: ContainerSpec): number {
  return health.type === 'none' ? Math.min(health.stableMs, BRIEF_MS) : 0;
}

/**
 * Replaces `oldId`: stop-first or start-first. The old one is kept as NAME-old until the run has succeeded. When the
 * new one fails, or the run is interrupted, the new one is removed and the old one serves as before. Returns for how
 * many milliseconds there was neither, where the old one had to go first.
 */
export async function replaceContainer(
  step: ContainerStep,
  {
    oldId,
    strategy,
    isCanary,
  }: Pick<Extract<Action, { type: 'replace-container' }>, 'oldId' | 'strategy' | 'isCanary'>,
): Promise<number | undefined> {
  const { host, spec, signal, now } = step;
  const old = await inspectContainer(host, oldId, signal);
  if (old === undefined) {
    await createAndProve(step);
    return undefined;
  }
  let stoppedAt: number | undefined;
  let servesAt = 0;
  let isTold = false;
  const oldName = `${spec.name}${REPLACED}`;
  const isMisnamed = old.observed.name === `${spec.name}${UNPROVEN}`;
  if (isMisnamed) await moveAside(step, oldId, oldName);
  const oldProxy = behindProxy(step, slotOf(old));
  let newId: string | undefined;
  try {
    if (strategy === 'recreate') {
      step.onProgress('stopping the old one');
      if (old.observed.state === 'paused') await unpauseContainer(host, oldId, signal);
      // Other replicas answer meanwhile, where there are any.
      if (oldProxy !== undefined) await drainOut(oldProxy, spec.drainMs);
      stoppedAt = now();
      isTold = true;
      await finishWork(step, oldId, spec.drainMs);
    }
    const stableMs = isWatchedFirst({ strategy, isCanary }) ? spec.health.stableMs : briefly(spec);
    newId = await startUnproven(step, stableMs, () => (servesAt = now()));
    // Where the old one still holds the port that the proxy is to have, it goes now: the routes follow at once.
    const isHandover = strategy === 'proxy' && old.labels[LABELS.slot] === undefined;
    if (isHandover) {
      isTold = true;
      await stopContainer(host, oldId, spec.drainMs, signal);
    } else if (step.proxy !== undefined) await bringIn(step.proxy);
    // From here on the new one is proven. Both renames are done even when interrupted, so that names tell the truth.
    if (old.observed.name !== oldName) await moveAside(step, oldId, oldName, () => (isTold = true));
    await takeName(step, newId);
    return stoppedAt === undefined ? undefined : servesAt - stoppedAt;
  } catch (error) {
    if (newId !== undefined) {
      if (strategy !== 'recreate') await stepBack(step);
      await discard(step, newId);
    }
    await giveNameBack(step, oldId, isMisnamed ? oldName : old.observed.name);
    // One that was never told to stop serves on; only of another it counts that it has started anew.
    const mustStart = old.observed.state === 'running' && isTold;
    const explained = await putBack(step, { id: oldId, startedAt: old.observed.startedAt }, mustStart, error);
    if (mustStart && strategy === 'recreate' && oldProxy !== undefined) await stepBack(step);
    throw explained;
  }
}

/** How the proxy is told of another container of this instance than the new one, whatever ports it has. */
export function behindProxy({ proxy }: Pick<ContainerStep, 'proxy'>, slot: Slot | undefined): Switching | undefined {
  return proxy === undefined || slot === undefined
    ? undefined
    : { ...proxy, place: { ...proxy.place, slot }, containerPorts: undefined };
}

/** The old one has the requests again before the new one goes; at most a moment, so that an interrupt ends in time. */
async function stepBack({ proxy, grace }: ContainerStep): Promise<void> {
  if (proxy === undefined) return;
  const { slot } = proxy.place;
  const signal = within(PUT_BACK_MS, grace);
  const back = { ...proxy, signal, place: { ...proxy.place, slot: otherSlot(slot) } };
  await bringIn(back)
    .then((isRouted) => (isRouted ? drainOut({ ...proxy, signal }, PUT_BACK_MS / 3) : true))
    .catch(() => undefined);
}

export async function startAndProve(step: ContainerStep, id: string): Promise<void> {
  const { host, signal } = step;
  const found = await inspectContainer(host, id, signal);
  if (found?.observed.state === 'paused') await unpauseContainer(host, id, signal);
  await startContainer(host, id, signal);
  await waitHealthy(host, id, step.spec, step);
}

/** One behind the proxy has no requests meanwhile: those go to the other replicas, where there are any. */
export async function restartAndProve(step: ContainerStep, id: string): Promise<void> {
  const { host, spec, signal } = step;
  const found = await inspectContainer(host, id, signal);
  if (found?.observed.state === 'paused') await unpauseContainer(host, id, signal);
  const proxy = behindProxy(step, slotOf(found));
  await withoutRequests(proxy, spec.drainMs, async () => {
    step.onProgress('stopping');
    try {
      await finishWork(step, id, spec.drainMs);
    } catch (error) {
      // Interrupted between stop and start: it must not stay down.
      await startAgain(step, { id, startedAt: found?.observed.startedAt });
      throw error;
    }
    await startContainer(host, id, AbortSignal.timeout(PUT_BACK_MS * 5));
    await waitHealthy(host, id, spec, step);
  });
  if (proxy !== undefined) await bringIn(proxy);
}

/** Mends limits and the name in place. */
export async function updateContainer(step: ContainerStep, id: string): Promise<void> {
  const { host, spec, signal } = step;
  const limits = limitsOf(spec);
  await host.docker().json({
    method: 'POST',
    path: `/containers/${id}/update`,
    body: {
      Memory: limits.memoryBytes,
      // As much swap again, which is what the engine gives a container that is made with a memory limit.
      MemorySwap: limits.memoryBytes * 2,
      NanoCpus: limits.nanoCpus,
      CpusetCpus: limits.cpuset,
      ...(limits.pids === 0 ? {} : { PidsLimit: limits.pids }),
      RestartPolicy: { Name: limits.restart },
    },
    signal,
  });
  const found = await inspectContainer(host, id, signal);
  if (found !== undefined && found.observed.name !== spec.name) await renameContainer(host, id, spec.name, signal);
}

/** How many ports of the loopback a place behind the proxy is offered beyond its own. */
const MOVES = 3;

/**
 * Makes, fills and starts the new container under its unproven name; whatever fails, nothing of it stays. A port of the
 * loopback that its place behind the proxy cannot get is exchanged for another.
 */
async function startUnproven(step: ContainerStep, stableMs: number, onHealthy?: () => void): Promise<string> {
  let { spec } = step;
  for (let moves = 0; ; moves += 1) {
    try {
      return await tryUnproven({ ...step, spec }, stableMs, onHealthy);
    } catch (error) {
      const held = step.proxy === undefined || moves === MOVES ? undefined : heldPort(error);
      if (step.proxy === undefined || held === undefined || step.signal.aborted) throw error;
      const moved = await movePort(step.proxy, spec, held);
      if (moved === undefined) throw error;
      step.onProgress(`port ${held} of the loopback is held by something else: taking another`);
      spec = moved;
    }
  }
}

async function tryUnproven(step: ContainerStep, stableMs: number, onHealthy?: () => void): Promise<string> {
  const { host, spec, imageId, signal } = step;
  const name = `${spec.name}${UNPROVEN}`;
  let id: string | undefined;
  try {
    id = await createWithVolumes(host, spec, { name, imageId }, signal);
    await putFiles(host, id, spec, signal);
    await startContainer(host, id, signal);
    step.onProgress('waiting until it is healthy');
    await waitHealthy(host, id, spec, { ...step, stableMs, ...(onHealthy === undefined ? {} : { onHealthy }) });
    return id;
  } catch (error) {
    // By name when the answer with the id was lost: the engine may have made it all the same.
    await discard(step, id ?? name);
    throw error;
  }
}

async function discard({ host, grace }: ContainerStep, id: string): Promise<void> {
  await removeContainer(host, id, within(PUT_BACK_MS, grace)).catch(() => undefined);
}

/** A container as it ran before it was stopped. */
interface Running {
  readonly id: string;
  readonly startedAt: number | undefined;
}

async function putBack(step: ContainerStep, old: Running, mustStart: boolean, error: unknown): Promise<unknown> {
  if (!mustStart) return explain(error, 'the old container was left as it was');
  const isBack = await startAgain(step, old);
  return explain(
    error,
    isBack
      ? 'the old container was put back and runs'
      : 'the old container could not be put back: run `cu deploy` again',
  );
}

/** A stop that was interrupted goes on in the engine: that the container runs counts once it has started anew. */
export async function startAgain(
  { host, grace }: Pick<ContainerStep, 'host' | 'grace'>,
  { id, startedAt }: Running,
): Promise<boolean> {
  const deadline = within(PUT_BACK_MS, grace);
  const patience = AbortSignal.timeout(PUT_BACK_MS / 2);
  while (!deadline.aborted) {
    try {
      const found = await inspectContainer(host, id, deadline);
      if (found === undefined) return false;
      const isRunning = found.observed.state === 'running';
      if (isRunning && found.observed.startedAt !== startedAt) return true;
      // Nobody would be here to start it once it ends by itself, so a slow end is cut short.
      if (isRunning && patience.aborted) await stopContainer(host, id, 0, deadline);
      if (!isRunning) await startContainer(host, id, deadline);
    } catch (error) {
      if (error instanceof CuError && error.code === 'CONNECTION_LOST') return false;
      // Tried again until the deadline; the caller says when it did not come back.
    }
    await sleep(50);
  }
  return false;
}

function explain(error: unknown, hint: string): unknown {
  if (!(error instanceof CuError)) return error;
  const own = error.hint ?? hintFor(error.code, [error.message, error.detail]);
  return amend(error, { hint: own === undefined ? hint : `${own}; ${hint}` });
}
