import { describe, expect, test } from 'vitest';
import { describe as describePlan } from '../../../src/core/describe.ts';
import { LABELS } from '../../../src/core/state.ts';
import { plan } from '../../../src/plan/plan.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { someSecret } from './apply.ts';
import { appImage, container, FACTS, instance, observedHost, planInput } from './inputs.ts';
import { asked, deployed, steps } from './steps.ts';

describe('a first deploy', () => {
  test('prepares the host before it creates containers', () => {
    expect(describePlan(plan(planInput()).plan)).toEqual([
      'web-1/app/ship               not on the host',
      'web-1/shop-dev-state/state   first deploy on the host',
      'web-1/shop-dev/network       not found',
      'web-1/shop-dev-web-1/create  not found  after app/ship, shop-dev-state/state, shop-dev/network',
      'web-1/shop-dev-web-1/verify  still well  after create',
      'web-1/app/tag                dev is r1  after shop-dev-web-1/create, shop-dev-web-1/verify',
    ]);
  });

  test('ships everywhere before the first container of any host', () => {
    const input = planInput({ instances: [instance({ host: 'a' }), instance({ host: 'b' })] });

    const { nodes } = plan(input).plan;

    const creates = nodes.filter((node) => node.action.type === 'create-container');
    expect(creates).toHaveLength(2);
    for (const create of creates) expect(create.after).toEqual(expect.arrayContaining(['a/app/ship', 'b/app/ship']));
  });

  test('starts the broker before workers and workers before webservers', () => {
    const input = planInput({
      instances: [
        instance({ service: 'site', phase: 20 }),
        instance({ service: 'worker', phase: 10 }),
        instance({ service: 'broker', phase: 0 }),
      ],
    });

    const order = plan(input)
      .plan.nodes.filter((node) => node.action.type === 'create-container')
      .map((node) => node.id);

    expect(order).toEqual([
      'web-1/shop-dev-broker-1/create',
      'web-1/shop-dev-worker-1/create',
      'web-1/shop-dev-site-1/create',
    ]);
  });
});

