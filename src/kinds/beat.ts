import { defineKind } from './kind.ts';

export const beat = defineKind({
  kind: 'beat',
  summary: 'sends tasks by the clock, one in the fleet (Celery)',
  schema: {},
  expand: () => ({
    command: [
      'celery',
      'beat',
      '--loglevel',
      'INFO',
      '--schedule',
      '/tmp/celerybeat-schedule',
      '--pidfile',
      '/tmp/celerybeat.pid',
    ],
    env: {},
    files: [],
    mounts: [],
    health: { probe: { type: 'none' }, intervalMs: 1000 },
    drainMs: 10_000,
    rollout: 'recreate',
    phase: 10,
    singleton: true,
    wantsBroker: true,
    usesStorage: false,
    broker: undefined,
  }),
});
