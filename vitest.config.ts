import { defineConfig } from 'vitest/config';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** Projects that talk to real hosts: one file after the other, each in a process of its own. */
const withHosts = { pool: 'forks', fileParallelism: false, hookTimeout: 5 * MINUTE } as const;

/** What freezes hosts, restarts their proxy, cuts connections or tries every lock of a host: nothing may run beside it. */
const DISTURBING = ['unreachable', 'chaos', 'faults-smoke', 'call', 'proxy'].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  // Node 20 has no `using`.
  oxc: { target: 'node20' },
  test: {
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20 * SECOND } },
      {
        extends: true,
        test: { ...withHosts, name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 2 * MINUTE },
      },
      {
        extends: true,
        test: {
          ...withHosts,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: [...DISTURBING],
          testTimeout: 5 * MINUTE,
          // Each file has a project, ports and names of its own: side by side they wait less.
          fileParallelism: true,
          maxWorkers: 3,
        },
      },
      {
        extends: true,
        test: { ...withHosts, name: 'e2e-alone', include: [...DISTURBING], testTimeout: 5 * MINUTE },
      },
      {
        extends: true,
        test: { ...withHosts, name: 'faults', include: ['test/faults/**/*.test.ts'], testTimeout: 10 * MINUTE },
      },
    ],
  },
});
