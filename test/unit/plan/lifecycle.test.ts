import { expect, test } from 'vitest';
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

test.each([
  ['its settings have changed since, for a restart brings none', {}, { env: { MODE: 'slow' } }],
  ['it does not run', { state: 'exited' }, {}],
  ['there is no memory for two', {}, { memory: { type: 'share', share: 0.9 } }],
] as const)('it is restarted in place when %s', (_, found, wanted) => {
  expect(restarted(running(found, wanted))).toEqual(['web-1/shop-dev-web-1/restart  asked to']);
});
