import { defineKind, hasOwnCommand, writesVolume } from './kind.ts';
import { route } from './route.ts';

/** Where the runtime listens when nothing is published. */
const RUNTIME_PORT = 8123;

export const webserver = defineKind({
  kind: 'webserver',
  summary: 'answers HTTP requests',
  schema: { route: route.optional() },
  expand: (settings) => {
    const isOwn = hasOwnCommand(settings);
    const port = settings.ports[0]?.containerPort ?? (isOwn ? undefined : RUNTIME_PORT);
    return {
      command: ['python', '-m', 'cu', 'web'],
      env: port === undefined ? {} : { CU_PORT: String(port) },
      files: [],
      mounts: [],
      health: {
        probe: port === undefined ? { type: 'none' } : { type: 'http', path: '/healthz', port, status: undefined },
        intervalMs: 200,
        stableMs: 5000,
      },
      drainMs: 30_000,
      stopSignal: isOwn ? undefined : 'SIGTERM',
      // The runtime's webservers may write side by side; of another's volume nobody knows. A route needs the proxy.
      rollout: isOwn && writesVolume(settings) && settings.route === undefined ? 'recreate' : 'proxy',
      phase: 20,
      singleton: false,
      brokerUser: isOwn ? 'admin' : 'web',
      usesStorage: true,
      route: settings.route && { ...settings.route, certificate: settings.route.certificate },
      broker: undefined,
    };
  },
});
