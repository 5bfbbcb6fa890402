import { defineKind, writesVolume } from './kind.ts';

export const container = defineKind({
  kind: 'container',
  summary: 'any other container',
  schema: {},
  expand: (settings) => ({
    command: undefined,
    env: {},
    files: [],
    mounts: [],
    health: { probe: { type: 'none' }, intervalMs: 1000, stableMs: 1000 },
    drainMs: 10_000,
    stopSignal: undefined,
    rollout: settings.ports.length > 0 || writesVolume(settings) ? 'recreate' : 'start-first',
    phase: 10,
    singleton: false,
    brokerUser: 'admin',
    usesStorage: false,
    route: undefined,
    broker: undefined,
  }),
});
