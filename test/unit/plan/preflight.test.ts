import { describe, expect, test } from 'vitest';
import { CuError } from '../../../src/core/error.ts';
import type { PathFacts } from '../../../src/core/path-facts.ts';
import type { InstanceSpec, ObservedHost } from '../../../src/core/state.ts';
import { parsePath } from '../../../src/observe/mounts.ts';
import { plan } from '../../../src/plan/plan.ts';
import { findings, mountedPaths, preflight } from '../../../src/plan/preflight.ts';
import { FACTS, instance, observedHost, planInput } from './inputs.ts';
import { deployed } from './steps.ts';

interface Given {
  readonly facts?: Partial<ObservedHost['facts']>;
  readonly images?: ObservedHost['images'];
  readonly path?: PathFacts;
  readonly architecture?: string;
  readonly change?: Partial<InstanceSpec>;
}

const DATA = { type: 'bind', source: '/data', target: '/data', readOnly: false } as const;

/** What is found before the first deploy to one host. */
function found({ facts, images = [], path, architecture, change }: Given): readonly string[] {
  const host = observedHost({ facts: { ...FACTS, ...facts }, images });
  const input = planInput({ instances: [instance(change)], hosts: [host] });
  const problems = preflight(input, plan(input).plan, {
    paths: new Map(path === undefined ? [] : [[host.name, new Map([['/data', path]])]]),
    architectures: new Map(architecture === undefined ? [] : [['app', architecture]]),
  });
  expect(problems.every((each) => each.code === 'HOST_MISMATCH' && each.host === 'web-1' && each.hint)).toBe(true);
  return problems.map(({ message }) => message);
}

function folder(uid: number, gid: number, mode: number): PathFacts {
  return { type: 'found', uid, gid, mode, isFolder: true, isPlain: true };
}

test('a host that fits has nothing wrong with it', () => {
  expect(found({ architecture: 'amd64' })).toEqual([]);
});

describe('the clock', () => {
  test.each([
    [61_000, 500, "the clock of the host is 61 s ahead of this machine's"],
    [-3_600_000, 500, "the clock of the host is 3600 s behind this machine's"],
  ])('off by %d ms', (clockOffsetMs, clockToleranceMs, message) => {
    expect(found({ facts: { clockOffsetMs, clockToleranceMs } })).toEqual([message]);
  });

  test('may be as much more off as the question took to be answered', () => {
    expect(found({ facts: { clockOffsetMs: 64_000, clockToleranceMs: 5000 } })).toEqual([]);
  });
});

test('an engine that is too old', () => {
  expect(found({ facts: { apiVersion: '1.40', engineVersion: '19.03.15' } })).toEqual([
    'its Docker Engine 19.03.15 has API 1.40, cu needs 1.41',
  ]);
  expect(found({ facts: { apiVersion: '1.100' } })).toEqual([]);
});

describe('free space', () => {
  const other = { id: 'x', tags: [], digests: [], sizeBytes: 1e9, createdAt: 1 };

  test('is 256 MB at least', () => {
    expect(found({ facts: { freeBytes: 1e8 } })).toEqual([
      '100 MB are free at /var/lib/docker, 268 MB are needed for app',
    ]);
    expect(found({ facts: { freeBytes: undefined } })).toEqual([]);
  });

  test('is twice the size of an image that another host has', () => {
    const built = { ...other, tags: ['shop:r1'], labels: { 'cu.inputs': 'inputs-1' } };
    const hosts = [
      observedHost({ name: 'a', facts: { ...FACTS, freeBytes: 1.5e9 } }),
      observedHost({ name: 'b', images: [built] }),
    ];
    const input = planInput({ instances: [instance({ host: 'a' }), instance({ host: 'b' })], hosts });

    const problems = preflight(input, plan(input).plan, { paths: new Map(), architectures: new Map() });

    expect(problems.map(({ message }) => message)).toEqual([
      '1.5 GB are free at /var/lib/docker, 2.0 GB are needed for app',
    ]);
  });

  test('is not judged by the size where an older version has most layers', () => {
    expect(found({ facts: { freeBytes: 1e9 }, images: [{ ...other, tags: ['shop:r0'], labels: {} }] })).toEqual([]);
  });
});

test('an image for another processor', () => {
  expect(found({ architecture: 'arm64' })).toEqual(['image app is built for arm64, the host is amd64']);
  expect(found({ architecture: 'arm64', facts: { architecture: 'aarch64' } })).toEqual([]);
});

