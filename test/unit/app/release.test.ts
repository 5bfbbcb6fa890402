import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { newRelease, reasonOf, releaseConfig, releaseImages } from '../../../src/app/release.ts';
import type { ReleaseParts } from '../../../src/app/release.ts';
import { chooseEnvironment } from '../../../src/config/load.ts';
import type { EnvironmentConfig } from '../../../src/config/parse.ts';
import { resolveConfig } from '../../../src/config/resolve.ts';
import { createSecretStore, neededSecrets } from '../../../src/config/secrets.ts';
import { CuError } from '../../../src/core/error.ts';
import type { ImageIds } from '../../../src/core/release.ts';
import { Secret } from '../../../src/core/secret.ts';
import { LABELS } from '../../../src/core/state.ts';
import type { Desired, ObservedImage } from '../../../src/core/state.ts';
import { unpackDocument } from '../../../src/history/document.ts';
import type { WantedImage } from '../../../src/plan/input.ts';
import { parsed, withServices } from '../config/read.ts';
import { observedHost } from '../plan/inputs.ts';

const SECRETIVE = `project: shop
ssh: { user: deploy, identity: keys/id }
hosts: { host1: { address: 192.0.2.11 }, host2: { address: 192.0.2.12 } }
secrets: { files: [.cu/secrets.env], required: [REQUIRED] }
registries: { registry.example.org: { username: bot, password: { secret: REGISTRY } } }
storage: { root: "s3://bucket/p", secrets: [BUCKET] }
images:
  app: { repository: registry.example.org/shop, build: { secrets: [PIP] } }
  redis: { ref: "redis:8" }
services:
  broker: { kind: redis, on: [host1], ports: ["eth1:6379"], password: { secret: BROKER } }
  worker: { kind: worker, image: app, on: { host1: { secrets: [TOKEN] }, host2: {} }, secrets: [OTHER] }
`;
const NAMES = ['REQUIRED', 'REGISTRY', 'BUCKET', 'PIP', 'BROKER', 'TOKEN', 'OTHER'];

function environmentOf(text: string, name?: string): EnvironmentConfig {
  return chooseEnvironment(parsed(text), name);
}

function desiredOf(environment: EnvironmentConfig): Desired {
  const needed = neededSecrets(environment.config);
  const values = Object.fromEntries(needed.map(({ name }) => [name, `hunter2-${name}`]));
  const store = createSecretStore([], values, needed);
  return resolveConfig(environment, { directory: '/project', home: '/home/me', store });
}

function recorded(text: string, changes: Partial<ReleaseParts> = {}, name?: string): ReturnType<typeof newRelease> {
  const environment = environmentOf(text, name);
  const desired = desiredOf(environment);
  return newRelease({
    kind: 'deploy',
    targets: [],
    sequence: 3,
    who: 'ana@laptop',
    startedAt: Date.UTC(2026, 10, 23, 9, 5, 7),
    suffix: '0a1b',
    commit: { commit: 'a1b2', isDirty: true },
    origin: undefined,
    environment,
    desired,
    observed: [],
    images: wantedOf(desired),
    instances: desired.instances,
    plan: { nodes: [] },
    ...changes,
  });
}

function wantedOf(desired: Desired): ReadonlyMap<string, WantedImage> {
  return new Map(
    desired.images.map((source): [string, WantedImage] => [
      source.name,
      source.type === 'ref'
        ? { type: 'ref', source }
        : { type: 'build', source, inputs: 'i1', version: 'r1', origin: undefined },
    ]),
  );
}

describe('a release', () => {
  test('holds no secret, wherever the config uses them', () => {
    const release = recorded(SECRETIVE);

    expect(neededSecrets(environmentOf(SECRETIVE).config).map(({ name }) => name)).toEqual(
      expect.arrayContaining(NAMES),
    );
    expect(JSON.stringify(release)).not.toContain('hunter2');
    expect(JSON.stringify(unpackDocument(release.config))).not.toContain('hunter2');
  });

  test('says what ran where, and how a host is reached that may be gone later', () => {
    const image = {
      id: 'sha256:redis',
      tags: ['redis:8'],
      digests: [],
      labels: {},
      sizeBytes: 1,
      createdAt: 1,
    };

    const release = recorded(SECRETIVE, { observed: [observedHost({ name: 'host1', images: [image] })] });

    expect(release).toMatchObject({
      id: '20261123-090507-0a1b',
      project: 'shop',
      environment: 'dev',
      commit: 'a1b2',
      isDirty: true,
      images: {
        app: { type: 'build', version: 'r1', inputs: 'i1', repository: 'registry.example.org/shop', ids: {} },
        redis: { type: 'ref', reference: 'redis:8', ids: { host1: 'sha256:redis' } },
      },
    });
    expect(release.hosts[0]).toEqual({
      name: 'host1',
      connection: 'ssh',
      address: '192.0.2.11',
      user: 'deploy',
      port: undefined,
      identity: '/project/keys/id',
      proxyJump: [],
      client: 'auto',
      dockerSocket: undefined,
    });
  });
});

