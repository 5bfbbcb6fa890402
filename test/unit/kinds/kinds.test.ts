import { describe, expect, test } from 'vitest';
import type { InstanceSpec } from '../../../src/core/state.ts';
import { BROKER, instance, resolved, withServices } from '../config/read.ts';

/** The command in one line. */
function commandOf({ command }: InstanceSpec): string {
  return (command ?? []).join(' ');
}

test('a worker runs the runtime, is asked for its heartbeat, and told all that it needs', () => {
  const text = withServices(
    `${BROKER}\nworker: { kind: worker, image: app, user: app, queues: [celery, big], concurrency: 4, drain: 90s, offers: { gpu: 1 }, on: { host1: { replicas: 2 } } }`,
  );

  const second = instance(text, 'host1/worker/2');

  expect(second.command).toEqual(['python', '-m', 'cu', 'worker']);
  expect(second.health).toEqual({
    type: 'command',
    command: ['sh', '-c', expect.stringContaining('stat -c %Y')],
    intervalMs: 1000,
    timeoutMs: 60_000,
    retries: 0,
    startPeriodMs: 0,
    stableMs: 5000,
  });
  expect(second.env).toEqual({
    CU_PROJECT: 'shop',
    CU_ENV: 'dev',
    CU_HOST: 'host1',
    CU_SERVICE: 'worker',
    CU_INSTANCE: '2',
    CU_STORAGE: 'file:///var/lib/cu/storage',
    CU_QUEUES: 'celery,big',
    CU_CONCURRENCY: '4',
    CU_OFFERS: '{"gpu":1}',
    CU_DRAIN: '90',
  });
  expect(second).toMatchObject({
    containerName: 'shop-dev-worker-2',
    user: { type: 'ids', uid: 1000, gid: 1000 },
    mounts: [{ type: 'volume', name: 'shop-dev-storage', target: '/var/lib/cu/storage', readOnly: false }],
    phase: 10,
    drainMs: 90_000,
    stopSignal: 'SIGTERM',
    rollout: 'start-first',
    brokerUser: 'worker',
    storage: 'file:///var/lib/cu/storage',
  });
});

test('an own command has no health of its own, but has to keep running for a moment, and reaches all of the broker', () => {
  const worker = instance(
    withServices(`${BROKER}\nworker: { kind: worker, image: app, command: [my, worker], on: [host1] }`),
    'host1/worker/1',
  );

  expect(commandOf(worker)).toBe('my worker');
  expect(worker.health).toMatchObject({ type: 'none', stableMs: 5000 });
  expect(worker).toMatchObject({
    stopSignal: undefined,
    brokerUser: 'admin',
    env: { CU_QUEUES: 'celery', CU_DRAIN: '600' },
  });
});

test('who logs in to the broker as whom', () => {
  const text = withServices(
    `${BROKER}
worker: { kind: worker, image: app, on: [host1] }
web: { kind: webserver, image: app, on: [host1] }
beat: { kind: beat, image: app, on: [host1] }
flower: { kind: flower, image: app, on: [host1] }
tiles: { kind: container, image: app, on: [host1] }
own: { kind: webserver, image: app, command: [serve], on: [host1] }
wrapped: { kind: flower, image: app, entrypoint: [tini, --], on: [host1] }`,
  );

  expect(resolved(text).instances.map(({ service, brokerUser }) => `${service} ${brokerUser}`)).toEqual([
    'broker undefined',
    'worker worker',
    'web web',
    'beat worker',
    'flower worker',
    'tiles admin',
    'own admin',
    'wrapped admin',
  ]);
});

test('the timing of a check can be changed without the check', () => {
  const worker = instance(
    withServices(`${BROKER}\nworker: { kind: worker, image: app, health: { timeout: 5m }, on: [host1] }`),
    'host1/worker/1',
  );

  expect(worker.health).toMatchObject({ type: 'command', timeoutMs: 300_000 });
});

