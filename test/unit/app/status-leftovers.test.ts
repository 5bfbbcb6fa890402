import { expect, test } from 'vitest';
import { sortInstance } from '../../../src/app/status-leftovers.ts';
import type { ObservedContainer } from '../../../src/core/state.ts';
import { container } from '../plan/inputs.ts';

const BIG = { instance: 'big', containerName: 'shop-dev-worker-big' };

function found(end: string, state: ObservedContainer['state'] = 'running'): ObservedContainer {
  return container({ id: end, name: `${BIG.containerName}${end}`, state });
}

test('what is left beside an instance is told from it, with the reason', () => {
  const { keeper, leftovers } = sortInstance(BIG, [
    found('-old', 'exited'),
    found('-draining-0123456789ab'),
    found('-draining-ba9876543210', 'exited'),
    found(''),
  ]);

  expect(keeper?.id).toBe('');
  expect(leftovers.map(({ instance, why }) => `${instance}: ${why}`)).toEqual([
    'big-old: left by a run that was interrupted or is under way',
    'big-draining-0123456789ab: finishes its work',
    'big-draining-ba9876543210: has finished its work',
  ]);
});

test('what was told to finish its work stands for no instance, though nothing else is there', () => {
  const { keeper, leftovers } = sortInstance(BIG, [found('-draining-0123456789ab')]);

  expect(keeper).toBeUndefined();
  expect(leftovers).toHaveLength(1);
});

test('a second container of another name is shown with its name', () => {
  const renamed = { ...found(''), id: 'r', name: 'mine' };

  expect(sortInstance(BIG, [found(''), renamed]).leftovers.map(({ instance }) => instance)).toEqual(['big (mine)']);
});
