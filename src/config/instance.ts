import type { Secret } from '../core/secret.ts';
import type { BatchSize } from '../core/rollout.ts';
import type { Health, HealthProbe } from '../core/health.ts';
import type { InstanceSpec, MountSpec, UserChoice } from '../core/state.ts';
import type { Traits } from '../kinds/kind.ts';
import { DEFAULT_TIMEOUT_MS, type HealthSettings } from '../kinds/service.ts';
import type { EnvironmentConfig } from './parse.ts';
import type { Placement } from './placements.ts';
import { strategyOf } from './strategy.ts';
import { DEFAULT_LOGS, own, type Config } from './schema.ts';

export const STORAGE_TARGET = '/var/lib/cu/storage';

const DEFAULT_BATCH: BatchSize = { type: 'share', share: 0.25 };

interface Options {
  readonly environment: EnvironmentConfig;
  readonly secrets: (names: readonly string[]) => readonly Secret[];
  readonly hasBroker: boolean;
  /** Makes a path of the config absolute. */
  readonly absolute: (path: string) => string;
}

/** One placed instance with all that its kind adds. */
export function expandInstance(
  placement: Placement,
  { environment, secrets, hasBroker, absolute }: Options,
): InstanceSpec {
  const { host, service, kind, instance, settings, traits } = placement;
  const { config, name } = environment;
  const { project } = config;
  const prefix = `${project}-${name}`;
  const storage = traits.usesStorage ? storageOf(config, prefix) : undefined;
  const ownMounts = settings.mounts.map((mount) =>
    mount.type === 'volume' ? { ...mount, name: `${prefix}-${mount.name}` } : mount,
  );
  const storageMounts =
    storage?.mount === undefined || ownMounts.some((mount) => mount.target === storage.mount?.target)
      ? []
      : [storage.mount];
  const logs = { ...DEFAULT_LOGS, ...definedOnly(config.logs), ...definedOnly(settings.logs ?? {}) };
  return {
    host,
    service,
    kind,
    instance,
    containerName: `${prefix}-${service}-${instance}`,
    image: settings.image ?? defaultImage(kind, config),
    entrypoint: settings.entrypoint,
    // A command made for the image's entrypoint means nothing to another one.
    command: settings.command ?? (settings.entrypoint === undefined ? traits.command : undefined),
    workdir: settings.workdir,
    env: {
      CU_PROJECT: project,
      CU_ENV: name,
      CU_HOST: host,
      CU_SERVICE: service,
      CU_INSTANCE: instance,
      ...(storage === undefined ? {} : { CU_STORAGE: storage.url }),
      ...traits.env,
      ...settings.env,
    },
    secrets: secrets([...new Set([...settings.secrets, ...(storage?.secrets ?? [])])]),
    files: traits.files,
    user: userOf(settings.user, config),
    mounts: [...traits.mounts, ...storageMounts, ...ownMounts],
    ports: settings.ports,
    network: settings.network,
    memory: settings.memory,
    cpus: settings.cpus,
    cpuset: settings.cpuset,
    gpus: settings.gpus,
    shmBytes: settings.shm,
    pids: settings.pids,
    ulimits: Object.entries(settings.ulimits).map(([limit, values]) => ({ name: limit, ...values })),
    devices: settings.devices,
    capabilities: settings.capabilities,
    readOnly: settings.readOnly,
    labels: settings.labels,
    health: healthOf(settings.health, traits.health, settings.ports[0]?.containerPort),
    drainMs: settings.drain ?? traits.drainMs,
    stopSignal: settings.stopSignal ?? traits.stopSignal,
    restart: settings.restart,
    logs: { maxBytes: logs.maxSize, maxFiles: logs.maxFiles },
    rollout: strategyOf(config, placement),
    batch: settings.rollout?.batch ?? DEFAULT_BATCH,
    route: traits.route && {
      ...traits.route,
      certificate: traits.route.certificate === undefined ? undefined : absolute(traits.route.certificate),
    },
    phase: traits.phase,
    dependsOn: settings.dependsOn,
    singleton: traits.singleton,
    brokerUser: hasBroker ? traits.brokerUser : undefined,
    storage: storage?.url,
  };
}

function defaultImage(kind: string, config: Config): string {
  return kind === 'redis' ? 'redis' : (Object.keys(config.images)[0] ?? '');
}

interface Storage {
  readonly url: string;
  readonly mount: MountSpec | undefined;
  readonly secrets: readonly string[];
}

function storageOf({ storage }: Config, prefix: string): Storage | undefined {
  if (storage === 'none') return undefined;
  if (storage === undefined) {
    const mount = { type: 'volume', name: `${prefix}-storage`, target: STORAGE_TARGET, readOnly: false } as const;
    return { url: `file://${STORAGE_TARGET}`, mount, secrets: [] };
  }
  const { root, secrets } = storage;
  if (!root.startsWith('file://')) return { url: root, mount: undefined, secrets };
  const directory = root.slice('file://'.length).replace(/\/+$/, '');
  return {
    url: `file://${directory}`,
    mount: { type: 'bind', source: directory, target: directory, readOnly: false },
    secrets,
  };
}

function userOf(name: string | undefined, config: Config): UserChoice | undefined {
  const user = name === undefined ? undefined : own(config.users, name);
  if (user === undefined) return undefined;
  return typeof user === 'string' ? { type: user } : { type: 'ids', uid: user.uid, gid: user.gid ?? user.uid };
}

function healthOf(
  settings: HealthSettings | undefined,
  preset: Traits['health'],
  firstPort: number | undefined,
): Health {
  const probe = settings?.type === undefined ? preset.probe : probeOf(settings, firstPort);
  return {
    ...probe,
    intervalMs: settings?.interval ?? preset.intervalMs,
    timeoutMs: settings?.timeout ?? DEFAULT_TIMEOUT_MS,
    retries: settings?.retries ?? 0,
    startPeriodMs: settings?.startPeriod ?? 0,
    // Without a check only time tells whether it runs; who asks for none has a reason, and waits for a moment only.
    stableMs: settings?.stable ?? (settings?.type === 'none' ? 300 : preset.stableMs),
  };
}

function probeOf({ type, path, port, status, command }: HealthSettings, firstPort: number | undefined): HealthProbe {
  // The rules refuse a check of a port where there is none.
  const known = port ?? firstPort ?? 0;
  switch (type) {
    case 'http':
      return { type, path: path ?? '/', port: known, status };
    case 'tcp':
      return { type, port: known };
    case 'command':
      return { type, command: command ?? [] };
    case 'engine':
      return { type };
    case 'none':
    case undefined:
      return { type: 'none' };
  }
}

function definedOnly<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  // Entries lose the types of their keys; this only drops the keys that have no value.
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
