/** What the web API says of a call that it accepted; `waiting` is for other jobs, `dead` after too many lost workers. */
export const JOB_STATES = ['queued', 'waiting', 'running', 'done', 'failed', 'dead', 'cancelled'] as const;

export type JobState = (typeof JOB_STATES)[number];

const ENDED: readonly JobState[] = ['done', 'failed', 'dead', 'cancelled'];

export function hasEnded(state: JobState): boolean {
  return ENDED.includes(state);
}
