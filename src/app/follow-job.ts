import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../core/error.ts';
import type { ErrorCode } from '../core/error.ts';
import { hasEnded } from '../core/job.ts';
import { readEvents } from '../transport/server-sent-events.ts';
import type { Context } from './context.ts';
import type { WebApi } from './web-api.ts';
import { applyEvent, readJob } from './web-job.ts';
import type { Job } from './web-job.ts';

/** The runtime says something every 15 s, be it a comment. */
const EVENT_SILENCE_MS = 45_000;
const POLL_SECONDS = 20;
/** How long a webserver may be away, as in a rolling deploy, before the wait is given up; the job goes on anyway. */
const AWAY_MS = 120_000;
const LONGEST_PAUSE_MS = 5000;

/** What another try may mend: all that can be wrong with the way to a webserver, or with one that starts anew. */
const PASSING: readonly ErrorCode[] = [
  'CONNECTION_LOST',
  'COMMAND_FAILED',
  'DOCKER_UNAVAILABLE',
  'HOST_UNREACHABLE',
  'STEP_FAILED',
  'TIMEOUT',
  'UNHEALTHY',
];

/** Waits for the end of a job, by its events where there are some, else by asking; emits whatever changes of it. */
export async function followJob(context: Context, web: WebApi, started: Job, signal: AbortSignal): Promise<Job> {
  let job = started;
  let awaySince: number | undefined;
  let pauseMs = 250;
  let hasEvents = true;
  const take = (next: Job): void => {
    awaySince = undefined;
    pauseMs = 250;
    job = next;
    tell(context, job);
  };
  while (!hasEnded(job.state)) {
    try {
      if (hasEvents) hasEvents = await followEvents(context, web, { job, take, signal });
      // The events may have ended with the webserver, or with the job's last one lost.
      if (!hasEnded(job.state)) take(await askJob(web, job, { seconds: hasEvents ? 0 : POLL_SECONDS, signal }));
      if (!hasEnded(job.state)) await sleep(pauseMs, undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      if (awaySince === undefined)
        context.emit({ type: 'debug', host: error.host, text: `${error.message}; trying again` });
      awaySince ??= context.now();
      if (context.now() - awaySince > AWAY_MS) throw error;
      await sleep(pauseMs, undefined, { signal });
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      await web.reset();
    }
  }
  return job;
}

export function tell({ emit }: Context, { id, name, state, progress, message }: Job): void {
  emit({ type: 'job-changed', job: id, name, state, progress, message });
}

export async function askJob(
  web: WebApi,
  { id, name }: Pick<Job, 'id' | 'name'>,
  { seconds, signal }: { readonly seconds: number; readonly signal: AbortSignal },
): Promise<Job> {
  const path = `/v1/jobs/${encodeURIComponent(id)}${seconds === 0 ? '' : `?wait=${seconds}`}`;
  return readJob(await web.send({ method: 'GET', path, what: name, silenceMs: (seconds + 20) * 1000, signal }));
}

/** False when the webserver has no events: whatever stands between may not let them through. */
async function followEvents(
  { emit }: Context,
  web: WebApi,
  following: { readonly job: Job; readonly take: (job: Job) => void; readonly signal: AbortSignal },
): Promise<boolean> {
  let { job } = following;
  const { signal, take } = following;
  const answer = await web.send(
    {
      method: 'GET',
      path: `/v1/jobs/${encodeURIComponent(job.id)}/events`,
      headers: { accept: 'text/event-stream' },
      what: job.name,
      silenceMs: EVENT_SILENCE_MS,
      signal,
    },
    [404, 405, 406, 501],
  );
  if (answer.statusCode !== 200 || !String(answer.headers['content-type']).startsWith('text/event-stream')) {
    answer.close();
    return false;
  }
  for await (const event of readEvents(answer.body)) {
    const changed = applyEvent(job, event);
    if (changed.log !== undefined) emit({ type: 'job-log', job: job.id, name: job.name, text: changed.log });
    if (changed.job === job) continue;
    job = changed.job;
    take(job);
    if (hasEnded(job.state)) break;
  }
  return true;
}

/** A webserver that is well says 404 or 401 as often as it is asked. */
function isPassing(error: unknown): error is CuError {
  return (
    error instanceof CuError &&
    PASSING.includes(error.code) &&
    !(error.statusCode !== undefined && error.statusCode < 500)
  );
}
