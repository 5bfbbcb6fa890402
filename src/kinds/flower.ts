import { defineKind, hasOwnCommand } from './kind.ts';

export const flower = defineKind({
  kind: 'flower',
  summary: 'shows the workers and their tasks (Flower)',
  schema: {},
  expand: (settings) => {
    const isOwn = hasOwnCommand(settings);
    const port = settings.ports[0]?.containerPort ?? 5555;
    return {
      command: ['celery', '-A', 'cu.worker:app', 'flower', `--port=${port}`],
      env: {},
      files: [],
      mounts: [],
      health: { probe: isOwn ? { type: 'none' } : { type: 'tcp', port }, intervalMs: 1000, stableMs: 5000 },
      drainMs: 10_000,
      stopSignal: isOwn ? undefined : 'SIGTERM',
      rollout: settings.ports.length > 0 ? 'recreate' : 'start-first',
      phase: 20,
      singleton: false,
      brokerUser: isOwn ? 'admin' : 'worker',
      usesStorage: false,
      route: undefined,
      broker: undefined,
    };
  },
});