describe('a second deploy', () => {
  test('does nothing when nothing changed', () => {
    expect(steps(deployed())).toEqual([]);
  });

  test('replaces what a new version concerns and nothing else', () => {
    const input = deployed();

    const next = { ...input, images: new Map([['app', appImage('inputs-2', 'r2')]]) };

    expect(steps(next)).toEqual([
      'web-1/app/ship: not on the host',
      'web-1/shop-dev-web-1/replace: new version r2',
      'web-1/app/tag: dev is r2',
    ]);
  });

  test.each([
    ['command', { command: ['serve', '--fast'] }, 'command changed'],
    ['environment', { env: { MODE: 'slow' } }, 'environment changed'],
    ['memory', { memory: { type: 'bytes', bytes: 1e9 } }, 'limits changed'],
    ['labels', { labels: { team: 'maps' } }, 'labels changed'],
    ['user', { user: { type: 'root' } }, 'user changed'],
  ] as const)('names the %s as the cause', (_name, change, cause) => {
    expect(steps(asked(deployed(), change))).toEqual([`web-1/shop-dev-web-1/replace: ${cause}`]);
  });

  test('sees a secret that changed, and shows neither value', () => {
    const input = asked(deployed({ instances: [instance({ secrets: [someSecret('old')] })] }), {
      secrets: [someSecret('new')],
    });

    expect(steps(input)).toEqual(['web-1/shop-dev-web-1/replace: secrets changed']);
    expect(JSON.stringify(plan(input))).not.toMatch(/"(old|new)"/);
  });

  test('a health check that changed restarts nothing', () => {
    const health = {
      type: 'tcp',
      port: 80,
      intervalMs: 1,
      timeoutMs: 1,
      retries: 0,
      startPeriodMs: 0,
      stableMs: 0,
    } as const;

    expect(steps(asked(deployed(), { health }))).toEqual([]);
  });

  const fleet = (hosts: readonly string[], overrides: Parameters<typeof instance>[0] = {}): PlanInput => ({
    ...deployed({ instances: hosts.map((host) => instance({ host, ...overrides })) }),
    images: new Map([['app', appImage('inputs-2', 'r2')]]),
  });
  const waves = (input: PlanInput): readonly string[] =>
    plan(input).plan.nodes.flatMap(({ host, action, after }) => {
      if (action.type !== 'replace-container') return [];
      const waits = after.filter((id) => id.endsWith('/replace')).map((id) => id.split('/')[0]);
      return [`${host}${action.isCanary ? ' canary' : ''} after ${waits.join(' ') || 'nothing'}`];
    });

  test('replaces one host first, then a quarter of the hosts at a time', () => {
    expect(waves(fleet(['a', 'b', 'c', 'd', 'e']))).toEqual([
      'a canary after nothing',
      'b after a',
      'c after a',
      'd after a b c',
      'e after a b c',
    ]);
  });

  test('replaces as many hosts at once as the config says', () => {
    expect(waves(fleet(['a', 'b', 'c'], { batch: { type: 'count', count: 2 } }))).toEqual([
      'a canary after nothing',
      'b after a',
      'c after a',
    ]);
  });

  test('waits on other hosts for no old one that finishes its work', () => {
    const { nodes } = plan(fleet(['a', 'b'])).plan;

    const second = nodes.find((node) => node.id === 'b/shop-dev-web-1/replace');

    expect(second?.after).not.toContain('a/shop-dev-web-1/drain');
  });

  test('keeps every old one until all new ones were watched', () => {
    const { nodes } = plan(fleet(['a', 'b'])).plan;

    const retired = nodes.filter((node) => node.id.endsWith('/retire'));

    expect(retired).toHaveLength(2);
    for (const node of retired)
      expect(node.after).toEqual(
        expect.arrayContaining([
          'a/shop-dev-web-1/verify',
          'b/shop-dev-web-1/verify',
          `${node.host}/shop-dev-web-1/drain`,
        ]),
      );
  });

  test('rests between batches when asked to', () => {
    const { nodes } = plan({ ...fleet(['a', 'b', 'c']), pauseMs: 5000 }).plan;

    const pauses = nodes.filter(({ action }) => action.type === 'pause');

    expect(pauses.map((node) => node.id)).toEqual(['b/web/pause-1', 'c/web/pause-2']);
    expect(nodes.find((node) => node.id === 'b/shop-dev-web-1/replace')?.after).toContain('b/web/pause-1');
    expect(pauses[1]?.after).toContain('b/shop-dev-web-1/replace');
  });

  test('stops first where there is no memory for two, and says so', () => {
    const memory = { type: 'share', share: 0.6 } as const;

    expect(steps(fleet(['a'], { memory }))).toContain(
      'a/shop-dev-web-1/replace: new version r2, stop first: no memory for two',
    );
  });

  test('stops first behind the proxy too where there is no memory for two: the port is not why', () => {
    const ports = [{ bind: '*', port: 80, containerPort: 8000 }];
    const memory = { type: 'share', share: 0.6 } as const;

    expect(steps(fleet(['a'], { memory, ports, kind: 'webserver', rollout: 'proxy' }))).toContain(
      'a/shop-dev-web-1/replace: new version r2, stop first: no memory for two',
    );
  });

  test('stops first where a port is held, and says so', () => {
    const ports = [{ bind: '*', port: 80, containerPort: 8000 }];
    const input = asked(deployed({ instances: [instance({ ports })] }), { command: ['other'] });

    expect(steps(input)).toEqual(['web-1/shop-dev-web-1/replace: command changed, stop first: holds port 80']);
  });

  test.each([
    ['the host’s network', { network: 'host' as const, rollout: 'start-first' as const }, "on the host's network"],
    ['what the config says', { rollout: 'recreate' as const }, 'rollout: recreate'],
  ])('stops first for %s, and says so', (_, wanted, why) => {
    const input = asked(deployed({ instances: [instance({ kind: 'worker', ...wanted })] }), { command: ['other'] });

    expect(steps(input)).toContain(`web-1/shop-dev-web-1/replace: command changed, stop first: ${why}`);
  });

  test('stops first what writes to a volume, and says so', () => {
    const mounts = [{ type: 'volume', name: 'shop-dev-data', target: '/data', readOnly: false }] as const;
    const input = asked(deployed({ instances: [instance({ mounts, rollout: 'recreate' })] }), { command: ['other'] });

    expect(steps(input)).toContain('web-1/shop-dev-web-1/replace: command changed, stop first: writes to /data');
  });
});

