import type { CuError } from '../core/error.ts';
import { PROXY_NAME } from '../core/proxy.ts';
import type { InstanceSpec, ObservedContainer, ObservedHost } from '../core/state.ts';
import { inspectContainer } from '../observe/observe.ts';
import { isOfInstance } from '../plan/containers.ts';
import { isOurs } from '../plan/orphans.ts';
import { bindAll, plan } from '../plan/plan.ts';
import type { StatusRow } from '../render/status-text.ts';
import type { Context } from './context.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import { driftOf } from './status-drift.ts';
import { sortInstance } from './status-leftovers.ts';
import { isBehindProxy } from './status-proxy.ts';
import { emptyRow, rowFor } from './status-row.ts';
import type { Known } from './status-row.ts';

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
  const drift = driftOf(wanted.nodes, prepared.instances);
  const specs = new Map(bindAll(prepared.input).bound.map(({ host, spec }) => [`${host.name}/${spec.name}`, spec]));
  const rows = await Promise.all([
    ...prepared.instances.flatMap((instance) => {
      const key = `${instance.host}/${instance.containerName}`;
      return rowsOf(context, prepared, instance, { drift: drift.get(key) ?? [], spec: specs.get(key) });
    }),
    ...orphans(prepared).map(({ host, container }) =>
      rowFor(context, prepared, { host, container }, { drift: ['not in the config'], spec: undefined }),
    ),
    ...prepared.observed
      .filter((host) => isBehindProxy(host, prepared.input))
      .map((host) => proxyRow(context, prepared, host, drift.get(`${host.name}/${PROXY_NAME}`) ?? [])),
  ]);
  for (const problem of problems) context.emit({ type: 'warning', host: problem.host, text: problem.message });
  return { rows, unreachable: prepared.unreachable };
}

/** One for the instance, and one for each container that is there besides. */
function rowsOf(
  context: Context,
  prepared: Prepared,
  instance: InstanceSpec,
  known: Known,
): readonly Promise<StatusRow>[] {
  const host = prepared.observed.find((each) => each.name === instance.host);
  if (host === undefined) return [Promise.resolve(emptyRow(instance, 'unreachable', []))];
  const own = host.containers.filter((each) => isOurs(each, prepared) && isOfInstance(each, instance));
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

/** Of the proxy of a host, which is nobody's instance: a look at the host does not inspect it. */
async function proxyRow(
  context: Context,
  prepared: Prepared,
  host: ObservedHost,
  drift: readonly string[],
): Promise<StatusRow> {
  const names = { host: host.name, service: 'proxy', instance: PROXY_NAME };
  const listed = host.containers.find(({ name }) => name === PROXY_NAME);
  if (listed === undefined) return emptyRow(names, 'missing', drift);
  const at = prepared.session.hosts.get(host.name);
  const found = at === undefined ? undefined : await inspectContainer(at, listed.id, context.signal);
  const container = { ...listed, ...found?.observed };
  return { ...(await rowFor(context, prepared, { host, container }, { drift, spec: undefined })), ...names };
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
          isOurs(container, { desired }) &&
          !desired.instances.some((instance) => instance.host === host.name && isOfInstance(container, instance)),
      )
      .map((container) => ({ host, container })),
  );
}
