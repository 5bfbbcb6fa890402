import { describe, expect, test } from 'vitest';
import { resolvedConfig } from '../../../src/config/resolved-config.ts';
import { BROKER, briefly, instance, resolved, withServices } from './read.ts';

describe('storage', () => {
  const text = (storage: string): string =>
    withServices(`${BROKER}\nworker: { kind: worker, image: app, on: [host1, host2] }`, storage);

  test('in a directory of the hosts is mounted at the same place', () => {
    expect(instance(text('storage: { root: "file:///mnt/shared/" }'), 'host2/worker/1')).toMatchObject({
      env: { CU_STORAGE: 'file:///mnt/shared' },
      mounts: [{ type: 'bind', source: '/mnt/shared', target: '/mnt/shared', readOnly: false }],
    });
  });

  test('in a bucket comes with its secrets', () => {
    const worker = instance(text('storage: { root: "s3://bucket/p", secrets: [KEY] }'), 'host2/worker/1', {
      secrets: { KEY: 'k' },
    });

    expect(worker).toMatchObject({ env: { CU_STORAGE: 's3://bucket/p' }, mounts: [] });
    expect(worker.secrets.map((secret) => secret.name)).toEqual(['KEY']);
  });

  test('none is none', () => {
    expect(instance(text('storage: none'), 'host2/worker/1')).toMatchObject({ storage: undefined, mounts: [] });
  });
});

test('hosts have the settings that all share, and paths start at the config or at home', () => {
  const text = withServices(
    BROKER,
    'ssh: { user: deploy, identity: keys/id, proxyJump: host1, knownHosts: ["h ssh-ed25519 AAAA"] }',
  ).replace(
    'host2: { address: 192.0.2.12 }',
    'host2: { user: root, port: 2222, identity: ~/.ssh/lab, advertise: eth1 }, local: { connection: local }',
  );

  expect(resolved(text).hosts).toEqual([
    {
      name: 'host1',
      connection: 'ssh',
      address: '192.0.2.11',
      user: 'deploy',
      port: undefined,
      identity: '/project/keys/id',
      proxyJump: [],
      knownHosts: ['h ssh-ed25519 AAAA'],
      advertise: undefined,
      client: 'auto',
      dockerSocket: undefined,
    },
    {
      name: 'host2',
      connection: 'ssh',
      address: 'host2',
      user: 'root',
      port: 2222,
      identity: '/home/me/.ssh/lab',
      proxyJump: ['host1'],
      knownHosts: ['h ssh-ed25519 AAAA'],
      advertise: 'eth1',
      client: 'auto',
      dockerSocket: undefined,
    },
    {
      name: 'local',
      connection: 'local',
      address: 'localhost',
      user: undefined,
      port: undefined,
      identity: undefined,
      proxyJump: [],
      knownHosts: ['h ssh-ed25519 AAAA'],
      advertise: undefined,
      client: 'auto',
      dockerSocket: undefined,
    },
  ]);
});

test('images are built from a folder below the config, and a registry is told from a folder by its dot or port', () => {
  const images = (image: string): unknown =>
    resolved(withServices(BROKER).replace('app: { build: {} }', image)).images[0];

  expect(images('app: { build: { context: src, args: { A: 1, B: null } } }')).toEqual({
    type: 'build',
    name: 'app',
    repository: 'shop-app',
    registry: undefined,
    context: '/project/src',
    dockerfile: 'Dockerfile',
    target: undefined,
    args: { A: '1', B: null },
    secrets: [],
    platform: undefined,
    on: 'local',
    keep: 3,
  });
  expect(images('app: { repository: "registry.example.org/team/app", build: {} }')).toMatchObject({
    registry: 'registry.example.org',
  });
  expect(images('app: { repository: "localhost:5000/app", build: {} }')).toMatchObject({ registry: 'localhost:5000' });
  expect(images('app: { repository: "team/app", build: {} }')).toMatchObject({ registry: undefined });
});

test('a version such as 3.10 stays what it is written as', () => {
  const text = withServices(
    'tiles: { kind: container, image: app, on: [host1], env: { A: 3.10, B: 007, C: true, D: 1e3 } }',
  );

  expect(instance(text, 'host1/tiles/1').env).toMatchObject({ A: '3.10', B: '007', C: 'true', D: '1e3' });
});

test('the resolved config shows the name of a secret, never its value', () => {
  const text = withServices(`${BROKER}\ntiles: { kind: container, image: app, on: [host1], secrets: [TOKEN] }`);

  const shown = JSON.stringify(
    resolvedConfig(resolved(text, { secrets: { TOKEN: 'hunter2', BROKER_PASSWORD: 'hunter3' } })),
  );

  expect(shown).not.toContain('hunter');
  expect(shown).toContain('{"secret":"TOKEN"}');
});

test.each(['[/etc/ssh/ssh_known_hosts]', '"h ssh-ed25519"', '[h]'])('%s is no line of known_hosts', (lines) => {
  const text = withServices(BROKER, `ssh: { knownHosts: ${lines} }`);

  expect(briefly(text).join()).toContain('ssh.knownHosts: expected lines of a known_hosts file');
});
