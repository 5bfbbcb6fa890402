import type { ContainerSpec, FileContent } from '../core/container.ts';
import { CuError } from '../core/error.ts';
import type { Slot } from '../core/proxy.ts';
import { Secret } from '../core/secret.ts';
import { LABELS } from '../core/state.ts';
import type { Desired, InstanceSpec, ObservedHost, TextPart } from '../core/state.ts';
import { bindAddress } from './address.ts';
import { createBody } from './body.ts';
import { brokerPasswordOf } from './broker-password.ts';
import type { Hashing, WantedImage } from './input.ts';
import { specLabel } from './spec-label.ts';

export interface BindScope {
  readonly desired: Desired;
  readonly host: ObservedHost;
  /** undefined when the broker's host was not reached. */
  readonly brokerHost: ObservedHost | undefined;
  readonly brokerPassword: Secret;
  readonly image: WantedImage;
  readonly specKey: Secret;
  readonly hashing: Hashing;
  /** Its place behind the proxy, and the loopback's ports there by the container's port; undefined: none. */
  readonly place: { readonly slot: Slot; readonly ports: Readonly<Record<number, number>> } | undefined;
}

/** Turns an instance into the container that its host is asked for; what the host cannot give is a CuError. */
export function bind(instance: InstanceSpec, scope: BindScope): ContainerSpec {
  const { uid, gid } = userOf(instance, scope.host);
  const env = envOf(instance, scope);
  const files = filesOf(instance, scope, uid);
  const body = createBody(instance, scope.host, {
    network: networkName(instance, scope.desired),
    user: { uid, gid },
    slotPorts: scope.place?.ports,
  });
  const spec = { instance, env, files, body, user: { uid, gid }, isProxied: scope.place !== undefined };
  return {
    name: instance.containerName,
    service: instance.service,
    instance: instance.instance,
    kind: instance.kind,
    image: instance.image,
    env: scope.image.type === 'build' ? { ...env, CU_VERSION: scope.image.version } : env,
    files,
    uid,
    gid,
    volumes: instance.mounts.flatMap((mount) => (mount.type === 'volume' && !mount.readOnly ? [mount.target] : [])),
    labels: {
      ...instance.labels,
      [LABELS.project]: scope.desired.project,
      [LABELS.environment]: scope.desired.environment,
      [LABELS.service]: instance.service,
      [LABELS.instance]: instance.instance,
      [LABELS.spec]: specLabel(spec, scope),
      ...(scope.image.type === 'build'
        ? { [LABELS.version]: scope.image.version, [LABELS.inputs]: scope.image.inputs }
        : {}),
      ...(scope.place === undefined ? {} : { [LABELS.slot]: scope.place.slot }),
    },
    body,
    network: networkName(instance, scope.desired),
    health: instance.health,
    probeSecret: instance.kind === 'redis' ? scope.brokerPassword : undefined,
    drainMs: instance.drainMs,
    slot: scope.place?.slot,
  };
}

/** The name of the network that the environment's containers share. */
export function projectNetwork(desired: Pick<Desired, 'project' | 'environment'>): string {
  return `${desired.project}-${desired.environment}`;
}

/** The name of the volume in which a host keeps what cu knows of the environment, and of the container that holds it. */
export function stateVolume(desired: Pick<Desired, 'project' | 'environment'>): string {
  return `${projectNetwork(desired)}-state`;
}

function networkName(instance: InstanceSpec, desired: Desired): string {
  return instance.network === 'project' ? projectNetwork(desired) : instance.network;
}

function userOf(
  instance: InstanceSpec,
  host: ObservedHost,
): { readonly uid: number | undefined; readonly gid: number | undefined } {
  if (instance.user === undefined) return { uid: undefined, gid: undefined };
  switch (instance.user.type) {
    case 'ids':
      return { uid: instance.user.uid, gid: instance.user.gid };
    case 'host':
      return { uid: host.facts.uid, gid: host.facts.gid };
    case 'root':
      return { uid: 0, gid: 0 };
  }
}

function envOf(instance: InstanceSpec, scope: BindScope): ContainerSpec['env'] {
  return {
    ...brokerUrls(instance, scope),
    ...Object.fromEntries(instance.secrets.map((secret) => [secret.name, secret])),
    ...instance.env,
  };
}

/** On the broker's host through the project's network, elsewhere through the advertised address. */
function brokerUrls(instance: InstanceSpec, scope: BindScope): ContainerSpec['env'] {
  const { brokerUser: user } = instance;
  if (user === undefined || !isBrokerInReach(instance, scope.desired)) return {};
  const at = brokerAddress(instance, scope);
  const password = brokerPasswordOf(user, scope.brokerPassword, scope.hashing).map(encodeURIComponent);
  const url = (database: number): readonly (string | Secret)[] => [`redis://${user}:`, password, `@${at}/${database}`];
  return { CU_BROKER_URL: url(0), CU_RESULT_URL: url(1) };
}

/** Any container is told where the broker is; one that need not know goes without where the broker is not published. */
function isBrokerInReach(instance: InstanceSpec, { broker }: Desired): boolean {
  if (broker === undefined) return false;
  const isNear = instance.host === broker.host && instance.network === 'project';
  return instance.kind !== 'container' || isNear || broker.published !== undefined;
}

function brokerAddress(instance: InstanceSpec, scope: BindScope): string {
  const { broker } = scope.desired;
  if (broker === undefined) throw new Error('an instance that wants a broker was bound without one');
  if (instance.host === broker.host && instance.network === 'project')
    return `${broker.service}:${broker.containerPort}`;
  const target = scope.desired.hosts.find((host) => host.name === broker.host);
  if (broker.published === undefined || target === undefined) {
    throw new CuError('CONFIG_INVALID', `${instance.service} on ${instance.host} cannot reach ${broker.service}`, {
      hint: `publish it: add \`ports\` to services.${broker.service}`,
    });
  }
  const advertised = target.advertise ?? (target.connection === 'local' ? '127.0.0.1' : target.address);
  const isAddress = /[.:]/.test(advertised);
  if (!isAddress && scope.brokerHost === undefined) {
    throw new CuError('HOST_UNREACHABLE', `the broker's host ${broker.host} was not reached`, {
      host: instance.host,
      hint: `${instance.service} needs its address on ${advertised}; set hosts.${broker.host}.advertise to an address`,
    });
  }
  const address =
    isAddress || scope.brokerHost === undefined
      ? advertised
      : bindAddress(advertised, scope.brokerHost, `hosts.${broker.host}.advertise`);
  return `${address.includes(':') ? `[${address}]` : address}:${broker.published.port}`;
}

function filesOf(instance: InstanceSpec, scope: BindScope, uid: number | undefined): ContainerSpec['files'] {
  // Without a known user the image's own must be able to read them; the file is inside this container only.
  const mode = uid === undefined ? 0o444 : 0o400;
  const secrets = instance.secrets.map((secret) => ({ path: `/run/secrets/${secret.name}`, mode, content: [secret] }));
  const files = instance.files.map((file) => ({
    path: file.path,
    mode: file.mode,
    content: file.content.map((part) => textOf(part, scope)) satisfies FileContent,
  }));
  return [...secrets, ...files];
}

function textOf(part: TextPart, scope: BindScope): string | Secret {
  if (typeof part === 'string' || part instanceof Secret) return part;
  return brokerPasswordOf(part.user, scope.brokerPassword, scope.hashing).map(scope.hashing.sha256);
}
