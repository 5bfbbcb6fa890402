import type { Release } from '../../src/core/release.ts';

/** A release of the whole environment that went well; a test says only what it is about. */
export function release(sequence: number, overrides: Partial<Release> = {}): Release {
  return {
    v: 1,
    id: `20261123-1012${String(sequence).padStart(2, '0')}-00ab`,
    sequence,
    project: 'shop',
    environment: 'dev',
    kind: 'deploy',
    targets: [],
    who: 'ana@laptop',
    startedAt: sequence * 60_000,
    endedAt: sequence * 60_000 + 5000,
    commit: 'a1b2c3d4e5f6',
    isDirty: false,
    outcome: 'done',
    reason: undefined,
    images: {
      app: { type: 'build', version: `r${sequence}`, inputs: `i${sequence}`, repository: 'shop', ids: {} },
    },
    steps: [],
    hosts: [],
    config: '',
    origin: undefined,
    ...overrides,
  };
}
