import { expect, test } from 'vitest';
import { driftOf } from '../../../src/app/status-drift.ts';
import type { Action, PlanNode } from '../../../src/core/action.ts';
import { PROXY_NAME } from '../../../src/core/proxy.ts';
import type { ProxyPart } from '../../../src/core/proxy.ts';
import type { InstanceSpec } from '../../../src/core/state.ts';
import { plan } from '../../../src/plan/plan.ts';
import { instance, planInput } from '../plan/inputs.ts';
import { asked, deployed } from '../plan/steps.ts';

const PORTS = [{ bind: '*', port: 80, containerPort: 8000 }];
const WEB: Partial<InstanceSpec> = { kind: 'webserver', rollout: 'proxy', ports: PORTS };
const HERE = [
  instance(WEB),
  instance({ ...WEB, instance: '2' }),
  instance({ ...WEB, service: 'api' }),
  instance({ service: 'jobs', kind: 'worker' }),
  instance({ ...WEB, host: 'web-2' }),
];

function drift(action: Action, cause: string, instances = HERE): readonly string[] {
  const node: PlanNode = { id: 'web-1/x/y', host: 'web-1', action, cause, after: [] };
  return [...driftOf([node], instances)].map(([key, texts]) => `${key}: ${texts.join(', ')}`);
}

function part(services: Readonly<Record<string, number>>, live: 'a' | 'b' = 'a'): ProxyPart {
  const routes = Object.entries(services).map(([service, port]) => ({
    service,
    containerPort: 8000,
    address: '',
    port,
    hosts: [],
    paths: [],
    certificate: undefined,
    checkPath: undefined,
    drainMs: 10_000,
    servers: [{ instance: '1', ports: { a: 20_000, b: 20_001 }, live }],
  }));
  return { project: 'shop', environment: 'dev', routes };
}

function routes(wanted: ProxyPart, previous: ProxyPart | undefined): Action {
  return { type: 'apply-routes', part: wanted, previous, certificates: [], socketGid: 999 };
}

test('a proxy that is down is drift of itself and of every webserver behind it, on its host alone', () => {
  expect(drift({ type: 'ensure-proxy', image: 'haproxy', socketGid: 999 }, 'stopped')).toEqual([
    `web-1/${PROXY_NAME}: stopped`,
    'web-1/shop-dev-web-1: proxy: stopped',
    'web-1/shop-dev-web-2: proxy: stopped',
    'web-1/shop-dev-api-1: proxy: stopped',
  ]);
});

test('routes are drift of the services whose routes are other ones, whatever slot is live', () => {
  const action = routes(part({ web: 80, api: 82 }), part({ web: 80, api: 81 }, 'b'));

  expect(drift(action, 'routes changed')).toEqual(['web-1/shop-dev-api-1: proxy: routes changed']);
});

test('new routes are drift of all that they lead to', () => {
  expect(drift(routes(part({ api: 81 }), undefined), 'new routes')).toEqual([
    'web-1/shop-dev-api-1: proxy: new routes',
  ]);
});

test('routes of a service that is gone are drift of the proxy', () => {
  expect(drift(routes(part({ web: 80 }), part({ web: 80, old: 81 })), 'routes changed')).toEqual([
    `web-1/${PROXY_NAME}: routes changed`,
  ]);
});

test('requests with the wrong container are drift of their instance', () => {
  const place = { service: 'web', instance: '2', slot: 'a' } as const;

  expect(drift({ type: 'switch-proxy', place, drainMs: 1000, socketGid: 999 }, 'left by an interrupted run')).toEqual([
    'web-1/shop-dev-web-2: proxy: requests go to another container, left by an interrupted run',
  ]);
});

test('what follows a replacement is no drift, and what is not there is', () => {
  const changed = asked(deployed(), { env: { MODE: 'slow' } });
  const missing = planInput();

  const texts = [changed, missing].map((input) => [...driftOf(plan(input).plan.nodes, input.instances).values()]);
  expect(texts).toEqual([[['environment changed']], [['not found']]]);
});
