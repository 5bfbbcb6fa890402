import { setTimeout as sleep } from 'node:timers/promises';
import type { Action } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import { formatSeconds } from '../core/format.ts';
import { inspectContainer } from '../observe/observe.ts';
import { DRAINING, REPLACED, UNPROVEN } from '../plan/containers.ts';
import { slotOf } from '../plan/proxy/routes.ts';
import { within } from '../transport/abort.ts';
import { readArchive } from '../transport/archive.ts';
import type { Host } from '../transport/host.ts';
import { startAgain } from './containers.ts';
import type { ContainerStep } from './containers.ts';
import { removeContainer, renameContainer, startContainer, stopContainer, unpauseContainer } from './engine.ts';
import { waitHealthy } from './gate.ts';
import { moveAside, takeName } from './names.ts';
import { drainOut, switchTo } from './proxy/switch.ts';
import type { Switching } from './proxy/switch.ts';

type Drain = Extract<Action, { type: 'drain-container' }>;

interface DrainStep {
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly grace: AbortSignal;
  readonly onProgress: (text: string) => void;
  readonly proxy: Switching | undefined;
}

/** Long enough for the engine to have taken the order to stop. */
const TELL_MS = 2000;

/** How often a worker that finishes its work is asked how much is left. */
const ASK_MS = 1000;

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
  const ended = new AbortController();
  const asking = drain.kind === 'worker' ? sayWhatIsLeft(host, drain.id, ended.signal, onProgress) : undefined;
  try {
    await stopContainer(host, drain.id, drain.drainMs, signal);
  } catch (error) {
    if (!(error instanceof CuError) || error.hint !== undefined) throw error;
    const hint = 'the new container runs, the old one still finishes its work: run `cu deploy` again';
    throw new CuError(error.code, error.message, { host: host.name, hint, cause: error });
  } finally {
    ended.abort();
    await asking;
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
  const isIdle = await drainOut({ ...switching, host, owner, signal, onProgress: () => undefined }, LAST_REQUESTS_MS);
  if (isIdle) await detach(host, drain, grace);
}

/** The runtime's worker writes down what it has in hand: read as a file, because nothing else may be asked while it stops. */
async function sayWhatIsLeft(
  host: Host,
  id: string,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<void> {
  let last = '';
  while (!signal.aborted) {
    try {
      const text = await readBusy(host, id, signal);
      if (text !== undefined && text !== last) onProgress((last = text));
      await sleep(ASK_MS, undefined, { signal });
    } catch (error) {
      // It has not written anything yet. All else: nobody can say more, for it ended or it is out of reach.
      if (!(error instanceof CuError) || error.statusCode !== 404) return;
      await sleep(ASK_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function readBusy(host: Host, id: string, signal: AbortSignal): Promise<string | undefined> {
  const answer = await host
    .docker()
    .stream({ method: 'GET', path: `/containers/${id}/archive`, query: { path: BUSY_FILE }, signal });
  const [text = ''] = (await readArchive(answer.body)).values();
  const [running = 0, oldest = 0] = text.trim().split(' ').map(Number);
  if (!(running > 0)) return undefined;
  return `${running === 1 ? '1 task' : `${running} tasks`} left, oldest ${formatSeconds(oldest)}`;
}

/** See `cu/worker.py`: how many calls it has in hand, and for how many seconds the oldest. */
const BUSY_FILE = '/tmp/cu-busy';

/** The old one serves again under its name; what had replaced it finishes its work and is removed. */
export async function restoreContainer(
  step: ContainerStep,
  { oldId, strategy }: Pick<Extract<Action, { type: 'restore-container' }>, 'oldId' | 'strategy'>,
): Promise<void> {
  const { host, spec, signal } = step;
  const failed = await inspectContainer(host, spec.name, signal);
  const failedId = failed?.observed.id;
  const mustMakeRoom = strategy === 'recreate' && failedId !== undefined && failedId !== oldId;
  if (mustMakeRoom) await changePlaces(step, failedId, oldId);
  else await comeBack(step, oldId);
  const health = { ...spec.health, type: 'none', stableMs: BACK_MS } as const;
  await waitHealthy(host, oldId, { ...spec, health }, step);
  const oldSlot = slotOf((await inspectContainer(host, oldId, signal)) ?? { labels: {} });
  if (step.proxy !== undefined && oldSlot !== undefined)
    await switchTo(
      { ...step.proxy, place: { ...step.proxy.place, slot: oldSlot } },
      spec.drainMs,
      spec.health.timeoutMs,
    );
  if (failedId !== undefined && failedId !== oldId) await moveAside(step, failedId, `${spec.name}${UNPROVEN}`);
  await takeName(step, oldId);
  if (failedId === undefined || failedId === oldId) return;
  await stopContainer(host, failedId, spec.drainMs, signal);
  await removeContainer(host, failedId, signal);
}

/** Interrupted between the end of the one and the start of the other, the old one must run all the same: nothing else would. */
async function changePlaces(step: ContainerStep, failedId: string, oldId: string): Promise<void> {
  const { host, spec, signal, grace } = step;
  try {
    await stopContainer(host, failedId, spec.drainMs, signal);
    await comeBack(step, oldId);
  } catch (error) {
    await stopContainer(host, failedId, 0, grace).catch(() => undefined);
    await startAgain(step, { id: oldId, startedAt: undefined });
    throw error;
  }
}

/** One that was told to stop takes no more work, so it has to end before it can start anew. */
async function comeBack({ host, spec, signal, onProgress }: ContainerStep, id: string): Promise<void> {
  const found = await inspectContainer(host, id, signal);
  if (found === undefined) {
    throw new CuError('STEP_FAILED', `what ran before as ${spec.name} is gone`, {
      host: host.name,
      hint: '`cu rollback` makes it again from its image',
    });
  }
  if (found.observed.state === 'running' && found.observed.name.includes(DRAINING)) {
    onProgress('waiting until the old one has finished its work');
    await stopContainer(host, id, spec.drainMs, signal);
  }
  await startContainer(host, id, signal);
}

export async function resumeContainer(host: Host, id: string, signal: AbortSignal): Promise<void> {
  await startContainer(host, id, signal);
}
