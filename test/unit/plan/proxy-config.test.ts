import { array, assert, boolean, constantFrom, property, record, shuffledSubarray, uniqueArray } from 'fast-check';
import { expect, test } from 'vitest';
import type { ProxyPart, ProxyRoute } from '../../../src/core/proxy.ts';
import { needsReload, renderProxyConfig } from '../../../src/plan/proxy/config.ts';

function route(overrides: Partial<ProxyRoute> = {}): ProxyRoute {
  return {
    service: 'web',
    containerPort: 8000,
    address: '',
    port: 80,
    hosts: [],
    paths: [],
    certificate: undefined,
    checkPath: '/healthz',
    drainMs: 30_000,
    servers: [{ instance: '1', ports: { a: 20_000, b: 20_001 }, live: 'a' }],
    ...overrides,
  };
}

function part(routes: readonly ProxyRoute[], project = 'shop'): ProxyPart {
  return { project, environment: 'dev', routes };
}

const render = (...parts: readonly ProxyPart[]): string => renderProxyConfig(parts, { socketGid: 999 });

function section(text: string, name: string): readonly string[] {
  const lines = text.split('\n');
  const start = lines.indexOf(name);
  const end = lines.findIndex((line, index) => index > start && line === '');
  return lines.slice(start + 1, end).map((line) => line.trim());
}

test('an instance has two places, of which the one that does not serve is disabled', () => {
  expect(section(render(part([route()])), 'backend shop-dev-web-8000')).toEqual([
    'balance leastconn',
    'option httpchk',
    'http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host localhost',
    'server 1-a 127.0.0.1:20000 check',
    'server 1-b 127.0.0.1:20001 check disabled',
  ]);
});

test('the status that means well is the one that the health check asks for', () => {
  expect(section(render(part([route({ checkStatus: 401 })])), 'backend shop-dev-web-8000')).toContain(
    'http-check expect status 401',
  );
});

test('two addresses that lead to one service share its backend', () => {
  const text = render(part([route({ address: '10.0.0.1' }), route({ address: '127.0.0.1' })]));

  expect(text.match(/^backend shop-dev-web-8000$/gm)).toHaveLength(1);
  expect(text.match(/^ {2}default_backend shop-dev-web-8000$/gm)).toHaveLength(2);
});

test('names come before all names, wildcards between them, and longer paths before shorter ones', () => {
  const text = render(
    part([
      route({ service: 'rest' }),
      route({ service: 'site', hosts: ['shop.org'] }),
      route({ service: 'api', hosts: ['shop.org'], paths: ['/api', '/api/v2.1'] }),
      route({ service: 'sub', hosts: ['*.shop.org'] }),
    ]),
  );

  expect(section(text, 'frontend port-any-80')).toEqual([
    'bind *:80',
    String.raw`use_backend shop-dev-api-8000 if { req.hdr(host),field(1,:),lower shop.org } { path -m reg ^/api/v2\\.1(/|$) }`,
    'use_backend shop-dev-api-8000 if { req.hdr(host),field(1,:),lower shop.org } { path -m reg ^/api(/|$) }',
    'use_backend shop-dev-site-8000 if { req.hdr(host),field(1,:),lower shop.org }',
    'use_backend shop-dev-sub-8000 if { req.hdr(host),field(1,:),lower -m end .shop.org }',
    'default_backend shop-dev-rest-8000',
  ]);
});

test('a certificate makes a port speak TLS, and services hear of it', () => {
  const lines = section(
    render(part([route({ certificate: 'web-0a1b.pem', address: '10.0.0.1' })])),
    'frontend port-10.0.0.1-80',
  );

  expect(lines[0]).toBe('bind 10.0.0.1:80 ssl crt /etc/cu-proxy/certs/shop-dev-web-0a1b.pem alpn h2,http/1.1');
  expect(lines[1]).toBe('http-request set-header X-Forwarded-Proto https');
});

test('old processes are given the longest drain of all, and a little more', () => {
  expect(render(part([route({ drainMs: 90_000 })]), part([route({ port: 81 })], 'other'))).toContain(
    'hard-stop-after 150s',
  );
});

const routes = uniqueArray(
  record({
    service: constantFrom('web', 'api', 'docs'),
    port: constantFrom(80, 81),
    hosts: shuffledSubarray(['a.org', '*.b.org']),
    paths: shuffledSubarray(['/x', '/y/z']),
    isLiveB: boolean(),
  }),
  { selector: ({ service, port }) => `${service} ${port}`, maxLength: 4 },
).map((all) =>
  all.map(({ service, port, hosts, paths, isLiveB }) =>
    route({
      service,
      port,
      hosts,
      paths,
      servers: [{ instance: '1', ports: { a: 20_000 + port, b: 21_000 + port }, live: isLiveB ? 'b' : 'a' }],
    }),
  ),
);

test('the same parts in another order give the same config', () => {
  assert(
    property(routes, routes, (one, other) => {
      const [a, b] = [part(one), part(other, 'other')];

      expect(render(part(one.toReversed()), b)).toBe(render(a, b));
      expect(render(b, a)).toBe(render(a, b));
    }),
  );
});

test('a switch needs no reload, and everything else does', () => {
  assert(
    property(routes, array(boolean(), { minLength: 4, maxLength: 4 }), (all, live) => {
      const switched = all.map((each, index) => ({
        ...each,
        servers: each.servers.map((server) => ({
          ...server,
          live: live[index] === true ? ('b' as const) : ('a' as const),
        })),
      }));

      expect(needsReload(render(part(all)), render(part(switched)))).toBe(false);
      expect(needsReload(render(part(all)), render(part([...all, route({ service: 'new', port: 99 })])))).toBe(true);
    }),
  );
});
