import { describe, expect, test } from 'vitest';
import type { ProxyPart } from '../../../src/core/proxy.ts';
import { Secret } from '../../../src/core/secret.ts';
import { LABELS } from '../../../src/core/state.ts';
import type { InstanceSpec, ObservedHost } from '../../../src/core/state.ts';
import type { PlanInput, WantedImage } from '../../../src/plan/input.ts';
import { plan } from '../../../src/plan/plan.ts';
import { PROXY_SPEC } from '../../../src/plan/proxy/nodes.ts';
import { appImage, container, FACTS, instance, observedHost, planInput } from './inputs.ts';
import { steps } from './steps.ts';

const HAPROXY: WantedImage = {
  type: 'ref',
  source: { type: 'ref', name: 'haproxy', reference: 'haproxy:lts', keep: 3 },
};

function web(overrides: Partial<InstanceSpec> = {}): InstanceSpec {
  return instance({
    kind: 'webserver',
    rollout: 'proxy',
    phase: 20,
    ports: [{ bind: '*', port: 80, containerPort: 8000 }],
    ...overrides,
  });
}

function input(instances: readonly InstanceSpec[], host: Partial<ObservedHost> = {}): PlanInput {
  const made = planInput({ instances, hosts: [observedHost(host)] });
  return { ...made, images: new Map([...made.images, ['haproxy', HAPROXY]]) };
}

/** A host on which the web service runs in a slot, as the part of its proxy says. */
function running({
  slot = 'a',
  live = 'a',
}: { readonly slot?: 'a' | 'b'; readonly live?: 'a' | 'b' } = {}): ObservedHost {
  const [create] = plan(input([web()])).plan.nodes.flatMap(({ action }) =>
    action.type === 'create-container' ? [action.spec] : [],
  );
  const port = slot === 'a' ? 20_000 : 20_001;
  return observedHost({
    containers: [
      container({
        labels: { ...create?.labels, [LABELS.slot]: slot },
        imageId: 'sha256:app',
        ports: [{ address: '127.0.0.1', port, containerPort: 8000 }],
      }),
    ],
    images: [
      {
        id: 'sha256:app',
        tags: ['shop:r1', 'shop:dev'],
        digests: [],
        labels: { [LABELS.inputs]: 'inputs-1', [LABELS.version]: 'r1' },
        sizeBytes: 1,
        createdAt: 1,
      },
    ],
    networks: [{ id: 'n', name: 'shop-dev', labels: {} }],
    state: { specKey: planInput().fresh.specKey, brokerPassword: undefined, hold: undefined, hosts: [], gaps: {} },
    proxy: { isRunning: true, spec: PROXY_SPEC, parts: [partOf(live)] },
  });
}

function partOf(live: 'a' | 'b', overrides: Partial<ProxyPart> = {}): ProxyPart {
  return {
    project: 'shop',
    environment: 'dev',
    routes: [
      {
        service: 'web',
        containerPort: 8000,
        address: '',
        port: 80,
        hosts: [],
        paths: [],
        certificate: undefined,
        checkPath: undefined,
        drainMs: 10_000,
        servers: [{ instance: '1', ports: { a: 20_000, b: 20_001 }, live }],
      },
    ],
    ...overrides,
  };
}

const bindingsOf = (made: PlanInput): readonly unknown[] =>
  plan(made).plan.nodes.flatMap(({ action }) => {
    if (action.type !== 'create-container' && action.type !== 'replace-container') return [];
    const host = action.spec.body['HostConfig'];
    return [typeof host === 'object' && host !== null && 'PortBindings' in host ? host.PortBindings : undefined];
  });

test('a first webserver brings the proxy, gets a port of the loopback, and is routed once it is well', () => {
  const made = input([web()]);

  expect(steps(made).map((line) => line.replace(/: .*/, ''))).toEqual([
    'web-1/app/ship',
    'web-1/haproxy/pull',
    'web-1/shop-dev-state/state',
    'web-1/shop-dev/network',
    'web-1/cu-proxy/proxy',
    'web-1/shop-dev-web-1/create',
    'web-1/shop-dev/routes',
    'web-1/app/tag',
  ]);
  const routes = plan(made).plan.nodes.find(({ action }) => action.type === 'apply-routes');
  expect(routes?.after).toContain('web-1/shop-dev-web-1/create');
  expect(bindingsOf(made)).toEqual([
    { '8000/tcp': [{ HostIp: '127.0.0.1', HostPort: expect.stringMatching(/^2\d{4}$/) }] },
  ]);
});