describe('the images of a release', () => {
  const desired = desiredOf(environmentOf(SECRETIVE));
  const image = (id: string): ObservedImage => ({
    id,
    tags: ['registry.example.org/shop:r1'],
    digests: [],
    labels: { [LABELS.inputs]: 'i1' },
    sizeBytes: 1,
    createdAt: 1,
  });
  const observed = ['host1', 'host2', 'idle'].map((name) => observedHost({ name, images: [image('sha256:old')] }));
  const { instances } = desired;
  const idsOf = (change: Partial<Extract<WantedImage, { type: 'build' }>>, made: ImageIds = {}): ImageIds => {
    const images = new Map(
      [...wantedOf(desired)].map(([name, each]) => [name, each.type === 'build' ? { ...each, ...change } : each]),
    );
    return releaseImages({ images, observed, instances }, { app: made })['app']?.ids ?? {};
  };

  test('are known by the id that each host which runs them has', () => {
    expect(idsOf({})).toEqual({ host1: 'sha256:old', host2: 'sha256:old' });
  });

  test('are what was built and sent, not what was there before', () => {
    const origin = { host: 'builder', isBuilt: false } as const;

    expect(idsOf({ origin })).toEqual({});
    expect(
      idsOf({ origin }, { builder: 'sha256:a', host1: 'sha256:a', host2: 'sha256:b', idle: 'sha256:old' }),
    ).toEqual({
      builder: 'sha256:a',
      host1: 'sha256:a',
      host2: 'sha256:b',
    });
  });

  test('keep the ids of the release that is gone back to', () => {
    expect(idsOf({ ids: { host1: 'sha256:old', gone: 'sha256:x' } })).toEqual({
      host1: 'sha256:old',
      host2: 'sha256:old',
      gone: 'sha256:x',
    });
  });
});

describe('the config of a release', () => {
  const TEMPLATE = readFileSync(
    fileURLToPath(new URL('../../../templates/app/cu.config.yaml', import.meta.url)),
    'utf8',
  );

  test.each([
    ['a config full of secrets', SECRETIVE, undefined],
    ['the template, dev', TEMPLATE, 'dev'],
    ['the template, stable', TEMPLATE, 'stable'],
    [
      'odd scalars',
      withServices('a: { kind: container, image: app, on: [host1], env: { A: 3.10, B: 007, C: yes, D: "a\\x7f" } }'),
      undefined,
    ],
  ])('comes out as it went in: %s', (_name, text, name) => {
    const current = environmentOf(text, name);

    const stored = releaseConfig(recorded(text, {}, name), current);

    expect(stored).toMatchObject({ name: current.name, tag: current.tag, config: current.config });
  });

  test('has the hosts, the keys and the secrets of today, and all else of then', () => {
    const today = environmentOf(
      SECRETIVE.replace('192.0.2.12', '198.51.100.7')
        .replace('identity: keys/id', 'identity: keys/new')
        .replace('REQUIRED', 'OTHER')
        .replace('secrets: [OTHER] }', 'secrets: [OTHER], replicas: 4 }'),
    );

    const { config } = releaseConfig(recorded(SECRETIVE), today);

    expect(config.hosts['host2']?.address).toBe('198.51.100.7');
    expect(config.ssh.identity).toBe('keys/new');
    expect(config.secrets.required).toEqual(['OTHER']);
    expect(config.services['worker']?.replicas).toBeUndefined();
  });

  test('that needs a host which is gone says which, and whose', () => {
    const today = environmentOf(
      SECRETIVE.replace(', host2: { address: 192.0.2.12 }', '').replace(', host2: {} }', ' }'),
    );

    expect(() => releaseConfig(recorded(SECRETIVE), today)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: 'release 20261123-090507-0a1b needs what the config no longer has: host host2 (of worker)',
      }),
    );
  });

  test('that was damaged is told as such', () => {
    const release = { ...recorded(SECRETIVE), config: 'AAAA' };

    expect(() => releaseConfig(release, environmentOf(SECRETIVE))).toThrow('cannot be read');
  });
});

test('a reason is one line without a secret', () => {
  const errors = [
    new CuError('UNHEALTHY', 'said:\n  password hunter2 is wrong', { host: 'host1' }),
    new CuError('TIMEOUT', 'too long'),
  ];

  expect(reasonOf(errors, [new Secret('TOKEN', 'hunter2')])).toBe(
    'host1: said: password [redacted] is wrong (and 1 more)',
  );
  expect(reasonOf([], [])).toBeUndefined();
});
