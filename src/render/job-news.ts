import type { CuEvent } from '../core/event.ts';

type JobChanged = Extract<CuEvent, { type: 'job-changed' }>;

interface Told {
  readonly state: JobChanged['state'];
  readonly tenth: number;
  readonly message: string;
  readonly at: number;
}

const MESSAGE_MS = 10_000;

/** Says what of a job is worth a line that stays: its state, every tenth of the way, and its words now and then. */
export function createJobNews(now: () => number): (event: JobChanged) => boolean {
  const told = new Map<string, Told>();
  return ({ job, state, progress = 0, message }) => {
    const last = told.get(job);
    const at = now();
    const tenth = Math.floor(progress * 10);
    const isMessageDue = message !== last?.message && at - (last?.at ?? 0) >= MESSAGE_MS;
    if (last !== undefined && state === last.state && tenth <= last.tenth && !isMessageDue) return false;
    told.set(job, { state, tenth: Math.max(tenth, last?.tenth ?? 0), message, at });
    return true;
  };
}
