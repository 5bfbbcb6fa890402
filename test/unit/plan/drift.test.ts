import { describe, expect, test } from 'vitest';
import { LABELS } from '../../../src/core/state.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { someSecret } from './apply.ts';
import { instance } from './inputs.ts';
import type { container } from './inputs.ts';
import { deployed, steps } from './steps.ts';

describe('drift', () => {
  const changed = (change: Parameters<typeof container>[0]): PlanInput => {
    const input = deployed();
    const hosts = input.hosts.map((host) => ({
      ...host,
      containers: host.containers.map((each) => ({ ...each, ...change })),
    }));
    return { ...input, hosts };
  };

  test.each([
    ['stopped', { state: 'exited', exitCode: 137 }, 'start: stopped (exit code 137)'],
    ['paused', { state: 'paused' }, 'start: paused by hand'],
    ['half made', { state: 'created' }, 'replace: left half made by an interrupted run'],
    ['crash-looping', { state: 'restarting', restartCount: 4 }, 'replace: restarts over and over (4 times)'],
    ['renamed', { name: 'mine' }, 'update: renamed by hand, was mine'],
    ['off its network', { networks: ['bridge'] }, 'replace: taken off network shop-dev by hand'],
  ] as const)('a container that is %s is mended', (_name, change, step) => {
    expect(steps(changed(change))).toEqual([`web-1/shop-dev-web-1/${step}`]);
  });

  const none = { memoryBytes: 0, nanoCpus: 0, cpuset: '', pids: 0, restart: 'unless-stopped' };

  test('limits that were changed by hand are put back without a restart', () => {
    const input = deployed({ instances: [instance({ memory: { type: 'bytes', bytes: 1e9 } })] });
    const limits = { ...none, memoryBytes: 5e8, restart: 'no' };
    const hosts = input.hosts.map((host) => ({
      ...host,
      containers: host.containers.map((each) => ({ ...each, limits })),
    }));

    expect(steps({ ...input, hosts })).toEqual([
      'web-1/shop-dev-web-1/update: changed by hand: memory is 500 MB, wanted 1.0 GB, restart is no, wanted unless-stopped',
    ]);
  });

  test.each([
    ['memory', { memoryBytes: 5e8 }, 'memory is 500 MB, wanted unlimited'],
    ['cpus', { nanoCpus: 5e8 }, 'cpus is 0.5, wanted unlimited'],
    ['cpuset', { cpuset: '0' }, 'cpuset is 0, wanted all'],
    ['pids', { pids: 64 }, 'pids is 64, wanted unlimited'],
  ])('a limit of %s that the config does not set goes with its container', (_name, limit, cause) => {
    expect(steps(changed({ limits: { ...none, ...limit } }))).toEqual([
      `web-1/shop-dev-web-1/replace: changed by hand: ${cause}`,
    ]);
  });

  test('a container that was removed is made again', () => {
    const input = deployed();

    expect(steps({ ...input, hosts: input.hosts.map((host) => ({ ...host, containers: [] })) })).toEqual([
      'web-1/shop-dev-web-1/create: not found',
    ]);
  });

  test('an unproven container beside the proven one is removed', () => {
    const input = deployed();
    const hosts = input.hosts.map((host) => ({
      ...host,
      containers: host.containers.flatMap((each) => [each, { ...each, id: 'half', name: `${each.name}-new` }]),
    }));

    expect(steps({ ...input, hosts })).toEqual(['web-1/shop-dev-web-1-new/remove: left by an interrupted run']);
  });

  test('cut between the two renames, the proven one takes its name', () => {
    const input = deployed();
    const hosts = input.hosts.map((host) => ({
      ...host,
      containers: host.containers.flatMap((each) => [
        { ...each, id: 'old', name: `${each.name}-old`, labels: { ...each.labels, [LABELS.spec]: 'v1 env=other' } },
        { ...each, id: 'new', name: `${each.name}-new` },
      ]),
    }));

    expect(steps({ ...input, hosts })).toEqual([
      'web-1/shop-dev-web-1-old/remove: left by an interrupted run',
      'web-1/shop-dev-web-1/update: renamed by hand, was shop-dev-web-1-new',
    ]);
  });

  test('an unreadable key of the secrets restarts nothing', () => {
    const input = deployed({ instances: [instance({ secrets: [someSecret('s')] })] });
    const hosts = input.hosts.map((host) => ({
      ...host,
      state: undefined,
      volumes: [{ name: 'shop-dev-state', labels: {} }],
    }));

    expect(steps({ ...input, hosts, fresh: { ...input.fresh, specKey: someSecret('another key') } })).toEqual([
      'web-1/shop-dev-state/state: its container was removed',
    ]);
  });
});
