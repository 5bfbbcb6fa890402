import { z } from 'zod/mini';
import { LABELS } from '../core/state.ts';
import type { CuError } from '../core/error.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import { plan } from '../plan/plan.ts';
import type { Host } from '../transport/host.ts';
import type { StatusRow } from '../render/status-text.ts';
import type { Context } from './context.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';

const stats = z.object({
  cpu_stats: z.object({
    cpu_usage: z.object({ total_usage: z.number() }),
    system_cpu_usage: z.optional(z.number()),
    online_cpus: z.optional(z.number()),
  }),
  precpu_stats: z.object({
    cpu_usage: z.object({ total_usage: z.number() }),
    system_cpu_usage: z.optional(z.number()),
  }),
  memory_stats: z.object({
    usage: z.optional(z.number()),
    limit: z.optional(z.number()),
    stats: z.optional(z.record(z.string(), z.number())),
  }),
});

export interface StatusResult {
  readonly rows: readonly StatusRow[];
  readonly unreachable: readonly CuError[];
}

/** What runs where, and how it differs from the config; hosts that do not answer are rows of their own. */
export async function status(context: Context, targets: readonly string[]): Promise<StatusResult> {
  const patient: Context = { ...context, options: { ...context.options, skipUnreachable: true } };
  await using prepared = await prepare(patient, targets, {
    version: undefined,
    noBuild: false,
    rebuild: false,
    isStatus: true,
  });
  const { plan: wanted, problems } = plan(prepared.input);
  const drift = new Map<string, string[]>();
  for (const node of wanted.nodes) {
    if (!('spec' in node.action)) continue;
    const key = `${node.host}/${node.action.spec.name}`;
    drift.set(key, [...(drift.get(key) ?? []), node.cause]);
  }
  const rows = await Promise.all([
    ...prepared.instances.map((instance) =>
      rowOf(context, prepared, instance, drift.get(`${instance.host}/${instance.containerName}`) ?? []),
    ),
    ...orphans(prepared).map(({ host, container }) =>
      rowFor(context, prepared, host, container, ['not in the config']),
    ),
  ]);
  for (const problem of problems) context.emit({ type: 'warning', host: problem.host, text: problem.message });
  return { rows, unreachable: prepared.unreachable };
}

async function rowOf(
  context: Context,
  prepared: Prepared,
  instance: Prepared['instances'][number],
  drift: readonly string[],
): Promise<StatusRow> {
  const host = prepared.observed.find((each) => each.name === instance.host);
  const container = host?.containers
    .filter((each) => isInstance(each, prepared, instance.service, instance.instance))
    .toSorted((a, b) => Number(b.name === instance.containerName) - Number(a.name === instance.containerName))[0];
  if (host === undefined || container === undefined) {
    return {
      host: instance.host,
      service: instance.service,
      instance: instance.instance,
      version: undefined,
      state: host === undefined ? 'unreachable' : 'missing',
      health: 'none',
      uptimeMs: undefined,
      cpuPercent: undefined,
      memoryBytes: undefined,
      memoryLimitBytes: undefined,
      ports: [],
      drift: host === undefined ? [] : drift,
    };
  }
  return rowFor(context, prepared, host, container, drift);
}

async function rowFor(
  context: Context,
  prepared: Prepared,
  host: ObservedHost,
  container: ObservedContainer,
  drift: readonly string[],
): Promise<StatusRow> {
  const at = prepared.session.hosts.get(host.name);
  const usage =
    at === undefined || container.state !== 'running' ? undefined : await readStats(context, at, container.id);
  const isRunning = container.state === 'running';
  return {
    host: host.name,
    service: container.labels[LABELS.service] ?? '',
    instance: container.labels[LABELS.instance] ?? '',
    version: container.labels[LABELS.version] ?? container.imageName,
    state: container.state,
    health: container.health,
    uptimeMs:
      isRunning && container.startedAt !== undefined
        ? Math.max(0, context.now() + host.facts.clockOffsetMs - container.startedAt)
        : undefined,
    cpuPercent: usage?.cpuPercent,
    memoryBytes: usage?.memoryBytes,
    memoryLimitBytes:
      container.limits === undefined || container.limits.memoryBytes === 0 ? undefined : container.limits.memoryBytes,
    ports: [
      ...new Set(
        container.ports.filter((port) => !port.address.includes(':')).map((port) => `${port.address}:${port.port}`),
      ),
    ],
    drift,
  };
}

/** As `docker stats` counts: memory without the page cache, CPU over the last second in percent of one core. */
async function readStats(
  context: Context,
  host: Host,
  id: string,
): Promise<{ readonly cpuPercent: number; readonly memoryBytes: number } | undefined> {
  const answer = await host.docker().json({
    method: 'GET',
    path: `/containers/${id}/stats`,
    query: { stream: false },
    signal: context.signal,
    allow: [404, 409],
  });
  const found = stats.safeParse(answer);
  if (!found.success) return undefined;
  const { cpu_stats: now, precpu_stats: before, memory_stats: memory } = found.data;
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const all = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const cache = memory.stats?.['total_inactive_file'] ?? memory.stats?.['inactive_file'] ?? 0;
  return {
    cpuPercent: all > 0 ? (used / all) * (now.online_cpus ?? 1) * 100 : 0,
    memoryBytes: Math.max(0, (memory.usage ?? 0) - cache),
  };
}

function orphans({
  observed,
  desired,
  input,
}: Prepared): readonly { readonly host: ObservedHost; readonly container: ObservedContainer }[] {
  if (!input.isWhole) return [];
  return observed.flatMap((host) =>
    host.containers
      .filter(
        (container) =>
          container.labels[LABELS.project] === desired.project &&
          container.labels[LABELS.environment] === desired.environment &&
          container.labels[LABELS.service] !== undefined &&
          !desired.instances.some(
            (instance) =>
              instance.host === host.name && isInstance(container, { desired }, instance.service, instance.instance),
          ),
      )
      .map((container) => ({ host, container })),
  );
}

function isInstance(
  container: ObservedContainer,
  { desired }: Pick<Prepared, 'desired'>,
  service: string,
  instance: string,
): boolean {
  const { labels } = container;
  return (
    labels[LABELS.project] === desired.project &&
    labels[LABELS.environment] === desired.environment &&
    labels[LABELS.service] === service &&
    labels[LABELS.instance] === instance
  );
}
