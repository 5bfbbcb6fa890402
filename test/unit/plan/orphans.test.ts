import { describe, expect, test } from 'vitest';
import { LABELS } from '../../../src/core/state.ts';
import type { ObservedHost } from '../../../src/core/state.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { plan } from '../../../src/plan/plan.ts';
import { container, instance, observedHost, planInput } from './inputs.ts';
import { deployed, steps } from './steps.ts';

describe('what the config no longer has', () => {
  const withOrphan = (service: string): PlanInput => {
    const input = deployed();
    const labels = {
      [LABELS.project]: 'shop',
      [LABELS.environment]: 'dev',
      [LABELS.service]: service,
      [LABELS.instance]: '2',
    };
    const orphan = container({ id: 'o', name: `shop-dev-${service}-2`, labels });
    return { ...input, hosts: input.hosts.map((host) => ({ ...host, containers: [...host.containers, orphan] })) };
  };

  test('a service that is gone is planned for removal and asked about', () => {
    const planned = plan(withOrphan('tiles'));

    expect(planned.plan.nodes.map((node) => node.id)).toEqual(['web-1/shop-dev-tiles-2/remove']);
    expect(planned.prunes.containers).toHaveLength(1);
  });

  test('a replica less is a change like any other', () => {
    const planned = plan(withOrphan('web'));

    expect(planned.plan.nodes.map((node) => node.id)).toEqual(['web-1/shop-dev-web-2/remove']);
    expect(planned.prunes.containers).toEqual([]);
  });

  const labels = { [LABELS.project]: 'shop', [LABELS.environment]: 'dev' };
  const left = observedHost({
    name: 'old-1',
    containers: [
      container({
        id: 'o',
        name: 'shop-dev-web-1',
        labels: { ...labels, [LABELS.service]: 'web', [LABELS.instance]: '1' },
      }),
      container({ id: 's', name: 'shop-dev-state', state: 'created', labels: { ...labels, [LABELS.role]: 'state' } }),
    ],
    networks: [{ id: 'n', name: 'shop-dev', labels }],
    volumes: [{ name: 'shop-dev-state', labels }],
  });
  const withLeft = (host: ObservedHost): PlanInput => ({ ...deployed(), hosts: [...deployed().hosts, host] });

  test('a host that nothing runs on any more loses its containers, its network and its state', () => {
    const planned = plan(withLeft(left));

    expect(planned.plan.nodes.map(({ id }) => id)).toEqual([
      'old-1/shop-dev-web-1/remove',
      'old-1/shop-dev/remove-network',
      'old-1/shop-dev-state/remove',
      'old-1/shop-dev-state/remove-volume',
    ]);
    expect(planned.prunes.containers.map(({ id }) => id)).toEqual(['old-1/shop-dev-web-1/remove']);
    expect(planned.prunes.along).toHaveLength(3);
  });

  test('its data stays, and with it the state that may hold its password', () => {
    const data = { name: 'shop-dev-broker-data', labels };

    expect(steps(withLeft({ ...left, volumes: [...left.volumes, data] })).join()).not.toContain('remove-volume');
  });

  test('what is left there without any container goes without a question', () => {
    const planned = plan(withLeft({ ...left, containers: [] }));

    expect(planned.plan.nodes.map(({ id }) => id)).toEqual([
      'old-1/shop-dev/remove-network',
      'old-1/shop-dev-state/remove-volume',
    ]);
    expect(planned.prunes).toEqual({ containers: [], along: [] });
  });

  test('a deploy of some targets leaves it alone', () => {
    expect(steps({ ...withOrphan('tiles'), isWhole: false })).toEqual([]);
  });
});

describe('of a singleton', () => {
  const labels = {
    [LABELS.project]: 'shop',
    [LABELS.environment]: 'dev',
    [LABELS.service]: 'beat',
    [LABELS.instance]: '1',
  };
  const beat = instance({ host: 'b', service: 'beat', singleton: true });
  const old = observedHost({ name: 'a', containers: [container({ id: 'old', name: 'shop-dev-beat-1', labels })] });
  const moved = (hosts: readonly ObservedHost[], overrides: Partial<PlanInput> = {}): PlanInput => ({
    ...planInput({ instances: [beat], hosts }),
    ...overrides,
  });

  test('the old one is stopped first, unasked, also by a deploy of it alone', () => {
    const planned = plan(moved([old, observedHost({ name: 'b' })], { isWhole: false }));

    const create = planned.plan.nodes.find(({ action }) => action.type === 'create-container');
    expect(create?.after).toContain('a/shop-dev-beat-1/stop');
    expect(planned.prunes).toEqual({ containers: [], along: [] });
  });

  test('none is made while one may run where nobody can look', () => {
    const [problem, ...others] = plan(moved([observedHost({ name: 'b' })], { unseen: ['a'] })).problems;

    expect(others).toEqual([]);
    expect(problem?.message).toBe('beat may still run on a, which was not reached, and two of it must not run');
    expect(problem?.exitCode).toBe(3);
  });

  test('it is made once the only one is found, wherever else nobody can look', () => {
    expect(plan(moved([old, observedHost({ name: 'b' })], { unseen: ['c'] })).problems).toEqual([]);
  });
});

test('what is to run on a host that was left out is kept where it runs', () => {
  const labels = {
    [LABELS.project]: 'shop',
    [LABELS.environment]: 'dev',
    [LABELS.service]: 'web',
    [LABELS.instance]: '1',
  };
  const old = observedHost({ name: 'a', containers: [container({ id: 'old', labels })] });

  expect(steps(planInput({ instances: [instance({ host: 'b' })], hosts: [old] }))).toEqual([]);
});

test('what goes has as long as it was made for to finish its work', () => {
  const labels = {
    [LABELS.project]: 'shop',
    [LABELS.environment]: 'dev',
    [LABELS.service]: 'jobs',
    [LABELS.instance]: '1',
  };
  const old = container({ id: 'old', name: 'shop-dev-jobs-1', labels, stopMs: 600_000 });
  const input = deployed();

  const { nodes } = plan({
    ...input,
    hosts: input.hosts.map((host) => ({ ...host, containers: [...host.containers, old] })),
  }).plan;

  expect(nodes.at(-1)?.action).toMatchObject({ type: 'remove-container', drainMs: 600_000 });
});