test('nothing is to do when it runs in the slot that is live', () => {
  expect(steps({ ...input([web()]), hosts: [running()] })).toEqual([]);
});

test('a new version takes the other slot, needs no new routes, and the old one is drained', () => {
  const made = { ...input([web()]), hosts: [running()] };
  const next = { ...made, images: new Map([...made.images, ['app', appImage('inputs-2', 'r2')]]) };

  expect(steps(next)).toEqual([
    'web-1/app/ship: not on the host',
    'web-1/shop-dev-web-1/replace: new version r2',
    'web-1/app/tag: dev is r2',
  ]);
  expect(bindingsOf(next)).toEqual([{ '8000/tcp': [{ HostIp: '127.0.0.1', HostPort: '20001' }] }]);
  const drain = plan(next).plan.nodes.find(({ action }) => action.type === 'drain-container');
  expect(drain?.action).toMatchObject({ place: { service: 'web', instance: '1', slot: 'a' } });
});

test('requests that an interrupted run left with the wrong container are switched before anything else', () => {
  const made = { ...input([web()]), hosts: [running({ slot: 'a', live: 'b' })] };

  expect(steps(made)).toEqual(['web-1/shop-dev-web-1/switch: left by an interrupted run']);
});

test('another port or name changes routes alone', () => {
  const ports = [{ bind: '*', port: 81, containerPort: 8000 }];

  expect(steps({ ...input([web({ ports })]), hosts: [running()] })).toEqual(['web-1/shop-dev/routes: routes changed']);
});

test('replicas share a port, with a place each', () => {
  const made = input([web(), web({ instance: '2' })]);

  const [part] = plan(made).plan.nodes.flatMap(({ action }) => (action.type === 'apply-routes' ? [action.part] : []));
  expect(part?.routes).toHaveLength(1);
  const servers = part?.routes[0]?.servers ?? [];
  expect(servers.map(({ instance: name }) => name)).toEqual(['1', '2']);
  expect(new Set(servers.flatMap(({ ports }) => [ports.a, ports.b])).size).toBe(4);
});

test('places avoid every port that is taken, by whomever', () => {
  const place = (host: Partial<ObservedHost> = {}): number => {
    const [create] = bindingsOf(input([web({ ports: [{ bind: '*', port: 8080, containerPort: 8000 }] })], host));
    return Number(/"HostPort":"(\d+)"/.exec(JSON.stringify(create))?.[1]);
  };
  const wished = place();
  const [first] = partOf('a').routes;
  if (first === undefined) throw new Error('the part has a route');
  const route = { ...first, servers: [{ instance: '1', ports: { a: wished, b: 1 }, live: 'a' as const }] };

  expect(place({ facts: { ...FACTS, listening: [{ address: '127.0.0.1', port: wished }] } })).not.toBe(wished);
  expect(
    place({ containers: [container({ name: 'x', ports: [{ address: '0.0.0.0', port: wished, containerPort: 1 }] })] }),
  ).not.toBe(wished);
  expect(
    place({
      proxy: {
        isRunning: true,
        spec: PROXY_SPEC,
        parts: [partOf('a', { project: 'other', routes: [route] })],
      },
    }),
  ).not.toBe(wished);
});

test("another project's route is named before anything changes, unless names keep them apart", () => {
  const proxy = { isRunning: true, spec: PROXY_SPEC, parts: [partOf('a', { project: 'other' })] };
  const route = { hosts: ['shop.org'], paths: [], certificate: undefined };

  expect(plan(input([web()], { proxy })).problems.map(({ message }) => message)).toEqual([
    'port 80 for web leads to project other, environment dev already',
  ]);
  expect(plan(input([web({ route })], { proxy })).problems).toEqual([]);
});

