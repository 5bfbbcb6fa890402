import { z } from 'zod';
import { count, matching, wholeNumber } from './fields.ts';
import { defineKind } from './kind.ts';

const queue = matching('the name of a queue', /^[A-Za-z0-9_][A-Za-z0-9_.:-]*$/);
const resource = matching('the name of a resource', /^[A-Za-z_][A-Za-z0-9_-]*$/);

export const worker = defineKind({
  kind: 'worker',
  summary: 'runs tasks from queues (Celery)',
  schema: {
    queues: z.array(queue).min(1, 'expected at least one queue').default(['celery']),
    concurrency: count.optional(),
    offers: z.record(resource, wholeNumber(0, 1_000_000)).default({}),
  },
  expand: (settings, { host, service, instance }) => {
    // An old and a new worker overlap in a rollout: the container's own name keeps their answers apart.
    const node = `${service}.${instance}.${host}`;
    const concurrency = settings.concurrency === undefined ? [] : ['--concurrency', String(settings.concurrency)];
    const hasOwnCommand = settings.command !== undefined || settings.entrypoint !== undefined;
    return {
      command: [
        'celery',
        'worker',
        '--loglevel',
        'INFO',
        '--queues',
        settings.queues.join(','),
        ...concurrency,
        '--hostname',
        `${node}@%h`,
      ],
      env: Object.keys(settings.offers).length === 0 ? {} : { CU_OFFERS: JSON.stringify(settings.offers) },
      files: [],
      mounts: [],
      health: {
        probe: hasOwnCommand
          ? { type: 'none' }
          : {
              type: 'command',
              command: ['sh', '-c', `exec celery inspect ping --timeout=3 --destination="${node}@$HOSTNAME"`],
            },
        intervalMs: 1000,
      },
      drainMs: 600_000,
      rollout: settings.ports.length > 0 ? 'recreate' : 'start-first',
      phase: 10,
      singleton: false,
      wantsBroker: true,
      usesStorage: true,
      broker: undefined,
    };
  },
});
