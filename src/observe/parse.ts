import { z } from 'zod/mini';
import type { ObservedContainer, ObservedHost, ObservedImage } from '../core/state.ts';

/** The parts of the Docker API's answers (API 1.41) that cu reads; everything else is dropped here. */
const labels = z.nullish(z.record(z.string(), z.string()));
const states = z.enum(['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead']);

const listedContainer = z.object({
  Id: z.string(),
  Names: z.nullish(z.array(z.string())),
  Image: z.string(),
  ImageID: z.string(),
  Created: z.number(),
  Ports: z.nullish(
    z.array(z.object({ IP: z.optional(z.string()), PublicPort: z.optional(z.number()), PrivatePort: z.number() })),
  ),
  Labels: labels,
  State: states,
  Status: z.string(),
  NetworkSettings: z.nullish(z.object({ Networks: z.nullish(z.record(z.string(), z.unknown())) })),
  Mounts: z.nullish(z.array(z.object({ Type: z.string(), Name: z.optional(z.string()) }))),
});

const inspectedContainer = z.object({
  Id: z.string(),
  Name: z.string(),
  Image: z.string(),
  RestartCount: z.number(),
  State: z.object({
    Status: states,
    ExitCode: z.number(),
    OOMKilled: z.boolean(),
    StartedAt: z.string(),
    Error: z.optional(z.string()),
    Health: z.nullish(z.object({ Status: z.string() })),
  }),
  Config: z.object({ Tty: z.boolean(), Labels: labels, StopTimeout: z.nullish(z.number()) }),
  HostConfig: z.object({
    Memory: z.number(),
    NanoCpus: z.number(),
    CpusetCpus: z.string(),
    PidsLimit: z.nullish(z.number()),
    NetworkMode: z.string(),
    RestartPolicy: z.object({ Name: z.string() }),
  }),
  NetworkSettings: z.object({
    Networks: z.nullish(z.record(z.string(), z.object({ IPAddress: z.string() }))),
    Ports: z.nullish(z.record(z.string(), z.nullish(z.array(z.object({ HostIp: z.string(), HostPort: z.string() }))))),
  }),
});

const listedImage = z.object({
  Id: z.string(),
  RepoTags: z.nullish(z.array(z.string())),
  RepoDigests: z.nullish(z.array(z.string())),
  Labels: labels,
  Size: z.number(),
  Created: z.number(),
});

export interface InspectedContainer {
  readonly observed: Pick<
    ObservedContainer,
    | 'id'
    | 'name'
    | 'imageId'
    | 'state'
    | 'health'
    | 'limits'
    | 'networks'
    | 'startedAt'
    | 'restartCount'
    | 'stopMs'
    | 'exitCode'
    | 'isOomKilled'
  >;
  readonly labels: Readonly<Record<string, string>>;
  readonly hasTty: boolean;
  readonly networkMode: string;
  /** Address by network. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Published address and port by container port. */
  readonly published: Readonly<Record<number, { readonly address: string; readonly port: number }>>;
  readonly error: string;
}

