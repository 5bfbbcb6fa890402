import type { CuEvent } from '../core/event.ts';
import { hasEnded } from '../core/job.ts';

type CallEvent = Extract<CuEvent, { type: 'job-changed' | 'transfer' }>;

interface LiveCall {
  readonly event: CallEvent;
  readonly ms: number;
}

/** The jobs and transfers that go on at the moment, each with the last that was heard of it. */
export interface LiveCalls {
  /** True when this changes more than how far something is. */
  take(event: CuEvent): boolean;
  all(): readonly LiveCall[];
  clear(): void;
}

export function createLiveCalls(now: () => number): LiveCalls {
  const calls = new Map<string, { readonly event: CallEvent; readonly startedAt: number }>();
  const keyOf = (event: CallEvent): string =>
    event.type === 'job-changed' ? `job ${event.job}` : `${event.direction} ${event.name}`;
  return {
    take(event) {
      if (event.type !== 'job-changed' && event.type !== 'transfer') return false;
      const known = calls.get(keyOf(event));
      const isOver = event.type === 'job-changed' ? hasEnded(event.state) : event.isDone;
      if (isOver) calls.delete(keyOf(event));
      else calls.set(keyOf(event), { event, startedAt: known?.startedAt ?? now() });
      if (known === undefined || isOver) return true;
      return event.type === 'job-changed' && known.event.type === 'job-changed' && known.event.state !== event.state;
    },
    all: () => [...calls.values()].map(({ event, startedAt }) => ({ event, ms: now() - startedAt })),
    clear: () => calls.clear(),
  };
}
