import type { ContainerSpec } from '../core/container.ts';
import { Secret } from '../core/secret.ts';
import type { InstanceSpec } from '../core/state.ts';
import type { Hashing, WantedImage } from './input.ts';

/** What a section of `cu.spec` is called when it is the cause of a replacement. */
const SECTIONS = {
  image: 'image changed',
  command: 'command changed',
  env: 'environment changed',
  secrets: 'secrets changed',
  files: 'files changed',
  user: 'user changed',
  mounts: 'mounts changed',
  ports: 'ports changed',
  network: 'network changed',
  limits: 'limits changed',
  security: 'security settings changed',
  labels: 'labels changed',
  stop: 'restart or stop settings changed',
  logs: 'log rotation changed',
} as const;

type Section = keyof typeof SECTIONS;

interface SpecParts {
  readonly instance: InstanceSpec;
  readonly env: ContainerSpec['env'];
  readonly files: ContainerSpec['files'];
  readonly body: ContainerSpec['body'];
  readonly user: { readonly uid: number | undefined; readonly gid: number | undefined };
  readonly isProxied: boolean;
}

/**
 * The label `cu.spec`: one short digest a section, so that a later deploy can say which part changed.
 * Only `secrets` depends on secret values, by a digest keyed with the host's own key.
 */
export function specLabel(
  parts: SpecParts,
  scope: { readonly image: WantedImage; readonly specKey: Secret; readonly hashing: Hashing },
): string {
  const { instance } = parts;
  const host = asRecord(parts.body['HostConfig']);
  const pick = (keys: readonly string[]): unknown => keys.map((key) => [key, host[key] ?? null]);
  const sections: Record<Section, unknown> = {
    image: scope.image.type === 'ref' ? scope.image.source.reference : scope.image.source.repository,
    command: [instance.entrypoint, instance.command, instance.workdir],
    env: withoutValues(parts.env),
    secrets: [secretsIn(parts.env), parts.files.map((file) => secretsIn(file.content))],
    files: parts.files.map((file) => [file.path, file.mode, withoutValues(file.content)]),
    user: [parts.user.uid, parts.user.gid],
    mounts: pick(['Mounts']),
    // Behind the proxy only the container's own ports are its: routes and slots change without it.
    ports: parts.isProxied ? instance.ports.map(({ containerPort }) => containerPort) : pick(['PortBindings']),
    network: [pick(['NetworkMode']), parts.body['NetworkingConfig']],
    limits: pick(['Memory', 'NanoCpus', 'CpusetCpus', 'ShmSize', 'PidsLimit', 'Ulimits', 'DeviceRequests']),
    security: pick(['Devices', 'CapAdd', 'ReadonlyRootfs']),
    labels: instance.labels,
    stop: [pick(['RestartPolicy']), parts.body['StopSignal'], parts.body['StopTimeout']],
    logs: pick(['LogConfig']),
  };
  const key = scope.specKey.reveal();
  const digests = Object.entries(sections).map(([name, value]) => {
    const digest = scope.hashing.stable(value, name === 'secrets' ? key : undefined);
    return `${name}=${digest.slice(0, 12)}`;
  });
  return ['v1', ...digests].join(' ');
}

/** Causes of a replacement, one a section that differs; none when the two labels mean the same. */
export function specChanges(
  wanted: string,
  found: string | undefined,
  options: { readonly ignoreSecrets: boolean },
): readonly string[] {
  if (found === wanted) return [];
  const old = sectionsOf(found ?? '');
  if (old.size === 0) return ['made by another version of cu'];
  const fresh = sectionsOf(wanted);
  return Object.entries(SECTIONS).flatMap(([name, cause]) => {
    if (name === 'secrets' && options.ignoreSecrets) return [];
    return old.get(name) === fresh.get(name) ? [] : [cause];
  });
}

function sectionsOf(label: string): ReadonlyMap<string, string> {
  const [version, ...sections] = label.split(' ');
  if (version !== 'v1') return new Map();
  return new Map(sections.map((section) => [section.split('=')[0] ?? '', section.split('=')[1] ?? '']));
}

/** The same value with each secret replaced by its name: what changes when a secret is added, not when it is rotated. */
function withoutValues(value: unknown): unknown {
  if (value instanceof Secret) return { secret: value.name };
  if (Array.isArray(value)) return value.map(withoutValues);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutValues(inner)]));
  }
  return value;
}

function secretsIn(value: unknown): readonly unknown[] {
  if (value instanceof Secret) return [value];
  if (typeof value === 'object' && value !== null) {
    return Object.keys(value)
      .toSorted()
      .flatMap((key) => secretsIn(asRecord(value)[key]));
  }
  return [];
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
