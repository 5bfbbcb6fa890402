import type { Action, PlanNode } from '../../../src/core/action.ts';
import type { ContainerSpec } from '../../../src/core/container.ts';

export function node(id: string, action: Action, more: { cause?: string; after?: readonly string[] } = {}): PlanNode {
  return { id, host: id.split('/')[0] ?? '', action, cause: more.cause ?? 'not found', after: more.after ?? [] };
}

function containerSpec(name: string, service: string, instance = service): ContainerSpec {
  return {
    name,
    service,
    instance,
    kind: 'container',
    image: 'app',
    env: {},
    files: [],
    uid: undefined,
    gid: undefined,
    labels: {},
    body: {},
    network: 'shop-dev',
    health: { type: 'none', intervalMs: 1000, timeoutMs: 1000, retries: 3, startPeriodMs: 0, stableMs: 0 },
    volumes: [],
    probeSecret: undefined,
    drainMs: 0,
  };
}

export const build = node(
  'local/app/build',
  { type: 'build-image', image: 'app', version: 'r2.h1', inputs: 'x' },
  { cause: 'code changed' },
);

const pull = node('web-1/redis/pull', { type: 'pull-image', image: 'redis', reference: 'redis:8' });

export const start = node(
  'web-1/shop-dev-broker/start',
  { type: 'create-container', spec: containerSpec('shop-dev-broker', 'broker') },
  { after: ['web-1/redis/pull'] },
);

export const replace = node(
  'web-2/shop-dev-worker-big/replace',
  {
    type: 'replace-container',
    spec: containerSpec('shop-dev-worker-big', 'worker', 'big'),
    oldId: 'abc',
    strategy: 'recreate',
    isCanary: false,
  },
  { cause: 'image changed', after: ['web-1/shop-dev-broker/start', 'local/app/build'] },
);

export const remove = node(
  'web-2/shop-dev-old/remove',
  { type: 'remove-container', name: 'shop-dev-old', id: 'def', drainMs: 0 },
  { cause: 'no longer in the config', after: ['web-2/shop-dev-worker-big/replace'] },
);

export const plan = { nodes: [build, pull, start, replace, remove] };
