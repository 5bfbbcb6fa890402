import { describe, expect, test } from 'vitest';
import { describe as describePlan } from '../../../src/core/describe.ts';
import { LABELS } from '../../../src/core/state.ts';
import type { InstanceSpec, ObservedContainer } from '../../../src/core/state.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { planLifecycle } from '../../../src/plan/lifecycle.ts';
import { bindAll } from '../../../src/plan/plan.ts';
import { wantedPart } from '../../../src/plan/proxy/routes.ts';
import { container, instance, observedHost, planInput } from './inputs.ts';

const WEB: Partial<InstanceSpec> = {
  kind: 'webserver',
  rollout: 'proxy',
  ports: [{ bind: '*', port: 80, containerPort: 8080 }],
};

/** One container that runs behind the proxy of its host, of an older version than the config's. */
function running(overrides: Partial<ObservedContainer> = {}, wanted: Partial<InstanceSpec> = {}): PlanInput {
  const fresh = planInput({ instances: [instance(WEB)] });
  const [bound] = bindAll(fresh).bound;
  const labels = { ...bound?.spec.labels, [LABELS.version]: 'r0', [LABELS.inputs]: 'inputs-0', [LABELS.slot]: 'a' };
  const host = observedHost({
    containers: [container({ id: 'c', name: 'shop-dev-web-1', imageId: 'sha256:old', labels, ...overrides })],
  });
  const part = wantedPart(host, fresh.desired, fresh);
  const seen = { ...host, proxy: { isRunning: true, spec: undefined, parts: [part] } };
  return planInput({ instances: [instance({ ...WEB, ...wanted })], hosts: [seen] });
}

function restarted(input: PlanInput): readonly string[] {
  return describePlan(planLifecycle('restart', input).plan);
}

test('a webserver behind the proxy is replaced by its like', () => {
  const input = running();

  expect(restarted(input)).toEqual([
    'web-1/shop-dev-web-1/replace  asked to',
    'web-1/shop-dev-web-1/drain    replaced  after replace',
    'web-1/shop-dev-web-1/verify   still well  after replace',
    'web-1/shop-dev-web-1/retire   replaced  after replace, verify, drain',
  ]);
  const [replace] = planLifecycle('restart', input).plan.nodes;
  expect(replace?.action).toMatchObject({
    imageId: 'sha256:old',
    strategy: 'proxy',
    spec: { slot: 'b', labels: { [LABELS.version]: 'r0', [LABELS.inputs]: 'inputs-0' }, env: { CU_VERSION: 'r0' } },
  });
});

test('what an interrupted restart has left goes first', () => {
  const input = running();
  const hosts = input.hosts.map((host) => ({
    ...host,
    containers: host.containers.flatMap((each) => [
      each,
      { ...each, id: 'o', name: `${each.name}-old`, state: 'exited' as const },
    ]),
  }));

  expect(restarted({ ...input, hosts })[0]).toBe('web-1/shop-dev-web-1-old/remove  left by an interrupted run');
});

test.each([
  ['its settings have changed since, for a restart brings none', {}, { env: { MODE: 'slow' } }],
  ['it does not run', { state: 'exited' }, {}],
  ['there is no memory for two', {}, { memory: { type: 'share', share: 0.9 } }],
] as const)('it is restarted in place when %s', (_, found, wanted) => {
  expect(restarted(running(found, wanted))).toEqual(['web-1/shop-dev-web-1/restart  asked to']);
});

describe('a stop', () => {
  const labels = {
    [LABELS.project]: 'shop',
    [LABELS.environment]: 'dev',
    [LABELS.service]: 'jobs',
    [LABELS.instance]: '1',
  };
  const found = (name: string, more: Partial<ObservedContainer> = {}): ObservedContainer =>
    container({ id: name, name: `shop-dev-jobs-1${name}`, labels, ...more });
  const stopped = (...containers: readonly ObservedContainer[]): readonly string[] =>
    describePlan(
      planLifecycle(
        'stop',
        planInput({
          instances: [instance({ service: 'jobs', kind: 'worker' })],
          hosts: [observedHost({ containers })],
        }),
      ).plan,
    );

  test('stops what runs and nothing that has ended', () => {
    expect(stopped(found(''), found('-old', { state: 'exited' }))).toEqual(['web-1/shop-dev-jobs-1/stop  asked to']);
    expect(stopped(found('', { state: 'exited' }))).toEqual([]);
  });

  test('takes what still runs beside it along, after what takes new work', () => {
    expect(stopped(found('-old'), found('-draining-0123456789ab'), found(''))).toEqual([
      'web-1/shop-dev-jobs-1/stop                        asked to',
      'web-1/shop-dev-jobs-1-old/stop                    left by an interrupted run  after shop-dev-jobs-1/stop',
      'web-1/shop-dev-jobs-1-draining-0123456789ab/stop  still finishes its work  after shop-dev-jobs-1-old/stop, shop-dev-jobs-1/stop',
    ]);
  });

  test('stops what an interrupted run left in the place of it', () => {
    expect(stopped(found('-old', { state: 'exited' }), found('-new'))).toEqual([
      'web-1/shop-dev-jobs-1-new/stop  asked to',
    ]);
  });

  test('gives no requests back to the place of what nothing starts again', () => {
    const { plan } = planLifecycle('stop', withOld(running()));

    expect(plan.nodes.map(({ action }) => action)).toMatchObject([
      { name: 'shop-dev-web-1', place: { slot: 'a' }, isLeftover: false },
      { name: 'shop-dev-web-1-old', place: { slot: 'b' }, isLeftover: true },
    ]);
  });
});

/** The same with what was replaced still beside it, in the other place behind the proxy. */
function withOld(input: PlanInput): PlanInput {
  const hosts = input.hosts.map((host) => ({
    ...host,
    containers: host.containers.flatMap((each) => [
      each,
      { ...each, id: 'o', name: `${each.name}-old`, labels: { ...each.labels, [LABELS.slot]: 'b' } },
    ]),
  }));
  return { ...input, hosts };
}
