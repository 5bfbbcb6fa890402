import { describe, expect, test } from 'vitest';
import { describe as lines } from '../../../src/core/describe.ts';
import { LABELS } from '../../../src/core/state.ts';
import type { TaskSpec } from '../../../src/core/rollout.ts';
import type { InstanceSpec } from '../../../src/core/state.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { plan } from '../../../src/plan/plan.ts';
import { applyPlan } from './apply.ts';
import { appImage, container, instance, observedHost, planInput } from './inputs.ts';
import type { Parts } from './inputs.ts';
import { deployed } from './steps.ts';

const MIGRATE: TaskSpec = { service: 'web', command: ['migrate', '--all'], timeoutMs: 5000 };
const SEED: TaskSpec = { service: 'web', command: ['seed'], timeoutMs: 5000 };
const BROKER = { host: 'a', service: 'broker', containerPort: 6379, published: undefined, password: undefined };

const web = (host: string): InstanceSpec => instance({ host, service: 'web', phase: 20 });
const worker = (host: string): InstanceSpec =>
  instance({ host, service: 'worker', kind: 'worker', brokerUser: 'worker' });
const redis = (): InstanceSpec =>
  instance({ host: 'a', service: 'broker', kind: 'redis', phase: 0, rollout: 'recreate' });

/** Each step with what it waits for directly, ids shortened. */
function edges(input: PlanInput): readonly string[] {
  return lines(plan(input).plan).map((line) => line.replace(/ {2,}/g, '  '));
}

/** The same fleet, deployed, then asked for a new version of the image. */
function upgraded(parts: Parts): PlanInput {
  const input = deployed(parts);
  return { ...input, images: new Map([['app', appImage('inputs-2', 'r2')]]) };
}

function waitsFor(input: PlanInput, id: string): readonly string[] {
  const { nodes } = plan(input).plan;
  const found = new Set([id]);
  for (const node of nodes.toReversed()) if (found.has(node.id)) for (const each of node.after) found.add(each);
  found.delete(id);
  return [...found];
}

describe('a release task', () => {
  test('runs once, on the first host of its service, before any container of any host', () => {
    const input = planInput({ instances: [web('b'), web('a'), worker('c')], tasks: [MIGRATE, SEED] });

    const ids = plan(input).plan.nodes.map(({ id }) => id);

    expect(ids.filter((id) => id.includes('-task-'))).toEqual(['a/shop-dev-task-1/run', 'a/shop-dev-task-2/run']);
    for (const id of ids.filter((each) => each.endsWith('/create')))
      expect(waitsFor(input, id)).toEqual(expect.arrayContaining(['a/shop-dev-task-1/run', 'a/shop-dev-task-2/run']));
    expect(waitsFor(input, 'a/shop-dev-task-1/run').toSorted()).toEqual([
      'a/app/ship',
      'a/shop-dev-state/state',
      'a/shop-dev/network',
      'b/app/ship',
      'c/app/ship',
    ]);
    expect(waitsFor(input, 'a/shop-dev-task-2/run')).toContain('a/shop-dev-task-1/run');
  });

  test('runs again for a new version, and not when nothing changes', () => {
    const parts = { instances: [web('a')], tasks: [MIGRATE] };

    expect(edges(deployed(parts))).toEqual([]);
    expect(edges(upgraded(parts))).toEqual([
      'a/app/ship  not on the host',
      'a/shop-dev-task-1/run  before the switch  after app/ship',
      'a/shop-dev-web-1/replace  new version r2  after app/ship, shop-dev-task-1/run',
      'a/shop-dev-web-1/drain  replaced  after app/ship, replace, shop-dev-task-1/run',
      'a/shop-dev-web-1/verify  still well  after replace, shop-dev-task-1/run',
      'a/shop-dev-web-1/retire  replaced  after replace, verify, drain, shop-dev-task-1/run',
      'a/app/tag  dev is r2  after shop-dev-web-1/replace, shop-dev-web-1/verify',
    ]);
  });

  test('does not run for a change of another image', () => {
    const parts = { instances: [web('a')], tasks: [{ ...MIGRATE, service: 'other' }] };

    expect(edges(upgraded(parts)).some((line) => line.includes('task'))).toBe(false);
  });

  test('comes after the broker, and everything else after it, also what is in the way', () => {
    const orphan = container({
      id: 'o',
      name: 'shop-dev-old-1',
      labels: {
        [LABELS.project]: 'shop',
        [LABELS.environment]: 'dev',
        [LABELS.service]: 'old',
        [LABELS.instance]: '1',
      },
      ports: [{ address: '', port: 80, containerPort: 80 }],
    });
    const port = { bind: '*', port: 80, containerPort: 80 };
    const instances = [redis(), { ...web('a'), ports: [port] }];
    const hosts = [observedHost({ name: 'a', containers: [orphan] })];

    const alone = planInput({ instances: instances.slice(1), hosts, tasks: [MIGRATE] });
    const withBroker = planInput({ instances, hosts, tasks: [MIGRATE], broker: BROKER });

    expect(waitsFor(alone, 'a/shop-dev-old-1/remove')).toContain('a/shop-dev-task-1/run');
    expect(waitsFor(withBroker, 'a/shop-dev-task-1/run')).toContain('a/shop-dev-broker-1/create');
    expect(waitsFor(withBroker, 'a/shop-dev-web-1/create')).toContain('a/shop-dev-task-1/run');
  });

  test('has all of its service but ports, names, labels, health and restarts', () => {
    const own = {
      ...web('a'),
      command: ['serve'],
      ports: [{ bind: '*', port: 80, containerPort: 80 }],
      labels: { 'proxy.enable': 'true' },
      memory: { type: 'bytes', bytes: 1e9 },
      user: { type: 'ids', uid: 7, gid: 8 },
    } as const;

    const node = plan(planInput({ instances: [own], tasks: [MIGRATE] })).plan.nodes.find(
      ({ action }) => action.type === 'run-task',
    );

    expect(node?.action).toMatchObject({ type: 'run-task', name: 'migrate --all', timeoutMs: 5000 });
    const spec = node?.action.type === 'run-task' ? node.action.spec : undefined;
    expect(spec).toMatchObject({
      name: 'shop-dev-task-1',
      env: { MODE: 'fast', CU_INSTANCE: 'task-1' },
      uid: 7,
      gid: 8,
    });
    expect(spec?.labels).toEqual({ 'cu.project': 'shop', 'cu.env': 'dev', 'cu.role': 'task' });
    expect(spec?.body).toMatchObject({
      Cmd: ['migrate', '--all'],
      User: '7:8',
      Healthcheck: { Test: ['NONE'] },
      HostConfig: { NetworkMode: 'shop-dev', PortBindings: {}, Memory: 1e9, RestartPolicy: { Name: 'no' } },
    });
    expect(spec?.body).not.toHaveProperty('NetworkingConfig');
    expect(spec?.body).not.toHaveProperty('ExposedPorts');
  });

  test('left by an interrupted run is taken away, and is no instance', () => {
    const labels = { [LABELS.project]: 'shop', [LABELS.environment]: 'dev', [LABELS.role]: 'task' };
    const left = container({ id: 't', name: 'shop-dev-task-1', labels });
    const other = container({ id: 'u', name: 'shop-lab-task-1', labels: { ...labels, [LABELS.environment]: 'lab' } });
    const input = deployed({ instances: [web('a')] });
    const hosts = input.hosts.map((host) => ({ ...host, containers: [...host.containers, left, other] }));

    expect(edges({ ...input, hosts })).toEqual(['a/shop-dev-task-1/remove  left by an interrupted run']);
    expect(edges({ ...input, hosts: applyPlan({ ...input, hosts }, plan({ ...input, hosts }).plan.nodes) })).toEqual(
      [],
    );
  });
});

