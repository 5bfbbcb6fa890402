import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { CuError } from '../../../src/core/error.ts';
import { parseConfig } from '../../../src/config/parse.ts';
import { formatProblem } from '../../../src/config/problem.ts';
import { resolveConfig } from '../../../src/config/resolve.ts';
import { createSecretStore } from '../../../src/config/secrets.ts';

const RUNS = 5_500;
const LIMIT_MS = 120_000;

const CONFIGS = [
  `project: rasters
environments: { dev: { default: true }, stable: { services: { broker: { ports: ["eth1:6380"] }, web: { ports: ["*:80"] } } } }
ssh: { user: deploy, port: 22 }
hosts: { host1: { address: 192.0.2.11, advertise: eth1 }, host2: { address: 192.0.2.12, proxyJump: host1 } }
images: { app: { repository: rasters, build: { args: { A: "1", B: null } } }, redis: { ref: "redis:8" } }
users: { app: { uid: 1000 } }
secrets: { required: [TOKEN] }
storage: { root: "file:///mnt/shared" }
services:
  broker: { kind: redis, on: [host1], ports: ["eth1:6379"] }
  worker:
    kind: worker
    image: app
    user: app
    memory: 70%
    mounts: ["models:/models"]
    on: { host1: { replicas: 2 }, host2: { instances: { big: { queues: [big], gpus: all, offers: { gpu: 1 } } } } }
  web: { kind: webserver, image: app, on: [host1], ports: ["*:8123"], health: { type: http, path: /healthz, interval: 1s } }
`,
  `project: tiny
hosts: { local: { connection: local } }
images: { app: { build: {} } }
services:
  tiles: &t { kind: container, image: app, env: { A: 1 }, ulimits: { nofile: 10 }, labels: { team: maps }, dependsOn: [other] }
  other: { <<: *t, dependsOn: [], ports: ["127.0.0.1:80:8080"], secrets: [TOKEN], cpus: 1.5 }
`,
] as const;

const JUNK = [
  '{',
  '}',
  '[',
  ']',
  ':',
  ': ',
  '- ',
  '\n',
  '\t',
  '  ',
  '#',
  '"',
  "'",
  '&a ',
  '*a',
  '*',
  '!',
  '!!str ',
  '|',
  '>',
  '<<: ',
  '%',
  '@',
  '`',
  '?',
  ',',
  '~',
  'null',
  '---\n',
  '...\n',
  '__proto__',
  'constructor',
  'toString',
  'yes',
  '0x10',
  '1e999',
  '.nan',
  '-0',
  '007',
  '9'.repeat(400),
  '\0',
  '\uFEFF',
  '\u2028',
  '\uD800',
  '💥',
  '\r',
  'a'.repeat(300),
  'services',
  'hosts',
  'on',
  'kind',
  'redis',
  'beat',
  'sshfs',
  'local',
  'host1',
  'host2',
  'environments',
  'instances',
  'replicas',
  'start-first',
  'none',
  '"*:6379"',
  '[]',
  '{}',
];

/** One change of a text: at a place, over a length, with a filling. */
const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.oneof(fc.constant(0), fc.nat(8), fc.nat(200)),
  filling: fc.oneof(fc.constantFrom(...JUNK), fc.constant('copy'), fc.string({ unit: 'binary', maxLength: 6 })),
});

function change(
  text: string,
  { at, length, filling }: { readonly at: number; readonly length: number; readonly filling: string },
): string {
  const from = Math.floor(at * text.length);
  const inner = filling === 'copy' ? text.slice(from, from + length).repeat(2) : filling;
  return text.slice(0, from) + inner + text.slice(from + length);
}

/** What must hold whatever the text: a config that resolves, or problems that print. */
function check(text: string): void {
  const result = parseConfig(text, 'cu.config.yaml');
  if (result.type === 'invalid') {
    expect(result.problems.length).toBeGreaterThan(0);
    for (const problem of result.problems) {
      expect(formatProblem(problem)).toMatch(/^cu\.config\.yaml:[1-9]\d*:[1-9]\d* \S/);
      // What is quoted is the file's own.
      expect(problem.message.replaceAll(/"(\\.|[^"\\])*("|$)/g, '')).not.toMatch(
        /undefined|\[object|NaN|Invalid input/,
      );
    }
    return;
  }
  const store = createSecretStore([], { TOKEN: 't' }, []);
  for (const environment of result.parsed.environments) {
    try {
      resolveConfig(environment, { directory: '/project', home: '/home/me', store });
    } catch (error) {
      expect(error).toBeInstanceOf(CuError);
    }
  }
}

test('the configs that are mutated are valid', () => {
  for (const text of CONFIGS) expect(parseConfig(text, 'cu.config.yaml')).toMatchObject({ type: 'valid' });
});

test(
  'a valid config with any edits of its text is a config or problems',
  () => {
    fc.assert(
      fc.property(fc.constantFrom(...CONFIGS), fc.array(edit, { minLength: 1, maxLength: 4 }), (text, edits) =>
        check(edits.reduce(change, text)),
      ),
      { numRuns: RUNS },
    );
  },
  LIMIT_MS,
);

test(
  'a valid config with any of its values replaced, moved or removed is a config or problems',
  () => {
    const junk = fc.oneof(
      fc.constantFrom<unknown>(null, true, 0, -1, 1e21, 0.1, '', 'x', [], {}, [null], [[]], { a: null }, ...JUNK),
      fc.jsonValue({ maxDepth: 2 }),
    );
    const values = CONFIGS.map((text): unknown => parse(text, { merge: true }));
    fc.assert(
      fc.property(
        fc.constantFrom(...values),
        fc.array(fc.tuple(fc.nat(), fc.constantFrom('value', 'key', 'remove'), junk), { minLength: 1, maxLength: 3 }),
        (value, changes) =>
          check(
            JSON.stringify(
              changes.reduce(
                (current, [at, how, filling]) => replaced(current, { at, how, filling }),
                structuredClone(value),
              ),
            ),
          ),
      ),
      { numRuns: RUNS },
    );
  },
  LIMIT_MS,
);

interface Change {
  readonly at: number;
  readonly how: string;
  readonly filling: unknown;
}

/** The value with one of its inner values changed. */
function replaced(value: unknown, change: Change): unknown {
  const places = listPlaces(value);
  const place = places[change.at % Math.max(1, places.length)];
  if (place === undefined) return change.filling;
  const { parent, key } = place;
  if (Array.isArray(parent)) {
    if (change.how === 'remove') parent.splice(Number(key), 1);
    else parent[Number(key)] = change.filling;
    return value;
  }
  const { [key]: before, ...rest } = parent;
  for (const name of Object.keys(parent)) delete parent[name];
  Object.assign(parent, rest);
  if (change.how === 'value') parent[key] = change.filling;
  if (change.how === 'key')
    Object.defineProperty(
      parent,
      typeof change.filling === 'string' ? change.filling : JSON.stringify(change.filling),
      { value: before, enumerable: true, configurable: true, writable: true },
    );
  return value;
}

type Place =
  | { readonly parent: unknown[]; readonly key: string }
  | { readonly parent: Record<string, unknown>; readonly key: string };

function listPlaces(value: unknown): readonly Place[] {
  if (Array.isArray(value))
    return value.flatMap((inner: unknown, index) => [
      { parent: value as unknown[], key: String(index) },
      ...listPlaces(inner),
    ]);
  if (typeof value !== 'object' || value === null) return [];
  const parent = value as Record<string, unknown>;
  return Object.entries(parent).flatMap(([key, inner]) => [{ parent, key }, ...listPlaces(inner)]);
}
