import { expect, test } from 'vitest';
import type { PlanNode } from '../../../src/core/action.ts';
import type { ProxyPart } from '../../../src/core/proxy.ts';
import { LABELS } from '../../../src/core/state.ts';
import type { InstanceSpec, ObservedHost } from '../../../src/core/state.ts';
import type { PlanInput } from '../../../src/plan/input.ts';
import { bindAll, plan } from '../../../src/plan/plan.ts';
import { planUndo } from '../../../src/plan/undo.ts';
import { PROXY_SPEC } from '../../../src/plan/proxy/nodes.ts';
import { wantedPart } from '../../../src/plan/proxy/routes.ts';
import { container, instance, observedHost, planInput } from './inputs.ts';

function web(overrides: Partial<InstanceSpec> = {}): InstanceSpec {
  return instance({
    kind: 'webserver',
    rollout: 'proxy',
    phase: 20,
    ports: [{ bind: '*', port: 80, containerPort: 8000 }],
    ...overrides,
  });
}

function input(instances: readonly InstanceSpec[], hosts: readonly ObservedHost[]): PlanInput {
  const made = planInput({ instances, hosts });
  const source = { type: 'ref', name: 'haproxy', reference: 'haproxy:lts', keep: 3 } as const;
  return { ...made, images: new Map([...made.images, ['haproxy', { type: 'ref', source }]]) };
}

/** A host on which the instance runs in slot b, routed there. */
function running(name: string, spec: InstanceSpec): { readonly host: ObservedHost; readonly part: ProxyPart } {
  const fresh = input([{ ...spec, host: name }], [observedHost({ name })]);
  const labels = { ...bindAll(fresh).bound[0]?.spec.labels, [LABELS.slot]: 'b' };
  const ports = [{ address: '127.0.0.1', port: 21_980, containerPort: 8000 }];
  const found = observedHost({ name, containers: [container({ id: name, name: spec.containerName, labels, ports })] });
  const part = wantedPart(found, fresh.desired, fresh);
  return { host: { ...found, proxy: { isRunning: true, spec: PROXY_SPEC, parts: [part] } }, part };
}

function routesOn(host: string, nodes: readonly PlanNode[]): PlanNode | undefined {
  return nodes.find((node) => node.host === host && node.action.type === 'apply-routes');
}

test('where the proxy was taken away it is told of the place that the container has', () => {
  const { host, part } = running('a', web());

  expect(part.routes[0]?.servers).toEqual([{ instance: '1', ports: { a: expect.any(Number), b: 21_980 }, live: 'b' }]);
  const { nodes } = plan(input([web({ host: 'a' })], [{ ...host, proxy: undefined }])).plan;
  expect(routesOn('a', nodes)?.action).toMatchObject({ part: { routes: [{ servers: [{ live: 'b' }] }] } });
});

test('what moves to another host is answered here until it is well there', () => {
  const { host } = running('a', web());

  const { nodes } = plan(input([web({ host: 'b' })], [host, observedHost({ name: 'b' })])).plan;

  expect(routesOn('a', nodes)?.after).toContain('b/shop-dev-web-1/create');
  expect(nodes.find(({ id }) => id === 'a/shop-dev-web-1/remove')?.after).toContain('a/shop-dev/routes');
});

test('where another service is new on the host, what moves away is answered here all the same until then', () => {
  const { host } = running('a', web());
  const api = web({ host: 'a', service: 'api', ports: [{ bind: '*', port: 81, containerPort: 8000 }] });

  const { plan: made, prunes } = plan(input([web({ host: 'b' }), api], [host, observedHost({ name: 'b' })]));

  const ports = made.nodes.flatMap(({ id, host: on, action }) =>
    on === 'a' && action.type === 'apply-routes' ? [[id, action.part.routes.map(({ port }) => port)]] : [],
  );
  expect(ports).toEqual([
    ['a/shop-dev/routes', [81, 80]],
    ['a/shop-dev/farewell', [81]],
  ]);
  expect(made.nodes.find(({ id }) => id === 'a/shop-dev/routes')?.after).not.toContain('b/shop-dev-web-1/create');
  expect(made.nodes.find(({ id }) => id === 'a/shop-dev/farewell')?.after).toContain('b/shop-dev-web-1/create');
  expect(prunes.along.map(({ id }) => id)).toEqual(expect.arrayContaining(['a/shop-dev/farewell']));
  expect(prunes.along.map(({ id }) => id)).not.toContain('a/shop-dev/routes');
  const undone = planUndo(made.nodes).nodes.map(({ id }) => id);
  expect(new Set(undone).size).toBe(undone.length);
});

test('routes stay with the containers whose removal is declined', () => {
  const { host } = running('a', web());

  const { prunes } = plan(input([web({ host: 'b' })], [host, observedHost({ name: 'b' })]));

  expect(prunes.containers.map(({ id }) => id)).toEqual(['a/shop-dev-web-1/remove']);
  expect(prunes.along.map(({ id }) => id)).toContain('a/shop-dev/routes');
});

test('what leaves the proxy gets its port just before it is replaced, after all that it waits for', () => {
  const { host } = running('a', web());
  const worker = instance({ host: 'a', service: 'worker', phase: 10 });

  const { nodes } = plan(input([worker, web({ host: 'a', rollout: 'recreate' })], [host])).plan;

  const ids = nodes.map(({ id }) => id);
  expect(ids.indexOf('a/shop-dev/routes')).toBe(ids.indexOf('a/shop-dev-web-1/replace') - 1);
  expect(routesOn('a', nodes)?.after).toContain('a/shop-dev-worker-1/create');
  expect(nodes.find(({ id }) => id === 'a/shop-dev-web-1/replace')?.after).toContain('a/shop-dev/routes');
});

test('a deploy of one service routes it, and leaves the routes of the others as they are', () => {
  const { host } = running('a', web());
  const port = { bind: '*', port: 81, containerPort: 8000 };
  const other = web({ host: 'a', service: 'api', ports: [{ ...port, port: 82 }] });
  const made = input([web({ host: 'a', ports: [port] }), other], [host]);

  const { nodes } = plan({ ...made, instances: [other], isWhole: false }).plan;

  const [part] = [routesOn('a', nodes)?.action].flatMap((action) =>
    action?.type === 'apply-routes' ? [action.part] : [],
  );
  expect(part?.routes.map((route) => [route.service, route.port])).toEqual([
    ['api', 82],
    ['web', 80],
  ]);
});

test('where a service gets another container port, its last old container waits for the routes', () => {
  const { host } = running('a', web());
  const ports = [{ bind: '*', port: 80, containerPort: 9000 }];

  const { nodes } = plan(input([web({ host: 'a', ports })], [host])).plan;

  const routes = routesOn('a', nodes);
  expect(routes?.after).toContain('a/shop-dev-web-1/replace');
  expect(nodes.find(({ id }) => id === 'a/shop-dev-web-1/drain')?.after).toContain('a/shop-dev/routes');
  // The container that comes is the one in the other place.
  expect(routes?.action).toMatchObject({ part: { routes: [{ containerPort: 9000, servers: [{ live: 'a' }] }] } });
});
