import { z } from 'zod/mini';
import type { ContainerSpec } from '../core/container.ts';
import { amend, CuError } from '../core/error.ts';
import { LABELS } from '../core/state.ts';
import { inspectContainer } from '../observe/observe.ts';
import { TASK_ROLE } from '../plan/one-off.ts';
import { demultiplex } from '../transport/demultiplex.ts';
import type { Host } from '../transport/host.ts';
import { createLineSplitter } from '../transport/lines.ts';
import { putFiles, removeContainer, startContainer } from './engine.ts';
import { createWithVolumes } from './volumes.ts';

export interface TaskStep {
  readonly host: Host;
  readonly spec: ContainerSpec;
  readonly imageId: string;
  /** What runs, in the words of its error. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onOutput: (text: string) => void;
}

const KEPT_LINES = 20;
/** Within what a CI runner leaves before it kills (FACTS.md section 4). */
const REMOVE_MS = 6000;
/** For the engine to tell of an end that has come already. */
const WAIT_MARGIN_MS = 60_000;
const CHECK_MS = 120_000;
const UNSWITCHED = 'nothing was switched: what ran before still runs';

const waited = z.object({ StatusCode: z.number() });

/** Runs one command in a container of its own to its end, what it prints passed on; whatever happens, none stays. */
export async function runTask(step: TaskStep): Promise<void> {
  const { host, spec, imageId } = step;
  const deadline = AbortSignal.timeout(step.timeoutMs);
  const signal = AbortSignal.any([step.signal, deadline]);
  await removeLeftover(host, spec.name, signal);
  const said: string[] = [];
  let id: string | undefined;
  try {
    id = await createWithVolumes(host, spec, { name: spec.name, imageId }, signal);
    await putFiles(host, id, spec, signal);
    await startContainer(host, id, signal);
    await followLog(host, id, {
      signal,
      onLine: (line) => {
        if (said.push(line) > KEPT_LINES) said.shift();
        step.onOutput(`${line}\n`);
      },
    });
    const problem = await problemOf({ ...step, signal }, id);
    if (problem !== undefined) throw failed(step, problem, said);
  } catch (error) {
    if (deadline.aborted && !step.signal.aborted)
      throw failed(step, `did not end within ${Math.round(step.timeoutMs / 1000)} s`, said);
    if (!(error instanceof CuError)) throw error;
    throw error.hint === undefined ? amend(error, { hint: UNSWITCHED }) : error;
  } finally {
    // By name when the answer with the id was lost: the engine may have made it all the same.
    await removeContainer(host, id ?? spec.name, AbortSignal.timeout(REMOVE_MS)).catch(() => undefined);
  }
}

/** What `python -m cu doctor` says of the broker and the storage, from inside the network and as the worker's user. */
export async function checkBroker(step: Omit<TaskStep, 'name' | 'timeoutMs'>): Promise<void> {
  await runTask({ ...step, name: 'python -m cu doctor', timeoutMs: CHECK_MS });
}

function failed({ host, name }: TaskStep, problem: string, said: readonly string[]): CuError {
  return new CuError('COMMAND_FAILED', `${name} ${problem}`, {
    host: host.name,
    detail: said.length === 0 ? 'it printed nothing' : said.join('\n'),
    hint: UNSWITCHED,
  });
}

/** One of that name may be of a run that was cut off, or anybody's. */
async function removeLeftover(host: Host, name: string, signal: AbortSignal): Promise<void> {
  const found = await inspectContainer(host, name, signal);
  if (found === undefined) return;
  if (found.labels[LABELS.role] !== TASK_ROLE) {
    throw new CuError('HOST_MISMATCH', `the name ${name} is taken by another container`, {
      host: host.name,
      hint: `rename it: docker rename ${name} ${name}-mine`,
    });
  }
  await removeContainer(host, found.observed.id, signal);
}

async function followLog(
  host: Host,
  id: string,
  { signal, onLine }: { readonly signal: AbortSignal; readonly onLine: (line: string) => void },
): Promise<void> {
  const query = { stdout: true, stderr: true, follow: true };
  const answer = await host.docker().stream({ method: 'GET', path: `/containers/${id}/logs`, query, signal });
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const splitters = { stdout: createLineSplitter(onLine), stderr: createLineSplitter(onLine) };
  try {
    for await (const { stream, data } of demultiplex(answer.body))
      splitters[stream].push(decoders[stream].decode(data, { stream: true }));
  } finally {
    splitters.stdout.end();
    splitters.stderr.end();
  }
}

/** undefined: it ended well. */
async function problemOf({ host, timeoutMs, signal }: TaskStep, id: string): Promise<string | undefined> {
  const path = `/containers/${id}/wait`;
  const ended = await host.docker().json({ method: 'POST', path, timeoutMs: timeoutMs + WAIT_MARGIN_MS, signal });
  const { StatusCode: exitCode } = waited.parse(ended);
  if (exitCode === 0) return undefined;
  const container = await inspectContainer(host, id, signal);
  return container?.observed.isOomKilled === true ? 'was killed for lack of memory' : `exited with code ${exitCode}`;
}
