import type { ContainerSpec } from '../core/container.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import type { StatusRow } from '../render/status-text.ts';
import { askHealth } from './ask-health.ts';
import type { Context } from './context.ts';
import type { Prepared } from './prepare.ts';
import { readStats } from './stats.ts';
import { askProxyFor } from './status-proxy.ts';

/** What the config and the plan say about a container; only what stands for an instance has a spec. */
export interface Known {
  readonly drift: readonly string[];
  readonly spec: ContainerSpec | undefined;
}

/** Of a container that is there: asks the host what only it knows, where it runs. */
export async function rowFor(
  context: Context,
  { session }: Pick<Prepared, 'session'>,
  { host, container }: { readonly host: ObservedHost; readonly container: ObservedContainer },
  { drift, spec }: Known,
): Promise<StatusRow> {
  const at = session.hosts.get(host.name);
  const isRunning = container.state === 'running';
  const [usage, health, seen] =
    at === undefined || !isRunning
      ? [undefined, container.health, undefined]
      : await Promise.all([
          readStats(context, at, container.id),
          askHealth(context, at, { container, spec }),
          askProxyFor(context, at, { host, container }),
        ]);
  return {
    host: host.name,
    service: container.labels[LABELS.service] ?? '',
    instance: container.labels[LABELS.instance] ?? '',
    version: container.labels[LABELS.version] ?? imageName(host, container),
    state: container.state,
    health,
    uptimeMs:
      isRunning && container.startedAt !== undefined
        ? Math.max(0, context.now() + host.facts.clockOffsetMs - container.startedAt)
        : undefined,
    cpuPercent: usage?.cpuPercent,
    memoryBytes: usage?.memoryBytes,
    memoryLimitBytes:
      container.limits === undefined || container.limits.memoryBytes === 0 ? undefined : container.limits.memoryBytes,
    ports: seen?.ports ?? [
      ...new Set(
        container.ports.filter((port) => !port.address.includes(':')).map((port) => `${port.address}:${port.port}`),
      ),
    ],
    proxy: seen?.text,
    drift,
  };
}

/** Of what is not there, or cannot be seen. */
export function emptyRow(
  { host, service, instance }: Pick<StatusRow, 'host' | 'service' | 'instance'>,
  state: 'missing' | 'unreachable',
  drift: readonly string[],
): StatusRow {
  return {
    host,
    service,
    instance,
    version: undefined,
    state,
    health: 'none',
    uptimeMs: undefined,
    cpuPercent: undefined,
    memoryBytes: undefined,
    memoryLimitBytes: undefined,
    ports: [],
    proxy: undefined,
    drift,
  };
}

/** Containers are made by id; people know an image by its name. */
function imageName(host: ObservedHost, container: ObservedContainer): string {
  return host.images.find((image) => image.id === container.imageId)?.tags[0] ?? container.imageName;
}
