import { defineKind } from './kind.ts';

export const flower = defineKind({
  kind: 'flower',
  summary: 'shows the workers and their tasks (Flower)',
  schema: {},
  expand: (settings) => ({
    command: ['celery', 'flower', `--port=${settings.ports[0]?.containerPort ?? 5555}`],
    env: {},
    files: [],
    mounts: [],
    health: { probe: { type: 'none' }, intervalMs: 1000 },
    drainMs: 10_000,
    rollout: settings.ports.length > 0 ? 'recreate' : 'start-first',
    phase: 20,
    singleton: false,
    wantsBroker: true,
    usesStorage: false,
    broker: undefined,
  }),
});