describe('the broker', () => {
  test('is a Redis that keeps every accepted task, with a password', () => {
    const desired = resolved(withServices(BROKER));
    const [broker] = desired.instances;

    expect(broker).toMatchObject({
      image: 'redis',
      command: ['redis-server', '/run/cu/redis.conf'],
      mounts: [{ type: 'volume', name: 'shop-dev-broker', target: '/data', readOnly: false }],
      health: { type: 'redis', port: 6379, timeoutMs: 60_000 },
      phase: 0,
      rollout: 'recreate',
      brokerUser: undefined,
    });
    expect(broker?.files).toEqual([
      {
        path: '/run/cu/redis.conf',
        mode: 0o444,
        content: [
          'bind * -::*\nport 6379\nprotected-mode no\nuser default off resetpass ~* &* +@all\n',
          'user admin on #',
          { type: 'broker-password-sha256', user: 'admin' },
          ' ~* &* +@all\n',
          'user web on #',
          { type: 'broker-password-sha256', user: 'web' },
          ' ~cu:shop:dev:* &cu:shop:dev:* +@all -@admin -@dangerous +info\n',
          'user worker on #',
          { type: 'broker-password-sha256', user: 'worker' },
          ' ~cu:shop:dev:* &cu:shop:dev:* &cu:shop:dev:mq:/0.celery.pidbox &cu:shop:dev:mq:/0.celeryev/* &cu:shop:dev:mq:/0.celeryev/worker.* +@all -@admin -@dangerous +info\n',
          'dir /data\nappendonly yes\nappendfsync always\nsave ""\nmaxmemory-policy noeviction\n',
        ],
      },
    ]);
    expect(desired.images).toContainEqual({ type: 'ref', name: 'redis', reference: 'redis:8', keep: 3 });
    expect(desired.broker).toEqual({
      host: 'host1',
      service: 'broker',
      containerPort: 6379,
      published: { bind: 'eth1', port: 6379, containerPort: 6379 },
      password: undefined,
    });
  });

  test('listens where its ports say, and syncs as told', () => {
    const desired = resolved(
      withServices('broker: { kind: redis, fsync: everysec, on: [host1], ports: ["eth1:6380"] }'),
    );

    expect(desired.instances[0]?.files[0]?.content[0]).toMatch(/port 6380\n/);
    expect(desired.instances[0]?.files[0]?.content.at(-1)).toMatch(/\nappendfsync everysec\n/);
    expect(desired.broker).toMatchObject({ containerPort: 6380 });
  });

  test('takes BROKER_PASSWORD when it is set, or the secret that it names', () => {
    expect(resolved(withServices(BROKER), { secrets: { BROKER_PASSWORD: 'p' } }).broker?.password?.reveal()).toBe('p');
    const own = withServices('broker: { kind: redis, on: [host1], password: { secret: MINE } }');
    expect(resolved(own, { secrets: { MINE: 'm', BROKER_PASSWORD: 'p' } }).broker?.password?.reveal()).toBe('m');
    expect(() => resolved(own)).toThrow(
      'services.broker.password.secret: the secret MINE is missing: looked in the environment',
    );
  });
});

test('a webserver is told its port and asked for its health', () => {
  const web = instance(
    withServices('web: { kind: webserver, image: app, on: [host1], ports: ["*:80:8000"] }'),
    'host1/web/1',
  );

  expect(web).toMatchObject({
    command: ['python', '-m', 'cu', 'web'],
    env: { CU_PORT: '8000', CU_STORAGE: 'file:///var/lib/cu/storage' },
    ports: [{ bind: '*', port: 80, containerPort: 8000 }],
    health: { type: 'http', path: '/healthz', port: 8000, intervalMs: 200, timeoutMs: 60_000 },
    phase: 20,
    rollout: 'proxy',
    drainMs: 30_000,
    brokerUser: undefined,
  });
});

test('a webserver that publishes nothing is asked where the runtime listens; one with a server of its own is not', () => {
  const text = withServices(
    'web: { kind: webserver, image: app, on: [host1] }\nown: { kind: webserver, image: app, command: [serve], on: [host1] }',
  );

  expect(instance(text, 'host1/web/1')).toMatchObject({
    env: { CU_PORT: '8123' },
    health: { type: 'http', port: 8123 },
  });
  expect(instance(text, 'host1/own/1')).toMatchObject({ command: ['serve'], health: { type: 'none' } });
  expect(instance(text, 'host1/own/1').env).not.toHaveProperty('CU_PORT');
});

test('beat and flower', () => {
  const text = withServices(
    `${BROKER}\nbeat: { kind: beat, image: app, on: [host1] }\nflower: { kind: flower, image: app, on: [host1], ports: ["127.0.0.1:5555"] }`,
  );

  expect(commandOf(instance(text, 'host1/beat/1'))).toBe('python -m cu beat');
  expect(instance(text, 'host1/beat/1')).toMatchObject({
    singleton: true,
    rollout: 'recreate',
    health: { type: 'command' },
    env: { CU_STORAGE: 'file:///var/lib/cu/storage' },
    mounts: [{ type: 'volume', name: 'shop-dev-storage', target: '/var/lib/cu/storage', readOnly: false }],
  });
  expect(commandOf(instance(text, 'host1/flower/1'))).toBe('celery -A cu.worker:app flower --port=5555');
  expect(instance(text, 'host1/flower/1')).toMatchObject({
    rollout: 'recreate',
    phase: 20,
    health: { type: 'tcp', port: 5555 },
  });
});

test('a plain container that writes a volume is not started twice at once', () => {
  const rollout = (more: string): string =>
    instance(withServices(`tiles: { kind: container, image: app, on: [host1]${more} }`), 'host1/tiles/1').rollout;

  expect(rollout('')).toBe('start-first');
  expect(rollout(', mounts: ["data:/data:ro", "/srv:/srv"]')).toBe('start-first');
  expect(rollout(', mounts: ["data:/data"]')).toBe('recreate');
  expect(rollout(', ports: ["*:80"]')).toBe('recreate');
});

test('a webserver of another make that writes a volume is not started twice at once either, unless it is told to', () => {
  const rollout = (more: string): string =>
    instance(withServices(`site: { kind: webserver, image: app, on: [host1], ports: ["*:80"]${more} }`), 'host1/site/1')
      .rollout;

  expect(rollout(', command: [serve]')).toBe('proxy');
  expect(rollout(', command: [serve], mounts: ["data:/data:ro"]')).toBe('proxy');
  expect(rollout(', command: [serve], mounts: ["data:/data"]')).toBe('recreate');
  expect(rollout(', command: [serve], mounts: ["data:/data"], rollout: proxy')).toBe('proxy');
  expect(rollout(', command: [serve], mounts: ["data:/data"], route: { hosts: [example.org] }')).toBe('proxy');
  expect(rollout(', mounts: ["data:/data"]')).toBe('proxy');
});
