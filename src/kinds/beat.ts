import { HEARTBEAT } from './heartbeat.ts';
import { defineKind, hasOwnCommand } from './kind.ts';

export const beat = defineKind({
  kind: 'beat',
  summary: 'sends tasks by the clock, one in the fleet',
  schema: {},
  expand: (settings) => {
    const isOwn = hasOwnCommand(settings);
    return {
      command: ['python', '-m', 'cu', 'beat'],
      env: {},
      files: [],
      mounts: [],
      health: { probe: isOwn ? { type: 'none' } : HEARTBEAT, intervalMs: 1000, stableMs: 5000 },
      drainMs: 10_000,
      stopSignal: isOwn ? undefined : 'SIGTERM',
      rollout: 'recreate',
      phase: 10,
      singleton: true,
      brokerUser: isOwn ? 'admin' : 'worker',
      usesStorage: true,
      route: undefined,
      broker: undefined,
    };
  },
});
