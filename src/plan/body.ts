import type { InstanceSpec, ObservedHost } from '../core/state.ts';
import { bindAddress } from './address.ts';

interface BodyOptions {
  readonly network: string;
  readonly user: { readonly uid: number | undefined; readonly gid: number | undefined };
  /** Behind the proxy: ports of the loopback by the container's. */
  readonly slotPorts: Readonly<Record<number, number>> | undefined;
}

/** The body of `POST /containers/create` (API 1.41) but for Image, Env and Labels. */
export function createBody(
  instance: InstanceSpec,
  host: ObservedHost,
  { network, user, slotPorts }: BodyOptions,
): Readonly<Record<string, unknown>> {
  const isShared = instance.network === 'project';
  return {
    ...(instance.entrypoint === undefined ? {} : { Entrypoint: instance.entrypoint }),
    ...(instance.command === undefined ? {} : { Cmd: instance.command }),
    ...(instance.workdir === undefined ? {} : { WorkingDir: instance.workdir }),
    ...(user.uid === undefined ? {} : { User: `${user.uid}:${user.gid ?? user.uid}` }),
    ...(instance.stopSignal === undefined ? {} : { StopSignal: instance.stopSignal }),
    StopTimeout: Math.ceil(instance.drainMs / 1000),
    ExposedPorts: Object.fromEntries(instance.ports.map((port) => [`${port.containerPort}/tcp`, {}])),
    HostConfig: {
      NetworkMode: network,
      PortBindings: slotPorts === undefined ? portBindings(instance, host) : slotBindings(slotPorts),
      Mounts: [
        ...instance.mounts.map((mount) => ({
          Type: mount.type,
          Source: mount.type === 'volume' ? mount.name : mount.source,
          Target: mount.target,
          ReadOnly: mount.readOnly,
        })),
        // A read-only root takes secrets and files only inside a volume: an anonymous one, removed with it.
        ...(instance.readOnly ? fileFolders(instance).map((Target) => ({ Type: 'volume', Target })) : []),
      ],
      RestartPolicy: { Name: instance.restart },
      Memory: memoryOf(instance, host),
      NanoCpus: Math.round((instance.cpus ?? 0) * 1e9),
      CpusetCpus: instance.cpuset ?? '',
      ...(instance.shmBytes === undefined ? {} : { ShmSize: instance.shmBytes }),
      ...(instance.pids === undefined ? {} : { PidsLimit: instance.pids }),
      Ulimits: instance.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
      Devices: instance.devices.map(deviceOf),
      DeviceRequests: deviceRequests(instance),
      CapAdd: instance.capabilities,
      ReadonlyRootfs: instance.readOnly,
      LogConfig: {
        Type: 'json-file',
        Config: { 'max-size': `${instance.logs.maxBytes}`, 'max-file': `${instance.logs.maxFiles}` },
      },
    },
    ...(isShared
      ? {
          NetworkingConfig: {
            EndpointsConfig: { [network]: { Aliases: [instance.service, `${instance.service}-${instance.instance}`] } },
          },
        }
      : {}),
  };
}

export function hostConfigOf(body: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const config = body['HostConfig'];
  return typeof config === 'object' && config !== null ? { ...config } : {};
}

/** Where the host, or its loopback, leads to the container's ports, by `PORT/tcp`. */
export function bindingsOf(body: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const bindings = hostConfigOf(body)['PortBindings'];
  return typeof bindings === 'object' && bindings !== null ? { ...bindings } : {};
}

function fileFolders(instance: InstanceSpec): readonly string[] {
  const paths = [...instance.secrets.map(() => '/run/secrets/x'), ...instance.files.map((file) => file.path)];
  return [...new Set(paths.map((path) => path.replace(/\/[^/]*$/, '')))].toSorted();
}

/** Bytes; 0 is the engine's word for no limit. */
export function memoryOf(instance: InstanceSpec, host: ObservedHost): number {
  const { memory } = instance;
  if (memory === undefined) return 0;
  return memory.type === 'bytes' ? memory.bytes : Math.floor(memory.share * host.facts.memoryBytes);
}

function portBindings(instance: InstanceSpec, host: ObservedHost): Readonly<Record<string, readonly unknown[]>> {
  const bindings: Record<string, unknown[]> = {};
  for (const port of instance.ports) {
    const HostIp = bindAddress(port.bind, host, `services.${instance.service}.ports`);
    (bindings[`${port.containerPort}/tcp`] ??= []).push({ HostIp, HostPort: `${port.port}` });
  }
  return bindings;
}

function slotBindings(ports: Readonly<Record<number, number>>): Readonly<Record<string, readonly unknown[]>> {
  return Object.fromEntries(
    Object.entries(ports).map(([containerPort, port]) => [
      `${containerPort}/tcp`,
      [{ HostIp: '127.0.0.1', HostPort: `${port}` }],
    ]),
  );
}

/** `/dev/x`, `/dev/x:/dev/y` or `/dev/x:/dev/y:rwm`. */
function deviceOf(text: string): Readonly<Record<string, string>> {
  const [host = '', container = host, permissions = 'rwm'] = text.split(':');
  return { PathOnHost: host, PathInContainer: container, CgroupPermissions: permissions };
}

function deviceRequests(instance: InstanceSpec): readonly unknown[] {
  const { gpus } = instance;
  if (gpus === undefined) return [];
  const Capabilities = [['gpu']];
  if (gpus === 'all') return [{ Count: -1, Capabilities }];
  return typeof gpus === 'number' ? [{ Count: gpus, Capabilities }] : [{ DeviceIDs: gpus, Capabilities }];
}
