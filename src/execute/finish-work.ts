import { setTimeout as sleep } from 'node:timers/promises';
import type { OnProgress } from '../core/event.ts';
import { formatSeconds } from '../core/format.ts';
import { within } from '../transport/abort.ts';
import { readArchive } from '../transport/archive.ts';
import type { Host } from '../transport/host.ts';
import { stopContainer } from './engine.ts';

interface FinishingStep {
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/** How often a container that finishes its work is asked how much is left; one that ends before is never asked. */
const ASK_MS = 1000;

/** How long an answer may take: what ends waits for the one that is under way. */
const ANSWER_MS = 2000;

/** So often in a row there may be no answer: a worker writes it within a second, and all others never do. */
const MISSES = 10;

/** See `cu/worker.py`: how many calls it has in hand, and for how many seconds the oldest. */
const BUSY_FILE = '/tmp/cu-busy';

/**
 * Stops a container, and says meanwhile how much work it has left where it writes that down, as the runtime's worker
 * does: read as a file, because nothing else may be asked while it stops.
 */
export async function finishWork(step: FinishingStep, id: string, drainMs: number): Promise<void> {
  const ended = new AbortController();
  const saying = sayWhatIsLeft(step, id, ended.signal);
  try {
    await stopContainer(step.host, id, drainMs, step.signal);
  } finally {
    ended.abort();
    // Whoever removes it next must not meet an engine that still reads from it.
    await saying;
  }
}

async function sayWhatIsLeft(step: FinishingStep, id: string, ended: AbortSignal): Promise<void> {
  let last = '';
  let misses = 0;
  while (misses < MISSES && (await isStillThere(ended))) {
    try {
      const { tasks, text } = parseBusy(await readBusy(step, id));
      if (tasks > 0 && text !== last) step.onProgress(text, tasks);
      last = text;
      misses = 0;
    } catch {
      // Nothing hangs on the answer: the stop itself says when the host is out of reach.
      misses += 1;
    }
  }
}

/** False as soon as it has ended. */
function isStillThere(ended: AbortSignal): Promise<boolean> {
  return sleep(ASK_MS, true, { signal: ended }).catch(() => false);
}

async function readBusy({ host, signal }: FinishingStep, id: string): Promise<string> {
  const { body } = await host.docker().stream({
    method: 'GET',
    path: `/containers/${id}/archive`,
    query: { path: BUSY_FILE },
    signal: within(ANSWER_MS, signal),
  });
  const [text = ''] = (await readArchive(body)).values();
  return text;
}

/** What a worker that stops has in hand; nothing where the text is cut off, for it may be read while it is written. */
export function parseBusy(text: string): { readonly tasks: number; readonly text: string } {
  const [, tasks = '0', seconds = '0'] = /^(\d+) -?(\d+)\n/.exec(text) ?? [];
  const words = tasks === '1' ? '1 task' : `${tasks} tasks`;
  return { tasks: Number(tasks), text: `${words} left, oldest ${formatSeconds(Number(seconds))}` };
}