test('a plan says for how long an instance was away when it was last stopped first', () => {
  const ports = [{ bind: '*', port: 80, containerPort: 8000 }];
  const input = asked(deployed({ instances: [instance({ ports })] }), { command: ['other'] });
  const hosts = input.hosts.map((host) => ({
    ...host,
    state: host.state === undefined ? undefined : { ...host.state, gaps: { 'web/1': 1840 } },
  }));

  expect(steps({ ...input, hosts })).toEqual([
    'web-1/shop-dev-web-1/replace: command changed, stop first: holds port 80, 1.8 s without it last time',
  ]);
});

describe('what is not ours', () => {
  test('is never touched, whatever it is called', () => {
    const foreign = container({ id: 'foreign', name: 'shop-dev-other-1' });

    const input = planInput({ hosts: [observedHost({ containers: [foreign] })] });

    expect(JSON.stringify(plan(input).plan)).not.toContain('foreign');
  });

  test('a name that it holds is a problem before anything changes', () => {
    const input = planInput({ hosts: [observedHost({ containers: [container({ name: 'shop-dev-web-1' })] })] });

    expect(plan(input).problems.map((problem) => problem.message)).toEqual([
      'the name shop-dev-web-1 is taken by a container that cu did not make',
    ]);
  });

  test('a port that another project holds is named with its holder', () => {
    const labels = { [LABELS.project]: 'other', [LABELS.environment]: 'stable' };
    const holder = container({
      name: 'other-web',
      labels,
      ports: [{ address: '0.0.0.0', port: 80, containerPort: 80 }],
    });
    const ports = [{ bind: 'eth1', port: 80, containerPort: 8000 }];

    const input = planInput({ instances: [instance({ ports })], hosts: [observedHost({ containers: [holder] })] });

    expect(plan(input).problems.map((problem) => problem.message)).toEqual([
      'port 80 for web is taken by container other-web (project other, environment stable)',
    ]);
  });

  test('a port that a process of the host holds is a problem', () => {
    const facts = { ...FACTS, listening: [{ address: '::', port: 80 }] };
    const ports = [{ bind: '*', port: 80, containerPort: 8000 }];

    const input = planInput({ instances: [instance({ ports })], hosts: [observedHost({ facts })] });

    expect(plan(input).problems.map((problem) => problem.message)).toEqual([
      'port 80 for web is taken by a process of the host',
    ]);
  });
});

test('more memory than the host has is a problem with the sum', () => {
  const input = planInput({
    instances: ['1', '2'].map((name) => instance({ instance: name, memory: { type: 'share', share: 0.7 } })),
  });

  expect(plan(input).problems.map((problem) => problem.message)).toEqual([
    'the services ask for 22.4 GB of memory, the host has 16.0 GB',
  ]);
});

test('an interface that the host lacks is named with those it has', () => {
  const input = planInput({ instances: [instance({ ports: [{ bind: 'eth9', port: 1, containerPort: 1 }] })] });

  const [problem] = plan(input).problems;

  expect(problem?.message).toBe('web-1 has no interface called eth9');
  expect(problem?.hint).toBe('services.web.ports may name one of lo (127.0.0.1), eth1 (10.0.0.11), an address or *');
});
