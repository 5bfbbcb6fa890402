import { defineKind } from './kind.ts';

export const webserver = defineKind({
  kind: 'webserver',
  summary: 'answers HTTP requests',
  schema: {},
  expand: (settings) => {
    const port = settings.ports[0]?.containerPort;
    return {
      command: undefined,
      env: port === undefined ? {} : { CU_PORT: String(port) },
      files: [],
      mounts: [],
      health: {
        probe: port === undefined ? { type: 'none' } : { type: 'http', path: '/healthz', port, status: undefined },
        intervalMs: 200,
      },
      drainMs: 30_000,
      rollout: 'proxy',
      phase: 20,
      singleton: false,
      wantsBroker: true,
      usesStorage: true,
      broker: undefined,
    };
  },
});
