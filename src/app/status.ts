import { LABELS } from '../core/state.ts';
import type { CuError } from '../core/error.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import type { ContainerSpec } from '../core/container.ts';
import { bindAll, plan } from '../plan/plan.ts';
import type { StatusRow } from '../render/status-text.ts';
import type { Context } from './context.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import { readStats } from './stats.ts';
import { askHealth } from './ask-health.ts';
import { sortInstance } from './status-leftovers.ts';
import { askProxyFor } from './status-proxy.ts';

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
  const specs = new Map(bindAll(prepared.input).bound.map(({ host, spec }) => [`${host.name}/${spec.name}`, spec]));
  const rows = await Promise.all([
    ...prepared.instances.flatMap((instance) => {
      const key = `${instance.host}/${instance.containerName}`;
      return rowsOf(context, prepared, instance, { drift: drift.get(key) ?? [], spec: specs.get(key) });
    }),
    ...orphans(prepared).map(({ host, container }) =>
      rowFor(context, prepared, { host, container }, { drift: ['not in the config'], spec: undefined }),
    ),
  ]);
  for (const problem of problems) context.emit({ type: 'warning', host: problem.host, text: problem.message });
  return { rows, unreachable: prepared.unreachable };
}

/** What the config and the plan say about an instance; an orphan has no spec. */
interface Known {
  readonly drift: readonly string[];
  readonly spec: ContainerSpec | undefined;
}

/** One for the instance, and one for each container that is there besides. */
function rowsOf(
  context: Context,
  prepared: Prepared,
  instance: Prepared['instances'][number],
  known: Known,
): readonly Promise<StatusRow>[] {
  const host = prepared.observed.find((each) => each.name === instance.host);
  if (host === undefined) return [Promise.resolve(emptyRow(instance, 'unreachable', []))];
  const own = host.containers.filter((each) => isInstance(each, prepared, instance.service, instance.instance));
  const { keeper, leftovers } = sortInstance(instance, own);
  return [
    keeper === undefined
      ? Promise.resolve(emptyRow(instance, 'missing', known.drift))
      : rowFor(context, prepared, { host, container: keeper }, known),
    ...leftovers.map(async ({ container, instance: name, why }) => ({
      ...(await rowFor(context, prepared, { host, container }, { drift: [why], spec: undefined })),
      instance: name,
    })),
  ];
}

function emptyRow(
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

async function rowFor(
  context: Context,
  prepared: Prepared,
  { host, container }: { readonly host: ObservedHost; readonly container: ObservedContainer },
  { drift, spec }: Known,
): Promise<StatusRow> {
  const at = prepared.session.hosts.get(host.name);
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

/** Containers are made by id; people know an image by its name. */
function imageName(host: ObservedHost, container: ObservedContainer): string {
  return host.images.find((image) => image.id === container.imageId)?.tags[0] ?? container.imageName;
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
