import { hmacSha256, sha256, stableHash } from '../../../src/config/hash.ts';
import { Secret } from '../../../src/core/secret.ts';
import type { TaskSpec } from '../../../src/core/rollout.ts';
import type {
  BrokerSpec,
  BuildSource,
  Desired,
  HostFacts,
  HostTarget,
  InstanceSpec,
  ObservedContainer,
  ObservedHost,
} from '../../../src/core/state.ts';
import type { PlanInput, WantedImage } from '../../../src/plan/input.ts';

/** Small, complete inputs for the planner; every test says only what it is about. */

export function instance(overrides: Partial<InstanceSpec> = {}): InstanceSpec {
  const { host = 'web-1', service = 'web', instance: name = '1' } = overrides;
  return {
    host,
    service,
    kind: 'container',
    instance: name,
    containerName: `shop-dev-${service}-${name}`,
    image: 'app',
    entrypoint: undefined,
    command: ['serve'],
    workdir: undefined,
    env: { MODE: 'fast' },
    secrets: [],
    files: [],
    user: undefined,
    mounts: [],
    ports: [],
    network: 'project',
    memory: undefined,
    cpus: undefined,
    cpuset: undefined,
    gpus: undefined,
    shmBytes: undefined,
    pids: undefined,
    ulimits: [],
    devices: [],
    capabilities: [],
    readOnly: false,
    labels: {},
    health: { type: 'none', intervalMs: 500, timeoutMs: 60_000, retries: 0, startPeriodMs: 0, stableMs: 1000 },
    drainMs: 10_000,
    stopSignal: undefined,
    restart: 'unless-stopped',
    logs: { maxBytes: 1_000_000, maxFiles: 2 },
    rollout: 'start-first',
    batch: { type: 'share', share: 0.25 },
    route: undefined,
    phase: 10,
    dependsOn: [],
    singleton: false,
    brokerUser: undefined,
    storage: undefined,
    ...overrides,
  };
}

export const FACTS: HostFacts = {
  engineVersion: '20.10.24',
  apiVersion: '1.41',
  architecture: 'x86_64',
  os: 'linux',
  memoryBytes: 16e9,
  cpus: 4,
  imageStore: 'classic',
  dockerRoot: '/var/lib/docker',
  freeBytes: 50e9,
  uid: 1001,
  gid: 1001,
  dockerGid: 999,
  interfaces: { lo: ['127.0.0.1'], eth1: ['10.0.0.11'] },
  listening: [],
  clockOffsetMs: 0,
  clockToleranceMs: 500,
};

export function observedHost(overrides: Partial<ObservedHost> = {}): ObservedHost {
  return {
    name: 'web-1',
    facts: FACTS,
    containers: [],
    images: [],
    networks: [],
    volumes: [],
    state: undefined,
    proxy: undefined,
    ...overrides,
  };
}

export function appImage(inputs = 'inputs-1', version = 'r1'): Extract<WantedImage, { type: 'build' }> {
  const source: BuildSource = {
    type: 'build',
    name: 'app',
    repository: 'shop',
    registry: undefined,
    context: '/src',
    dockerfile: 'Dockerfile',
    target: undefined,
    args: {},
    secrets: [],
    platform: undefined,
    on: 'local',
    keep: 3,
  };
  return { type: 'build', source, inputs, version, origin: { host: 'local', isBuilt: true, imageId: 'sha256:built' } };
}

export interface Parts {
  readonly instances?: readonly InstanceSpec[];
  readonly hosts?: readonly ObservedHost[];
  readonly image?: WantedImage;
  readonly broker?: BrokerSpec;
  readonly isWhole?: boolean;
  readonly tasks?: readonly TaskSpec[];
}

export function planInput({
  instances = [instance()],
  hosts,
  image = appImage(),
  broker,
  isWhole = true,
  tasks = [],
}: Parts = {}): PlanInput {
  const names = [...new Set(instances.map((each) => each.host))];
  const observed = hosts ?? names.map((name) => observedHost({ name }));
  const desired: Desired = {
    project: 'shop',
    environment: 'dev',
    tag: 'dev',
    hosts: observed.map((host) => target(host.name)),
    images: [image.source],
    registries: [],
    instances,
    broker,
    onFailure: 'rollback',
    tasks,
    hooks: { commands: { beforeDeploy: [], afterDeploy: [], onFailure: [] }, directory: '/project', withheld: [] },
  };
  return {
    desired,
    instances,
    isWhole,
    hosts: observed,
    unseen: [],
    images: new Map([['app', image]]),
    hashing: { stable: stableHash, sha256, hmacSha256 },
    fresh: { specKey: new Secret('spec-key', 'k'.repeat(64)), brokerPassword: new Secret('broker-password', 'pass') },
    rebuild: false,
    pauseMs: 0,
    isDetached: false,
    certificates: new Map(),
  };
}

function target(name: string): HostTarget {
  return {
    name,
    connection: 'ssh',
    address: `${name}.example.org`,
    user: undefined,
    port: undefined,
    identity: undefined,
    proxyJump: [],
    knownHosts: [],
    advertise: undefined,
    client: 'auto',
    dockerSocket: undefined,
  };
}

export function container(overrides: Partial<ObservedContainer> = {}): ObservedContainer {
  return {
    id: 'c1',
    name: 'shop-dev-web-1',
    imageId: 'sha256:app',
    imageName: 'shop:r1',
    labels: {},
    state: 'running',
    health: 'none',
    createdAt: 1,
    status: 'Up 1 minute',
    ports: [],
    networks: ['shop-dev'],
    volumes: [],
    limits: undefined,
    startedAt: 1,
    restartCount: 0,
    exitCode: undefined,
    isOomKilled: false,
    stopMs: undefined,
    ...overrides,
  };
}
