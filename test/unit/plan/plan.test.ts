import { describe, expect, test } from 'vitest';
import { describe as describePlan } from '../../../src/core/describe.ts';
import { LABELS } from '../../../src/core/state.ts';
import type { InstanceSpec } from '../../../src/core/state.ts';
import { plan } from '../../../src/plan/plan.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { applyPlan, someSecret } from './apply.ts';
import { appImage, container, FACTS, instance, observedHost, planInput } from './inputs.ts';
import type { Parts } from './inputs.ts';

/** The input after its own plan was carried out. */
function deployed(parts: Parts = {}): PlanInput {
  const input = planInput(parts);
  return { ...input, hosts: applyPlan(input, plan(input).plan.nodes) };
}

function steps(input: PlanInput): readonly string[] {
  return plan(input).plan.nodes.map(({ id, cause }) => `${id}: ${cause}`);
}

/** The same hosts, asked for something else. */
function asked(input: PlanInput, change: Partial<InstanceSpec>): PlanInput {
  const instances = input.instances.map((each) => ({ ...each, ...change }));
  return { ...input, instances, desired: { ...input.desired, instances } };
}

describe('a first deploy', () => {
  test('prepares the host before it creates containers', () => {
    expect(describePlan(plan(planInput()).plan)).toEqual([
      'web-1/app/ship               not on the host',
      'web-1/shop-dev-state/state   first deploy on the host',
      'web-1/shop-dev/network       not found',
      'web-1/shop-dev-web-1/create  not found  after app/ship, shop-dev-state/state, shop-dev/network',
      'web-1/app/tag                dev is r1  after shop-dev-web-1/create',
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

    const order = plan(input).plan.nodes.filter((node) => node.action.type === 'create-container').map((node) => node.id);

    expect(order).toEqual(['web-1/shop-dev-broker-1/create', 'web-1/shop-dev-worker-1/create', 'web-1/shop-dev-site-1/create']);
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
    const input = asked(deployed({ instances: [instance({ secrets: [someSecret('old')] })] }), { secrets: [someSecret('new')] });

    expect(steps(input)).toEqual(['web-1/shop-dev-web-1/replace: secrets changed']);
    expect(JSON.stringify(plan(input))).not.toMatch(/"(old|new)"/);
  });

  test('a health check that changed restarts nothing', () => {
    const health = { type: 'tcp', port: 80, intervalMs: 1, timeoutMs: 1, retries: 0, startPeriodMs: 0, stableMs: 0 } as const;

    expect(steps(asked(deployed(), { health }))).toEqual([]);
  });

  test('stops one host first and the others after it', () => {
    const input = deployed({ instances: ['a', 'b', 'c'].map((host) => instance({ host, rollout: 'recreate' })) });

    const { nodes } = plan({ ...input, images: new Map([['app', appImage('inputs-2', 'r2')]]) }).plan;

    const replaces = nodes.filter((node) => node.action.type === 'replace-container');
    expect(replaces.map((node) => node.after.includes('a/shop-dev-web-1/replace'))).toEqual([false, true, true]);
    expect(replaces[2]?.after).not.toContain('b/shop-dev-web-1/replace');
  });

  test('stops first where a port is held, and says so', () => {
    const ports = [{ bind: '*', port: 80, containerPort: 8000 }];
    const input = asked(deployed({ instances: [instance({ ports })] }), { command: ['other'] });

    expect(steps(input)).toEqual(['web-1/shop-dev-web-1/replace: command changed (stop first: holds port 80)']);
  });
});

describe('drift', () => {
  const changed = (change: Parameters<typeof container>[0]): PlanInput => {
    const input = deployed();
    const hosts = input.hosts.map((host) => ({ ...host, containers: host.containers.map((each) => ({ ...each, ...change })) }));
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

  test('limits that were changed by hand are put back without a restart', () => {
    const limits = { memoryBytes: 5e8, nanoCpus: 0, cpuset: '', pids: 0, restart: 'no' };

    expect(steps(changed({ limits }))).toEqual([
      'web-1/shop-dev-web-1/update: changed by hand: memory is 500 MB, wanted unlimited, restart is no, wanted unless-stopped',
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
    const hosts = input.hosts.map((host) => ({ ...host, state: undefined, volumes: [{ name: 'shop-dev-state', labels: {} }] }));

    expect(steps({ ...input, hosts, fresh: { ...input.fresh, specKey: someSecret('another key') } })).toEqual([
      'web-1/shop-dev-state/state: its container was removed',
    ]);
  });
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
    const holder = container({ name: 'other-web', labels, ports: [{ address: '0.0.0.0', port: 80, containerPort: 80 }] });
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

    expect(plan(input).problems.map((problem) => problem.message)).toEqual(['port 80 for web is taken by a process of the host']);
  });
});

describe('what the config no longer has', () => {
  const withOrphan = (service: string): PlanInput => {
    const input = deployed();
    const labels = { [LABELS.project]: 'shop', [LABELS.environment]: 'dev', [LABELS.service]: service, [LABELS.instance]: '2' };
    const orphan = container({ id: 'o', name: `shop-dev-${service}-2`, labels });
    return { ...input, hosts: input.hosts.map((host) => ({ ...host, containers: [...host.containers, orphan] })) };
  };

  test('a service that is gone is planned for removal and asked about', () => {
    const planned = plan(withOrphan('tiles'));

    expect(planned.plan.nodes.map((node) => node.id)).toEqual(['web-1/shop-dev-tiles-2/remove']);
    expect(planned.prunes).toHaveLength(1);
  });

  test('a replica less is a change like any other', () => {
    const planned = plan(withOrphan('web'));

    expect(planned.plan.nodes.map((node) => node.id)).toEqual(['web-1/shop-dev-web-2/remove']);
    expect(planned.prunes).toEqual([]);
  });

  test('a deploy of some targets leaves it alone', () => {
    expect(steps({ ...withOrphan('tiles'), isWhole: false })).toEqual([]);
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
