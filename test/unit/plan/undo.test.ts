import { expect, test } from 'vitest';
import { LABELS } from '../../../src/core/state.ts';
import { plan } from '../../../src/plan/plan.ts';
import { pendingDrains, planUndo } from '../../../src/plan/undo.ts';
import { appImage, container, instance, observedHost, planInput } from './inputs.ts';
import { deployed } from './steps.ts';

const next = (hosts: readonly string[]) =>
  plan({
    ...deployed({ instances: hosts.map((host) => instance({ host })) }),
    images: new Map([['app', appImage('inputs-2', 'r2')]]),
  }).plan;

test('what was replaced comes back, in reverse and host by host', () => {
  const done = next(['a', 'b']).nodes.filter(({ action }) => action.type === 'replace-container');

  const undo = planUndo(done);

  expect(undo.nodes.map(({ id, action, after }) => [id, action.type, after])).toEqual([
    ['b/shop-dev-web-1/undo', 'restore-container', []],
    ['a/shop-dev-web-1/undo', 'restore-container', []],
  ]);
});

test('what was not there before is removed again, images and networks stay', () => {
  const { nodes } = plan(planInput()).plan;

  const undo = planUndo(nodes.filter(({ action }) => action.type !== 'tag-image'));

  expect(undo.nodes.map(({ action }) => action)).toMatchObject([{ type: 'remove-container', name: 'shop-dev-web-1' }]);
});

test('a singleton that moves is stopped where it was before it starts, and started again when that fails', () => {
  const labels = {
    [LABELS.project]: 'shop',
    [LABELS.environment]: 'dev',
    [LABELS.service]: 'beat',
    [LABELS.instance]: '1',
  };
  const old = container({ id: 'old', name: 'shop-dev-beat-1', labels });
  const input = planInput({
    instances: [instance({ host: 'b', service: 'beat', singleton: true })],
    hosts: [observedHost({ name: 'a', containers: [old] }), observedHost({ name: 'b' })],
  });

  const { nodes } = plan(input).plan;

  const create = nodes.find(({ action }) => action.type === 'create-container');
  expect(create?.after).toContain('a/shop-dev-beat-1/stop');
  expect(nodes.at(-2)?.id).toBe('a/shop-dev-beat-1/remove');
  expect(planUndo(nodes.filter(({ action }) => action.type === 'stop-container')).nodes).toMatchObject([
    { action: { type: 'resume-container', id: 'old' } },
  ]);
});

test('limits that were changed in place are set back', () => {
  const previous = { memoryBytes: 5, nanoCpus: 0, cpuset: '', pids: 0, restart: 'no' };
  const input = deployed({ instances: [instance({ memory: { type: 'bytes', bytes: 1e9 } })] });
  const hosts = input.hosts.map((host) => ({
    ...host,
    containers: host.containers.map((each) => ({
      ...each,
      limits: { ...previous, memoryBytes: 7, pids: 0, restart: 'always' },
    })),
  }));
  const update = plan({ ...input, hosts }).plan.nodes.filter(({ action }) => action.type === 'update-container');

  const [undo] = planUndo(update).nodes;

  expect(undo?.action).toMatchObject({
    spec: { body: { HostConfig: { Memory: 7, RestartPolicy: { Name: 'always' } } } },
  });
});

test('only those whose successor has taken over have still to finish their work', () => {
  const whole = next(['a', 'b']);
  const done = whole.nodes.filter(({ id }) => id === 'a/shop-dev-web-1/replace');

  expect(pendingDrains(whole, done).map(({ id }) => id)).toEqual(['a/shop-dev-web-1/drain']);
});