test('a port that the proxy opens speaks TLS for every route or for none', () => {
  const [route] = partOf('a').routes;
  if (route === undefined) throw new Error('the part has a route');
  const problems = (other: Partial<typeof route>, own: string | undefined, bind = '*'): readonly string[] => {
    const parts = [partOf('a', { project: 'other', routes: [{ ...route, hosts: ['other.org'], ...other }] })];
    const instances = [
      web({
        ports: [{ bind, port: 80, containerPort: 8000 }],
        route: { hosts: ['shop.org'], paths: [], certificate: own },
      }),
    ];
    const made = input(instances, { proxy: { isRunning: true, spec: PROXY_SPEC, parts } });
    const certificates = new Map([['/tls.pem', { sha256: 'f'.repeat(64), pem: new Secret('pem', 'PEM') }]]);
    return plan({ ...made, certificates }).problems.map(({ message }) => message);
  };
  const theirs = 'web of project other, environment dev';

  expect(problems({}, '/tls.pem')).toEqual([`port 80 has a certificate for web and none for ${theirs}`]);
  expect(problems({ certificate: 'web-1.pem' }, undefined)).toEqual([
    `port 80 has a certificate for ${theirs} and none for web`,
  ]);
  expect(problems({ certificate: 'web-1.pem' }, '/tls.pem')).toEqual([]);
  expect(problems({}, undefined)).toEqual([]);
  expect(problems({ address: '127.0.0.1' }, '/tls.pem', 'eth1')).toEqual([]);
});

test('an interface and its address are one port, with and without TLS', () => {
  const at = (service: string, bind: string, certificate: string | undefined): InstanceSpec =>
    web({
      service,
      ports: [{ bind, port: 80, containerPort: 8000 }],
      route: { hosts: [`${service}.org`], paths: [], certificate },
    });
  const made = input([at('a', 'eth1', '/tls.pem'), at('b', '10.0.0.11', undefined)]);
  const certificates = new Map([['/tls.pem', { sha256: 'f'.repeat(64), pem: new Secret('pem', 'PEM') }]]);

  expect(plan({ ...made, certificates }).problems.map(({ message }) => message)).toEqual([
    'port 80 has a certificate for a and none for b',
  ]);
});

describe('a port that a process of the host holds is found beside a proxy that', () => {
  const wordsFor = (
    bind: string,
    { address, proxied = '' }: { readonly address: string; readonly proxied?: string },
    { isRunning = true, port = 80 } = {},
  ): readonly string[] => {
    const [route] = partOf('a').routes;
    if (route === undefined) throw new Error('the part has a route');
    const facts = { ...FACTS, listening: [{ address, port: 80 }] };
    const parts = [partOf('a', { routes: [{ ...route, address: proxied, port }] })];
    const ports = [{ bind, port: 80, containerPort: 8000 }];
    return plan(input([web({ ports })], { facts, proxy: { isRunning, spec: PROXY_SPEC, parts } })).problems.map(
      ({ message }) => message,
    );
  };
  const taken = ['port 80 for web is taken by a process of the host'];

  test('routes another port, or the port at another address', () => {
    expect(wordsFor('*', { address: '0.0.0.0' }, { port: 81 })).toEqual(taken);
    expect(wordsFor('eth1', { address: '0.0.0.0', proxied: '10.0.0.11' })).toEqual(taken);
    expect(wordsFor('*', { address: '127.0.0.1' })).toEqual(taken);
  });

  test('does not run', () => {
    expect(wordsFor('*', { address: '0.0.0.0' }, { isRunning: false })).toEqual(taken);
  });

  test('is not the one that holds it', () => {
    expect(wordsFor('*', { address: '0.0.0.0' })).toEqual([]);
    expect(wordsFor('*', { address: '::' })).toEqual([]);
    expect(wordsFor('eth1', { address: '10.0.0.11', proxied: '10.0.0.11' })).toEqual([]);
    expect(wordsFor('*', { address: '10.0.0.11', proxied: '10.0.0.11' })).toEqual([]);
  });
});

test('a container that holds the port itself hands it over, and the plan says that there is a gap', () => {
  const host = running();
  const direct = host.containers.map(({ labels: { [LABELS.slot]: _slot, ...labels }, ...each }) => ({
    ...each,
    labels,
    ports: [{ address: '0.0.0.0', port: 80, containerPort: 8000 }],
  }));
  const made = { ...input([web()]), hosts: [{ ...host, containers: direct, proxy: undefined }] };
  const next = { ...made, images: new Map([...made.images, ['app', appImage('inputs-2', 'r2')]]) };

  expect(steps(next)).toContain(
    'web-1/shop-dev-web-1/replace: new version r2, hands port 80 to the proxy: a short gap',
  );
});

test('a service that leaves the proxy gets its port before it starts', () => {
  const made = { ...input([web({ rollout: 'recreate' })]), hosts: [running()] };

  const { nodes } = plan(made).plan;
  const replace = nodes.find(({ action }) => action.type === 'replace-container');
  expect(replace?.after).toContain('web-1/shop-dev/routes');
});