describe('a bind mount', () => {
  const as = (uid: number): Partial<InstanceSpec> => ({ mounts: [DATA], user: { type: 'ids', uid, gid: 50 } });

  test('that is missing', () => {
    expect(found({ change: as(7), path: { type: 'missing' } })).toEqual(['/data is missing: web mounts it']);
  });

  test.each([
    ['root’s', folder(0, 0, 0o755), 7, true],
    ['of the user', folder(7, 0, 0o700), 7, false],
    ['of the user, who took the right from himself', folder(7, 0, 0o577), 7, true],
    ['of the group', folder(0, 50, 0o770), 7, false],
    ['of the group, which may only read', folder(0, 50, 0o757), 7, true],
    ["everybody's", folder(0, 0, 0o1777), 7, false],
    ['written to but not entered', folder(0, 0, 0o772), 7, true],
    ["root's, written by root", folder(0, 0, 0o755), 0, false],
  ])('%s', (_, path, uid, isWrong) => {
    expect(found({ change: as(uid), path })).toHaveLength(isWrong ? 1 : 0);
  });

  test('says who cannot write, and what is there', () => {
    expect(found({ change: as(7), path: folder(0, 0, 0o755) })).toEqual([
      'web runs as 7:50 and cannot write to /data (0:0, mode 755)',
    ]);
  });

  test.each([
    ['it cannot be seen', { path: { type: 'hidden' } as const, change: as(7) }],
    ['it is read only', { path: folder(0, 0, 0o700), change: { ...as(7), mounts: [{ ...DATA, readOnly: true }] } }],
    ["the user is the image's", { path: folder(0, 0, 0o700), change: { mounts: [DATA] } }],
    ['others decide', { path: { ...folder(0, 0, 0o700), isPlain: false } as PathFacts, change: as(7) }],
    [
      'the engine shifts ids',
      { path: folder(0, 0, 0o700), change: as(7), facts: { dockerRoot: '/home/me/.local/share/docker' } },
    ],
    ['nobody asked', { change: as(7) }],
  ])('is not judged where %s', (_, given) => {
    expect(found(given)).toEqual([]);
  });

  test('of several instances is told once, and asked only where something changes', () => {
    const instances = ['1', '2'].map((name) => instance({ instance: name, mounts: [DATA] }));
    const input = planInput({ instances });
    const facts = {
      paths: new Map([['web-1', new Map([['/data', { type: 'missing' } as const]])]]),
      architectures: new Map(),
    };

    expect(preflight(input, plan(input).plan, facts)).toHaveLength(1);
    expect([...mountedPaths(input, plan(input).plan)]).toEqual([['web-1', ['/data']]]);
    const after = deployed({ instances });
    expect([...mountedPaths(after, plan(after).plan)]).toEqual([]);
    expect(preflight(after, plan(after).plan, facts)).toEqual([]);
  });
});

test('all that stands in the way of a plan is told at once, host by host', () => {
  const facts = { ...FACTS, clockOffsetMs: 61_000, listening: [{ address: '0.0.0.0', port: 80 }] };
  const hosts = ['a', 'b'].map((name) => observedHost({ name, facts: { ...facts, memoryBytes: 1e9 } }));
  const memory = { type: 'bytes', bytes: 2e9 } as const;
  const ports = [{ bind: '*', port: 80, containerPort: 80 }];
  const input = planInput({ instances: hosts.map(({ name: host }) => instance({ host, ports, memory })), hosts });

  const found = findings(input, plan(input), { paths: new Map(), architectures: new Map([['app', 'arm64']]) });

  const ofOne = [
    'port 80 for web is taken by a process of the host',
    'the services ask for 2.0 GB of memory, the host has 1.0 GB',
    "the clock of the host is 61 s ahead of this machine's",
    'image app is built for arm64, the host is amd64',
  ];
  expect(found.map(({ host, message }) => `${host}: ${message}`)).toEqual(
    ['a', 'b'].flatMap((host) => ofOne.map((message) => `${host}: ${message}`)),
  );
});

test('what stands in the way is told though there is nothing to do', () => {
  const instances = [instance()];
  const input = planInput({ instances, hosts: [observedHost({ name: 'elsewhere' })] });
  const problem = new CuError('HOST_MISMATCH', 'no', { host: 'elsewhere' });

  expect(
    findings(input, { plan: { nodes: [] }, problems: [problem] }, { paths: new Map(), architectures: new Map() }),
  ).toEqual([problem]);
});

test('what the host says of a path', () => {
  expect(parsePath('found 7 50 2775 ext2/ext3 drwxrwsr-x')).toEqual({
    type: 'found',
    uid: 7,
    gid: 50,
    mode: 0o2775,
    isFolder: true,
    isPlain: true,
  });
  const isPlain = (line: string): unknown => ({ isPlain: false, ...parsePath(line) }).isPlain;
  expect(isPlain('found 0 0 755 xfs drwxr-xr-x+')).toBe(false);
  expect(isPlain('found 0 0 755 xfs drwxr-xr-x.')).toBe(true);
  expect(isPlain('found 0 0 755 nfs drwxr-xr-x')).toBe(false);
  expect(isPlain('found 0 0 755 fuseblk drwxr-xr-x')).toBe(false);
  expect(isPlain('found 0 0 660 tmpfs srw-rw----')).toBe(false);
  expect(isPlain('found 0 0 644 tmpfs -rw-r--r--')).toBe(true);
  expect(parsePath('missing')).toEqual({ type: 'missing' });
  expect(parsePath('hidden')).toEqual({ type: 'hidden' });
  expect(parsePath('')).toEqual({ type: 'hidden' });
});
