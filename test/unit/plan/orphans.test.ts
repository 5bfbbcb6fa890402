import { describe, expect, test } from 'vitest';
import { LABELS } from '../../../src/core/state.ts';
import type { ObservedHost } from '../../../src/core/state.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { plan } from '../../../src/plan/plan.ts';
import { container, observedHost } from './inputs.ts';
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