describe('the check of the broker', () => {
  const fleet = {
    instances: [redis(), worker('a'), worker('b'), web('a')],
    broker: { ...BROKER, published: { bind: '*', port: 1, containerPort: 6379 } },
  };
  const checksOf = (input: PlanInput): readonly string[] =>
    plan(input).plan.nodes.flatMap(({ id, action }) => (action.type === 'check-broker' ? [id] : []));

  test('comes before the tasks, on every host with a new worker', () => {
    const input = upgraded({ ...fleet, tasks: [MIGRATE] });

    expect(checksOf(input)).toEqual(['a/shop-dev-task-doctor/check', 'b/shop-dev-task-doctor/check']);
    expect(waitsFor(input, 'a/shop-dev-task-1/run')).toEqual(expect.arrayContaining([...checksOf(input)]));
    expect(waitsFor(input, 'b/shop-dev-worker-1/replace')).toEqual(expect.arrayContaining([...checksOf(input)]));
  });

  test('is only for workers with the command of the runtime', () => {
    const own = { ...fleet, instances: [redis(), { ...worker('a'), brokerUser: 'admin' as const }] };

    expect(checksOf(upgraded(own))).toEqual([]);
  });

  test('follows a broker that the same plan brings, on hosts other than its own', () => {
    const input = planInput(fleet);

    expect(checksOf(input)).toEqual(['b/shop-dev-task-doctor/check']);
    expect(waitsFor(input, 'b/shop-dev-task-doctor/check')).toContain('a/shop-dev-broker-1/create');
    expect(waitsFor(input, 'b/shop-dev-worker-1/create')).toContain('b/shop-dev-task-doctor/check');
  });

  test('follows a broker that is down and comes back', () => {
    const input = upgraded(fleet);
    const hosts = input.hosts.map((host) => ({
      ...host,
      containers: host.containers.map((each) =>
        each.labels[LABELS.service] === 'broker' ? { ...each, state: 'exited' as const } : each,
      ),
    }));

    expect(checksOf({ ...input, hosts })).toEqual(['b/shop-dev-task-doctor/check']);
    expect(waitsFor({ ...input, hosts }, 'b/shop-dev-task-doctor/check')).toContain('a/shop-dev-broker-1/replace');
  });
});
