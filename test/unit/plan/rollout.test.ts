import { expect, test } from 'vitest';
import type { InstanceSpec } from '../../../src/core/state.ts';
import { planLifecycle } from '../../../src/plan/lifecycle.ts';
import { plan } from '../../../src/plan/plan.ts';
import { LABELS } from '../../../src/core/state.ts';
import { container, instance, observedHost, planInput } from './inputs.ts';

/** Services by the order in which their containers are made, and what each waits for of the others. */
function created(...instances: readonly Partial<InstanceSpec>[]): readonly string[] {
  const { nodes } = plan(planInput({ instances: instances.map(instance) })).plan;
  const creates = nodes.filter(({ action }) => action.type === 'create-container');
  const nameOf = (id: string): string => /shop-dev-(.*)-1\/create/.exec(id)?.[1] ?? '';
  return creates.map(({ id, after }) => {
    const others = after.map(nameOf).filter((name) => name !== '');
    return others.length === 0 ? nameOf(id) : `${nameOf(id)} after ${others.join(', ')}`;
  });
}

test('a service comes after those that it depends on, whatever is called in between', () => {
  expect(created({ service: 'api', dependsOn: ['store'] }, { service: 'cron' }, { service: 'store' })).toEqual([
    'cron',
    'store',
    'api after store',
  ]);
});

test('one that depends on a service of a later phase waits for it', () => {
  const web = { service: 'web', phase: 20 };

  expect(created({ service: 'probe', phase: 10, dependsOn: ['web'] }, web)).toEqual(['web', 'probe after web']);
});

test('a chain of dependencies is followed to its end', () => {
  expect(
    created({ service: 'a', dependsOn: ['b'] }, { service: 'b', dependsOn: ['c'] }, { service: 'c' }).map(
      (line) => line.split(' ')[0],
    ),
  ).toEqual(['c', 'b', 'a']);
});

test('a restart takes one host after the other, as a rollout does', () => {
  const hosts = ['a', 'b', 'c'].map((name) => {
    const labels = {
      [LABELS.project]: 'shop',
      [LABELS.environment]: 'dev',
      [LABELS.service]: 'web',
      [LABELS.instance]: '1',
    };
    return observedHost({ name, containers: [container({ id: name, labels })] });
  });
  const input = planInput({ instances: hosts.map(({ name }) => instance({ host: name })), hosts });

  const { nodes } = planLifecycle('restart', input).plan;

  expect(nodes.map(({ id, after }) => [id.split('/')[0], after.length])).toEqual([
    ['a', 0],
    ['b', 1],
    ['c', 2],
  ]);
});
