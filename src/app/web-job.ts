import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';
import { JOB_STATES } from '../core/job.ts';
import type { JobState } from '../core/job.ts';
import type { HttpAnswer } from '../transport/http.ts';

const text = z.nullish(z.string());
const progress = z.nullish(z.number());

const view = z.object({
  id: z.string(),
  state: z.enum(JOB_STATES),
  function: text,
  progress,
  message: text,
  error: z.nullish(z.object({ type: text, message: text })),
});

const news = z.object({ progress, message: text, log: text });

/** A job as the web API tells of it. */
export interface Job {
  readonly id: string;
  readonly name: string;
  readonly state: JobState;
  readonly progress: number | undefined;
  readonly message: string;
  readonly error: string | undefined;
}

export async function readJob(answer: HttpAnswer): Promise<Job> {
  const job = parseJob(await answer.text());
  if (job !== undefined) return job;
  throw new CuError('STEP_FAILED', 'what the web API says of a job cannot be read', {
    hint: 'is the webserver a cu runtime of another version? `cu deploy` gives it that of this cu',
  });
}

export function parseJob(body: string): Job | undefined {
  const found = view.safeParse(parsed(body));
  if (!found.success) return undefined;
  const { id, state, function: name, progress: share, message, error } = found.data;
  const words = [error?.type, error?.message].filter((each) => each !== undefined && each !== null && each !== '');
  return {
    id,
    state,
    name: name ?? id,
    progress: share ?? undefined,
    message: message ?? '',
    error: words.length === 0 ? undefined : words.join(': '),
  };
}

/** What an event of a job changes of it, and what it logged; an event that is not known changes nothing. */
export function applyEvent(
  job: Job,
  { event, data }: { readonly event: string; readonly data: string },
): { readonly job: Job; readonly log: string | undefined } {
  if (event === 'state') return { job: parseJob(data) ?? job, log: undefined };
  const found = news.safeParse(parsed(data));
  if (!found.success) return { job, log: undefined };
  const { progress: share, message, log } = found.data;
  if (event === 'log') return { job, log: log ?? undefined };
  if (event !== 'progress') return { job, log: undefined };
  return { job: { ...job, progress: share ?? job.progress, message: message ?? job.message }, log: undefined };
}

/** Why an ended job has no result. */
export function jobError({ id, name, state, error }: Job): CuError {
  const words = { failed: 'failed', dead: 'was given up', cancelled: 'was cancelled' };
  const what = state === 'failed' || state === 'dead' || state === 'cancelled' ? words[state] : `is ${state}`;
  return new CuError('STEP_FAILED', `${name} ${what}${error === undefined ? '' : `: ${error}`}`, {
    detail: `job ${id}`,
    hint: state === 'cancelled' ? 'call it again to have it done' : `\`cu logs --grep ${id}\` shows what it logged`,
  });
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
