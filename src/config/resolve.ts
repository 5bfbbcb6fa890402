import { CuErrors } from '../core/error.ts';
import type { Secret } from '../core/secret.ts';
import type { TaskSpec } from '../core/rollout.ts';
import type { BrokerSpec, Desired, HostTarget, ImageSource, InstanceSpec } from '../core/state.ts';
import { expandPath } from './expand-path.ts';
import { expandInstance } from './instance.ts';
import type { EnvironmentConfig } from './parse.ts';
import { placements, type Placement } from './placements.ts';
import { jumpsOf } from './rules-hosts.ts';
import { defaultTaskService } from './rules-release.ts';
import { own, type Config } from './schema.ts';
import { BROKER_PASSWORD, missingSecrets, type SecretStore } from './secrets.ts';

export interface ResolveOptions {
  /** What relative paths start from. */
  readonly directory: string;
  readonly home: string;
  readonly store: SecretStore;
}

/** The config of an environment to what is wanted, but for what only the hosts know. Throws every secret that is missing. */
export function resolveConfig(environment: EnvironmentConfig, options: ResolveOptions): Desired {
  const missing = missingSecrets(environment, options.store);
  if (missing.length > 0) throw new CuErrors(missing);
  const { config } = environment;
  const { store } = options;
  const secrets = (names: readonly string[]): readonly Secret[] => names.flatMap((name) => store.find(name) ?? []);
  const all = placements(config, environment.name);
  const hasBroker = all.some((placement) => placement.traits.broker !== undefined);
  const absolute = (path: string): string => expandPath(path, options.directory, options.home);
  const instances = all.map((placement) => expandInstance(placement, { environment, secrets, hasBroker, absolute }));
  return {
    project: config.project,
    environment: environment.name,
    tag: environment.tag,
    hosts: Object.keys(config.hosts).map((name) => hostTarget(name, config, options)),
    images: imageSources(config, instances, { ...options, secrets }),
    registries: Object.entries(config.registries).flatMap(([host, { username, password }]) =>
      secrets([password.secret]).map((found) => ({ host, username, password: found })),
    ),
    instances,
    broker: brokerOf(all, store),
    onFailure: config.onFailure,
    tasks: tasksOf(config, instances),
    hooks: { commands: config.hooks, directory: options.directory, withheld: store.all() },
  };
}

function hostTarget(name: string, config: Config, { directory, home }: ResolveOptions): HostTarget {
  const host = own(config.hosts, name) ?? { connection: 'ssh', knownHosts: [] };
  const shared = config.ssh;
  const identity = host.identity ?? shared.identity;
  const isLocal = host.connection === 'local';
  return {
    name,
    connection: host.connection,
    // Without an address the name is one, or an alias of ~/.ssh/config.
    address: isLocal ? 'localhost' : (host.address ?? name),
    user: isLocal ? undefined : (host.user ?? shared.user),
    port: isLocal ? undefined : (host.port ?? shared.port),
    identity: isLocal || identity === undefined ? undefined : expandPath(identity, directory, home),
    proxyJump: jumpsOf(config, name),
    knownHosts: [...shared.knownHosts, ...host.knownHosts],
    advertise: host.advertise,
    client: host.client ?? shared.client ?? 'auto',
    dockerSocket: host.dockerSocket ?? shared.dockerSocket,
  };
}

function imageSources(
  config: Config,
  instances: readonly InstanceSpec[],
  { directory, home, secrets }: ResolveOptions & { readonly secrets: (names: readonly string[]) => readonly Secret[] },
): readonly ImageSource[] {
  const sources = Object.entries(config.images).map(([name, { ref, repository, build, keep }]): ImageSource => {
    if (ref !== undefined || build === undefined) return { type: 'ref', name, reference: ref ?? '', keep };
    const full = repository ?? `${config.project}-${name}`;
    return {
      type: 'build',
      name,
      repository: full,
      registry: registryOf(full),
      context: expandPath(build.context, directory, home),
      dockerfile: build.dockerfile,
      target: build.target,
      args: build.args,
      secrets: secrets(build.secrets),
      platform: build.platform,
      on: build.on,
      keep,
    };
  });
  const implied = IMPLIED.filter(
    ({ name, isUsed }) => own(config.images, name) === undefined && instances.some((instance) => isUsed(instance)),
  );
  return [
    ...sources,
    ...implied.map(({ name, reference }): ImageSource => ({ type: 'ref', name, reference, keep: 3 })),
  ];
}

/** Images that nobody has to name. */
const IMPLIED: readonly {
  readonly name: string;
  readonly reference: string;
  readonly isUsed: (instance: InstanceSpec) => boolean;
}[] = [
  { name: 'redis', reference: 'redis:8', isUsed: ({ image }) => image === 'redis' },
  {
    name: 'haproxy',
    reference: 'haproxy:lts',
    isUsed: ({ rollout, ports }) => rollout === 'proxy' && ports.length > 0,
  },
];

function tasksOf(config: Config, instances: readonly InstanceSpec[]): readonly TaskSpec[] {
  return config.tasks.beforeSwitch.map(({ service, command, timeout }) => ({
    // The rules refuse a task for which there is none.
    service: service ?? defaultTaskService(config, instances) ?? '',
    command,
    timeoutMs: timeout,
  }));
}

/** As Docker tells a registry from a folder: it has a dot, a port, or is localhost. */
function registryOf(repository: string): string | undefined {
  const [first = '', ...rest] = repository.split('/');
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : undefined;
}

function brokerOf(all: readonly Placement[], store: SecretStore): BrokerSpec | undefined {
  for (const { host, service, settings, traits } of all) {
    if (traits.broker === undefined) continue;
    const { containerPort, password } = traits.broker;
    return {
      host,
      service,
      containerPort,
      published: settings.ports[0],
      password: store.find(password ?? BROKER_PASSWORD),
    };
  }
  return undefined;
}