export function parseContainer(value: unknown): ObservedContainer {
  const listed = listedContainer.parse(value);
  return {
    id: listed.Id,
    name: (listed.Names ?? []).map((name) => name.replace(/^\//, '')).find((name) => !name.includes('/')) ?? '',
    imageId: listed.ImageID,
    imageName: listed.Image,
    labels: listed.Labels ?? {},
    state: listed.State,
    health: healthOf(listed.Status),
    createdAt: listed.Created * 1000,
    status: listed.Status,
    ports: (listed.Ports ?? []).flatMap((port) =>
      port.PublicPort === undefined
        ? []
        : [{ address: port.IP ?? '0.0.0.0', port: port.PublicPort, containerPort: port.PrivatePort }],
    ),
    networks: Object.keys(listed.NetworkSettings?.Networks ?? {}),
    volumes: (listed.Mounts ?? []).flatMap((mount) =>
      mount.Type === 'volume' && mount.Name !== undefined ? [mount.Name] : [],
    ),
    limits: undefined,
    startedAt: undefined,
    restartCount: 0,
    exitCode: exitCodeIn(listed.Status),
    isOomKilled: false,
    stopMs: undefined,
  };
}

export function parseInspect(value: unknown): InspectedContainer {
  const found = inspectedContainer.parse(value);
  const startedAt = Date.parse(found.State.StartedAt);
  return {
    observed: {
      id: found.Id,
      name: found.Name.replace(/^\//, ''),
      imageId: found.Image,
      state: found.State.Status,
      health: healthOf(`(${found.State.Health?.Status ?? 'none'})`),
      limits: {
        memoryBytes: found.HostConfig.Memory,
        nanoCpus: found.HostConfig.NanoCpus,
        cpuset: found.HostConfig.CpusetCpus,
        pids: Math.max(0, found.HostConfig.PidsLimit ?? 0),
        restart: found.HostConfig.RestartPolicy.Name,
      },
      networks: Object.keys(found.NetworkSettings.Networks ?? {}),
      startedAt: startedAt > 0 ? startedAt : undefined,
      restartCount: found.RestartCount,
      exitCode: found.State.Status === 'running' ? undefined : found.State.ExitCode,
      isOomKilled: found.State.OOMKilled,
      stopMs: found.Config.StopTimeout == null ? undefined : found.Config.StopTimeout * 1000,
    },
    labels: found.Config.Labels ?? {},
    hasTty: found.Config.Tty,
    networkMode: found.HostConfig.NetworkMode,
    addresses: Object.fromEntries(
      Object.entries(found.NetworkSettings.Networks ?? {}).map(([name, network]) => [name, network.IPAddress]),
    ),
    published: publishedPorts(found.NetworkSettings.Ports ?? {}),
    error: found.State.Error ?? '',
  };
}

export function parseImages(value: unknown): readonly ObservedImage[] {
  return z
    .array(listedImage)
    .parse(value)
    .map((image) => ({
      id: image.Id,
      tags: (image.RepoTags ?? []).filter((tag) => tag !== '<none>:<none>'),
      digests: (image.RepoDigests ?? []).filter((digest) => !digest.startsWith('<none>')),
      labels: image.Labels ?? {},
      sizeBytes: image.Size,
      createdAt: image.Created * 1000,
    }));
}

export function parseNetworks(value: unknown): ObservedHost['networks'] {
  const networks = z.array(z.object({ Id: z.string(), Name: z.string(), Labels: labels }));
  return networks.parse(value).map((network) => ({ id: network.Id, name: network.Name, labels: network.Labels ?? {} }));
}

export function parseVolumes(value: unknown): ObservedHost['volumes'] {
  const volumes = z.object({ Volumes: z.nullish(z.array(z.object({ Name: z.string(), Labels: labels }))) });
  return (volumes.parse(value).Volumes ?? []).map((volume) => ({ name: volume.Name, labels: volume.Labels ?? {} }));
}

function publishedPorts(
  ports: Readonly<Record<string, readonly { HostIp: string; HostPort: string }[] | null | undefined>>,
): InspectedContainer['published'] {
  const published: Record<number, { address: string; port: number }> = {};
  for (const [name, bindings] of Object.entries(ports)) {
    const first = bindings?.[0];
    if (first !== undefined)
      published[Number.parseInt(name, 10)] = { address: first.HostIp, port: Number(first.HostPort) };
  }
  return published;
}

function healthOf(status: string): ObservedContainer['health'] {
  if (status.includes('(healthy)')) return 'healthy';
  if (status.includes('(unhealthy)')) return 'unhealthy';
  if (status.includes('(health: starting)') || status.includes('(starting)')) return 'starting';
  return 'none';
}

/** `Exited (137) 2 minutes ago` to 137. */
function exitCodeIn(status: string): number | undefined {
  const match = /^Exited \((\d+)\)/.exec(status);
  return match === null ? undefined : Number(match[1]);
}
