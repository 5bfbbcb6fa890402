import { absolutePath, matching } from './fields.ts';
import { defineKind } from './kind.ts';

/** Its settings are checked; a rule of the config refuses to run it until mounts can be shared with the host. */
export const sshfs = defineKind({
  kind: 'sshfs',
  summary: 'keeps a remote directory mounted on a host',
  schema: {
    source: matching('USER@HOST:/path', /^([^@:\s]+@)?[^@:\s]+:[^\0-\x1f]+$/, 4096),
    target: absolutePath,
    identity: matching('a path', /^[^\0-\x1f]+$/, 4096).optional(),
  },
  expand: () => ({
    command: undefined,
    env: {},
    files: [],
    mounts: [],
    health: { probe: { type: 'none' }, intervalMs: 1000, stableMs: 1000 },
    drainMs: 10_000,
    stopSignal: undefined,
    rollout: 'recreate',
    phase: 10,
    singleton: false,
    brokerUser: undefined,
    usesStorage: false,
    route: undefined,
    broker: undefined,
  }),
});
