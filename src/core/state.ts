import type { Health } from './health.ts';
import type { ObservedProxy } from './proxy.ts';
import type { BatchSize, FailurePolicy, HookSpecs, RouteSpec, TaskSpec } from './rollout.ts';
import type { Secret } from './secret.ts';

/** How a host is reached. All paths are absolute once resolved. */
export interface HostTarget {
  readonly name: string;
  readonly connection: 'ssh' | 'local';
  readonly address: string;
  readonly user: string | undefined;
  readonly port: number | undefined;
  readonly identity: string | undefined;
  /** Names of hosts of the config, or `[user@]address[:port]`, in the order of the hops. */
  readonly proxyJump: readonly string[];
  /** known_hosts lines that the config carries, for CI. */
  readonly knownHosts: readonly string[];
  /** Address or interface at which the other hosts reach this one. */
  readonly advertise: string | undefined;
  readonly client: 'auto' | 'ssh2' | 'openssh';
  readonly dockerSocket: string | undefined;
}

/** Enough to find a host again that has left the config; of an identity only its path. */
export type KnownHost = Pick<
  HostTarget,
  'name' | 'connection' | 'address' | 'user' | 'port' | 'identity' | 'proxyJump' | 'client' | 'dockerSocket'
>;

export interface BuildSource {
  readonly type: 'build';
  /** The key under `images`. */
  readonly name: string;
  readonly repository: string;
  /** The registry's host, or undefined when the image is shipped over SSH. */
  readonly registry: string | undefined;
  readonly context: string;
  /** Relative to the context, as Docker has it. */
  readonly dockerfile: string;
  readonly target: string | undefined;
  /** null: taken from cu's environment, left out when unset there; not part of the version. */
  readonly args: Readonly<Record<string, string | null>>;
  readonly secrets: readonly Secret[];
  readonly platform: string | undefined;
  /** `local` or the name of a host. */
  readonly on: string;
  readonly keep: number;
}

export interface RefSource {
  readonly type: 'ref';
  readonly name: string;
  readonly reference: string;
  readonly keep: number;
}

export type ImageSource = BuildSource | RefSource;

export interface Registry {
  readonly host: string;
  readonly username: string;
  readonly password: Secret;
}

export type UserChoice =
  | { readonly type: 'ids'; readonly uid: number; readonly gid: number }
  | { readonly type: 'host' }
  | { readonly type: 'root' };

export type MountSpec =
  | { readonly type: 'volume'; readonly name: string; readonly target: string; readonly readOnly: boolean }
  | { readonly type: 'bind'; readonly source: string; readonly target: string; readonly readOnly: boolean };

/** `bind` is an interface, an address or `*`; an interface is looked up on the host. */
export interface PortSpec {
  readonly bind: string;
  readonly port: number;
  readonly containerPort: number;
}

export type MemoryAmount =
  | { readonly type: 'bytes'; readonly bytes: number }
  | { readonly type: 'share'; readonly share: number };

/**
 * Whom a container logs in to the broker as. `web` and `worker` reach what begins with `cu:PROJECT:ENV:` alone, as all
 * does that the runtime keeps there; `admin` reaches everything, as a Celery application of the user's own has to.
 */
export type BrokerUser = 'admin' | 'web' | 'worker';

/** Text that may hold secrets; the broker's password is known only once its host was observed. */
export type TextPart = string | Secret | { readonly type: 'broker-password-sha256'; readonly user: BrokerUser };

/** A file put into the container before it starts. */
export interface FileSpec {
  readonly path: string;
  readonly mode: number;
  readonly content: readonly TextPart[];
}

export type RolloutStrategy = 'proxy' | 'start-first' | 'recreate';

/** One container wanted on one host; what depends on the host (interfaces, shares, uid) is still symbolic. */
export interface InstanceSpec {
  readonly host: string;
  readonly service: string;
  readonly kind: string;
  readonly instance: string;
  readonly containerName: string;
  readonly image: string;
  readonly entrypoint: readonly string[] | undefined;
  readonly command: readonly string[] | undefined;
  readonly workdir: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Given as environment variables and as files in /run/secrets. */
  readonly secrets: readonly Secret[];
  readonly files: readonly FileSpec[];
  readonly user: UserChoice | undefined;
  readonly mounts: readonly MountSpec[];
  readonly ports: readonly PortSpec[];
  /** `project` is the network of this project and environment; else an engine's mode or network. */
  readonly network: string;
  readonly memory: MemoryAmount | undefined;
  readonly cpus: number | undefined;
  readonly cpuset: string | undefined;
  readonly gpus: 'all' | number | readonly string[] | undefined;
  readonly shmBytes: number | undefined;
  readonly pids: number | undefined;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly devices: readonly string[];
  readonly capabilities: readonly string[];
  readonly readOnly: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly health: Health;
  readonly drainMs: number;
  readonly stopSignal: string | undefined;
  readonly restart: 'no' | 'on-failure' | 'always' | 'unless-stopped';
  readonly logs: { readonly maxBytes: number; readonly maxFiles: number };
  readonly rollout: RolloutStrategy;
  readonly batch: BatchSize;
  readonly route: RouteSpec | undefined;
  /** Lower starts first: broker 0, workers 10, webservers 20, others 30. */
  readonly phase: number;
  readonly dependsOn: readonly string[];
  readonly singleton: boolean;
  /** undefined: it is not told where the broker is. */
  readonly brokerUser: BrokerUser | undefined;
  readonly storage: string | undefined;
}

