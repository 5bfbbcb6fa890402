import { expect, test } from 'vitest';
import { LABELS } from '../../../src/core/state.ts';
import type { ObservedContainer } from '../../../src/core/state.ts';
import { purgeContainers } from '../../../src/plan/purge.ts';
import { container, instance, observedHost, planInput } from './inputs.ts';

const { desired } = planInput({ instances: [instance({ service: 'jobs' })] });

function ended(name: string, more: Partial<ObservedContainer> = {}): ObservedContainer {
  const labels = {
    [LABELS.project]: 'shop',
    [LABELS.environment]: 'dev',
    [LABELS.service]: 'jobs',
    [LABELS.instance]: '1',
  };
  return container({ id: name, name, labels, state: 'exited', ...more });
}

function purged(...containers: readonly ObservedContainer[]): readonly string[] {
  return purgeContainers(desired, observedHost({ containers })).map(({ name, node }) => `${name}: ${node.cause}`);
}

test('what an interrupted run and a detached one left goes once it has ended', () => {
  expect(
    purged(
      ended('shop-dev-jobs-1'),
      ended('shop-dev-jobs-1-new'),
      ended('shop-dev-jobs-1-old'),
      ended('shop-dev-jobs-1-draining-0123456789ab'),
    ),
  ).toEqual([
    'shop-dev-jobs-1-new: left by an interrupted run',
    'shop-dev-jobs-1-old: left by an interrupted run',
    'shop-dev-jobs-1-draining-0123456789ab: has finished its work',
  ]);
});

test.each(['running', 'paused', 'restarting'] as const)('what is %s stays', (state) => {
  expect(purged(ended('shop-dev-jobs-1-old', { state }), ended('shop-dev-jobs-1-draining-0', { state }))).toEqual([]);
});

test('what the config no longer has goes, and what belongs to others stays', () => {
  const labels = { ...ended('').labels, [LABELS.instance]: '2' };

  expect(purged(ended('shop-dev-jobs-2', { labels }), ended('other', { labels: {} }))).toEqual([
    'shop-dev-jobs-2: no longer in the config, does not run',
  ]);
});

test('an instance whose name only looks like what is left stays', () => {
  const service = 'jobs-draining';
  const named = instance({ service });
  const { desired: wanted } = planInput({ instances: [named] });
  const own = ended(named.containerName, { labels: { ...ended('').labels, [LABELS.service]: service } });

  expect(purgeContainers(wanted, observedHost({ containers: [own] }))).toEqual([]);
});
