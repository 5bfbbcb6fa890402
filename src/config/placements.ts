import { kinds } from '../kinds/index.gen.ts';
import type { HostOverrides, Overrides, Place, Traits } from '../kinds/kind.ts';
import type { ServiceSettings } from '../kinds/service.ts';
import type { Path } from './problem.ts';
import { own, type Config, type Service } from './schema.ts';

/** One instance of a service on a host, with the settings that hold for it. */
export interface Placement {
  readonly service: string;
  readonly kind: string;
  readonly host: string;
  readonly instance: string;
  readonly settings: ServiceSettings;
  readonly traits: Traits;
  /** Where the config asks for it. */
  readonly path: Path;
}

export function placements(config: Config, environment: string): readonly Placement[] {
  return Object.entries(config.services).flatMap(([name, service]) =>
    placementsOf(config, name, service).map((placement) => ({
      ...placement,
      traits: kindOf(placement.kind).expand(placement.settings, { ...placement, project: config.project, environment }),
    })),
  );
}

/** How many there are, without making them. */
export function countPlacements(config: Config): number {
  const counts = Object.entries(config.services).flatMap(([name, service]) =>
    hostsOf(config, name, service).map(({ overrides }) => {
      const instances = overrides.instances ?? (overrides.replicas === undefined ? service.instances : undefined);
      return instances === undefined ? (overrides.replicas ?? service.replicas ?? 1) : Object.keys(instances).length;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** The hosts that a service stands on, with where the config says so. */
export function hostsOf(
  config: Config,
  name: string,
  service: Service,
): readonly { readonly host: string; readonly overrides: HostOverrides; readonly path: Path }[] {
  const path: Path = ['services', name, 'on'];
  if (service.on === undefined) {
    const [only, ...others] = Object.keys(config.hosts);
    return only === undefined || others.length > 0 ? [] : [{ host: only, overrides: {}, path: ['services', name] }];
  }
  if (isList(service.on)) return service.on.map((host, index) => ({ host, overrides: {}, path: [...path, index] }));
  return Object.entries(service.on).map(([host, overrides]) => ({ host, overrides, path: [...path, host] }));
}

function placementsOf(config: Config, name: string, service: Service): readonly Omit<Placement, 'traits'>[] {
  const { on: _on, instances: named, kind, ...settings } = service;
  return hostsOf(config, name, service).flatMap(({ host, overrides, path }) => {
    const { instances: namedHere, ...own } = overrides;
    const onHost = overlay(settings, own);
    const common = { service: name, kind, host };
    // `replicas` on a host wins over `instances` of the whole service.
    const instances = namedHere ?? (own.replicas === undefined ? named : undefined);
    if (instances !== undefined) {
      const at: Path = namedHere === undefined ? ['services', name, 'instances'] : [...path, 'instances'];
      return Object.entries(instances).map(([instance, one]) => ({
        ...common,
        instance,
        settings: overlay(onHost, one),
        path: [...at, instance],
      }));
    }
    return Array.from({ length: onHost.replicas ?? 1 }, (_, index) => ({
      ...common,
      instance: String(index + 1),
      settings: onHost,
      path,
    }));
  });
}

function kindOf(name: string): { readonly expand: (settings: ServiceSettings, place: Place) => Traits } {
  const kind = kinds.find((each) => each.kind === name);
  // The schema lets no other kind through.
  if (kind === undefined) throw new Error(`no kind is called ${name}`);
  return kind;
}

/** `env` and `labels` merge, as maps do; all else replaces. */
function overlay(settings: ServiceSettings, overrides: Overrides): ServiceSettings {
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  // The schema of the overrides is made from that of the settings, so each value has the type of its key.
  const { env, labels, ...others } = given as Partial<ServiceSettings>;
  return { ...settings, ...others, env: { ...settings.env, ...env }, labels: { ...settings.labels, ...labels } };
}

function isList(on: NonNullable<Service['on']>): on is readonly string[] {
  return Array.isArray(on);
}

/** Where a setting of an instance stands: at the instance, its host or its service. */
export function settingPath(
  config: Config,
  { service, path }: { readonly service: string; readonly path: Path },
  key: string,
): Path {
  let found: Path = ['services', service, key];
  for (let length = 3; length <= path.length; length += 1) {
    const own = [...path.slice(0, length), key];
    if (has(config, own)) found = own;
  }
  return found;
}

export interface WrittenInstances {
  readonly path: Path;
  readonly replicas: number | undefined;
  readonly instances: Readonly<Record<string, unknown>> | undefined;
}

/** Each place at which `replicas` and `instances` may be written. */
export function instancesWritten(config: Config, name: string, service: Service): readonly WrittenInstances[] {
  const here = { path: ['services', name], replicas: service.replicas, instances: service.instances };
  return [
    here,
    ...hostsOf(config, name, service).map(({ overrides, path }) => ({
      path,
      replicas: overrides.replicas,
      instances: overrides.instances,
    })),
  ];
}

function has(root: unknown, path: Path): boolean {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return false;
    value = own(Object.fromEntries(Object.entries(value)), String(part));
  }
  return value !== undefined;
}
