import { z } from 'zod';
import { count, matching, wholeNumber } from './fields.ts';
import { HEARTBEAT } from './heartbeat.ts';
import { defineKind, hasOwnCommand } from './kind.ts';

const queue = matching('the name of a queue', /^[A-Za-z0-9_][A-Za-z0-9_.:-]*$/);
const resource = matching('the name of a resource', /^[A-Za-z_][A-Za-z0-9_-]*$/);

export const worker = defineKind({
  kind: 'worker',
  summary: 'runs tasks from queues',
  schema: {
    queues: z.array(queue).min(1, 'expected at least one queue').default(['celery']),
    concurrency: count.optional(),
    offers: z.record(resource, wholeNumber(0, 1_000_000)).default({}),
  },
  expand: (settings) => {
    const isOwn = hasOwnCommand(settings);
    const drainMs = settings.drain ?? 600_000;
    return {
      command: ['python', '-m', 'cu', 'worker'],
      env: {
        CU_QUEUES: settings.queues.join(','),
        ...(settings.concurrency === undefined ? {} : { CU_CONCURRENCY: String(settings.concurrency) }),
        ...(Object.keys(settings.offers).length === 0 ? {} : { CU_OFFERS: JSON.stringify(settings.offers) }),
        CU_DRAIN: String(drainMs / 1000),
      },
      files: [],
      mounts: [],
      health: { probe: isOwn ? { type: 'none' } : HEARTBEAT, intervalMs: 1000, stableMs: 5000 },
      drainMs,
      stopSignal: isOwn ? undefined : 'SIGTERM',
      rollout: settings.ports.length > 0 ? 'recreate' : 'start-first',
      phase: 10,
      singleton: false,
      brokerUser: isOwn ? 'admin' : 'worker',
      usesStorage: true,
      route: undefined,
      broker: undefined,
    };
  },
});