export interface BrokerSpec {
  readonly host: string;
  readonly service: string;
  readonly containerPort: number;
  readonly published: PortSpec | undefined;
  /** undefined: cu makes one at the first deploy and keeps it on the broker's host. */
  readonly password: Secret | undefined;
}

/** What the config asks of one environment, fully resolved but for what only the hosts know. */
export interface Desired {
  readonly project: string;
  readonly environment: string;
  readonly tag: string;
  readonly hosts: readonly HostTarget[];
  readonly images: readonly ImageSource[];
  readonly registries: readonly Registry[];
  readonly instances: readonly InstanceSpec[];
  readonly broker: BrokerSpec | undefined;
  readonly onFailure: FailurePolicy;
  /** In the order in which they run. */
  readonly tasks: readonly TaskSpec[];
  readonly hooks: HookSpecs;
}

export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

/** What `docker update` can change behind our back; undefined where it was not read. */
export interface ObservedLimits {
  readonly memoryBytes: number;
  readonly nanoCpus: number;
  readonly cpuset: string;
  readonly pids: number;
  readonly restart: string;
}

export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  readonly imageId: string;
  readonly imageName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: ContainerState;
  readonly health: 'healthy' | 'unhealthy' | 'starting' | 'none';
  readonly createdAt: number;
  /** The engine's words, such as `Up 3 minutes`. */
  readonly status: string;
  readonly ports: readonly { readonly address: string; readonly port: number; readonly containerPort: number }[];
  readonly networks: readonly string[];
  readonly volumes: readonly string[];
  readonly limits: ObservedLimits | undefined;
  readonly startedAt: number | undefined;
  readonly restartCount: number;
  readonly exitCode: number | undefined;
  readonly isOomKilled: boolean;
  /** How long it may take to stop, as it was made; undefined: nothing was said, or it was not asked. */
  readonly stopMs: number | undefined;
}

export interface ObservedImage {
  readonly id: string;
  readonly tags: readonly string[];
  readonly digests: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  readonly createdAt: number;
}

export interface HostFacts {
  readonly engineVersion: string;
  readonly apiVersion: string;
  readonly architecture: string;
  readonly os: string;
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly imageStore: 'classic' | 'containerd';
  readonly dockerRoot: string;
  /** Free bytes where the engine keeps its data; undefined where it cannot be told. */
  readonly freeBytes: number | undefined;
  readonly uid: number;
  readonly gid: number;
  /** The group that owns the engine's socket: who is in it may use Docker. */
  readonly dockerGid: number;
  /** Addresses by interface, such as eth1 to 10.0.0.11. */
  readonly interfaces: Readonly<Record<string, readonly string[]>>;
  /** Listening TCP ports with their address (`0.0.0.0`, `::` for all), whoever holds them. */
  readonly listening: readonly { readonly address: string; readonly port: number }[];
  /** The host's clock minus ours, in milliseconds, when it was asked. */
  readonly clockOffsetMs: number;
  /** By how much that may be wrong: half the round trip, and the clock was read in whole seconds. */
  readonly clockToleranceMs: number;
}

/** A hold that somebody has left: no deploy until it is lifted. */
export interface Hold {
  readonly message: string;
  readonly who: string;
  readonly since: number;
}

/** What cu itself keeps on a host, in the volume PROJECT-ENV-state. */
export interface HostState {
  /** Key of the digests that stand for secrets in `cu.spec`. */
  readonly specKey: Secret;
  readonly brokerPassword: Secret | undefined;
  readonly hold: Hold | undefined;
  /** All hosts of the environment when it was last deployed as a whole. */
  readonly hosts: readonly KnownHost[];
  /** Milliseconds for which an instance was away when it was last stopped first, by `service/instance`. */
  readonly gaps: Readonly<Record<string, number>>;
}

export interface ObservedHost {
  readonly name: string;
  readonly facts: HostFacts;
  /** All of the host's, also foreign ones: they hold ports and names. */
  readonly containers: readonly ObservedContainer[];
  readonly images: readonly ObservedImage[];
  readonly networks: readonly {
    readonly id: string;
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
  }[];
  readonly volumes: readonly { readonly name: string; readonly labels: Readonly<Record<string, string>> }[];
  readonly state: HostState | undefined;
  readonly proxy: ObservedProxy | undefined;
}

export const LABELS = {
  project: 'cu.project',
  environment: 'cu.env',
  service: 'cu.service',
  instance: 'cu.instance',
  spec: 'cu.spec',
  version: 'cu.version',
  /** Which of its two places behind the proxy a container has. */
  slot: 'cu.slot',
  inputs: 'cu.inputs',
  /** On what is cu's own and no instance: `state`, `test`, `task`. */
  role: 'cu.role',
  /** Which run of `cu test` made it. */
  run: 'cu.run',
} as const;
