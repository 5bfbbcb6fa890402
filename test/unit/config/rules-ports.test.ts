import { expect, test } from 'vitest';
import { briefly, withServices } from './read.ts';

function words(services: string): readonly string[] {
  return briefly(withServices(services)).map((line) => line.replace(/^\d+:\d+ /, ''));
}

test.each(['["*:80", "*:80:8000"]', '["*:80:8000", "127.0.0.1:80:9000"]'])(
  'one instance has a port once: %s',
  (ports) => {
    expect(words(`web: { kind: webserver, image: app, on: [host1], ports: ${ports} }`)).toEqual([
      'services.web.ports.1: port 80 stands twice in the ports of web',
    ]);
  },
);

test('a path with and without a slash at its end is one', () => {
  const at = (name: string, path: string): string =>
    `${name}: { kind: webserver, image: app, on: [host1], ports: ["*:80"], route: { paths: [${path}] } }`;

  expect(words(`${at('a', '/api')}\n${at('b', '/api/')}`)).toEqual([
    expect.stringContaining('services.b.ports.0: port 80 of host1'),
  ]);
});
