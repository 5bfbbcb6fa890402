import { CuError, CuErrors } from '../core/error.ts';
import { withKnownIds } from '../core/release.ts';
import type { Commit, ReleaseImage } from '../core/release.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import { bindAll } from '../plan/plan.ts';
import { commitOf } from '../plan/releases.ts';
import { askHealth } from './ask-health.ts';
import { carryOut } from './carry-out.ts';
import type { DeployResult } from './carry-out.ts';
import type { Context } from './context.ts';
import { readReleases } from './history.ts';
import { open, prepare, prepareRunning } from './prepare.ts';
import type { Prepared } from './prepare.ts';

export interface PromoteOptions {
  readonly from: string;
  readonly to: string;
  readonly dryRun: boolean;
  readonly prune: boolean;
  readonly pauseMs: number;
  readonly isDetached: boolean;
}

/** The version that runs in one environment becomes another's: the same bytes, no build. */
export async function promote(context: Context, options: PromoteOptions): Promise<DeployResult> {
  const { from, to } = options;
  if (from === to)
    throw new CuError('USAGE', `${from} cannot be promoted to itself`, { hint: 'name two environments' });
  const source = await readSource(inEnvironment(context, from), from);
  const { pauseMs, isDetached } = options;
  const target = inEnvironment(context, to);
  await using opened = await open(target, [], options.dryRun ? undefined : 'promote');
  const past = await readReleases(target, opened.session, opened.project.desired);
  const request = {
    version: undefined,
    noBuild: true,
    rebuild: false,
    pinned: withKnownIds(source.images, past),
    holders: source.observed,
    opened,
    pauseMs,
    isDetached,
  };
  await using prepared = await prepare(target, [], request);
  // Bytes may come from hosts that only the other environment uses.
  for (const image of prepared.images.values()) {
    const origin = image.type === 'build' ? image.origin?.host : undefined;
    const at = prepared.desired.hosts.find(({ name }) => name === origin);
    if (at !== undefined) await prepared.session.open(at);
  }
  return await carryOut(target, prepared, { ...options, kind: 'promote', targets: [], commit: source.commit });
}

function inEnvironment(context: Context, environment: string): Context {
  return { ...context, options: { ...context.options, environment } };
}

interface Source {
  readonly images: Readonly<Record<string, ReleaseImage>>;
  readonly commit: Commit;
  readonly observed: readonly ObservedHost[];
}

/** What runs there, of every image that cu builds; refused unless all of it is well and of one version. */
async function readSource(context: Context, name: string): Promise<Source> {
  await using prepared = await prepareRunning(context, []);
  const { desired, observed, session } = prepared;
  const problems: CuError[] = [];
  const releases = await readReleases(context, session, desired);
  const newest = releases.at(-1);
  if (newest !== undefined && newest.outcome !== 'done')
    problems.push(refusal(name, `its last ${newest.kind} ${newest.outcome ?? 'was cut off'}`));
  const { bound } = bindAll(prepared.input);
  const found: Running[] = [];
  await Promise.all(
    desired.instances.map(async (instance) => {
      const host = observed.find((each) => each.name === instance.host);
      const container = host?.containers.find((each) => each.name === instance.containerName);
      const what = `${instance.service}/${instance.instance} on ${instance.host}`;
      const state = await stateOf(context, prepared, { host, container, bound });
      if (state !== 'healthy' || container === undefined) {
        problems.push(refusal(name, `${what} is ${state}`));
        return;
      }
      const inputs = container.labels[LABELS.inputs];
      if (inputs === undefined) return;
      const version = container.labels[LABELS.version] ?? '';
      found.push({ ...instance, inputs, version, imageId: container.imageId });
    }),
  );
  const images = desired.images.flatMap((image): readonly (readonly [string, ReleaseImage])[] => {
    const running = found.filter((each) => each.image === image.name);
    const [first] = running;
    if (first === undefined) return [];
    const versions = new Map(running.map(({ inputs, version }) => [inputs, version]));
    if (versions.size > 1)
      problems.push(refusal(name, `several versions of ${image.name} run there: ${[...versions.values()].join(', ')}`));
    const { version, inputs } = first;
    const repository = image.type === 'build' ? image.repository : '';
    const ids = Object.fromEntries(running.map(({ host, imageId }) => [host, imageId]));
    return [[image.name, { type: 'build', version, inputs, repository, ids }]];
  });
  if (problems.length > 0) throw new CuErrors(problems);
  const commit = newest === undefined ? { commit: undefined, isDirty: false } : commitOf(newest, releases);
  return { images: Object.fromEntries(images), commit, observed };
}

/** A container of an image that cu has built. */
interface Running {
  readonly image: string;
  readonly host: string;
  readonly inputs: string;
  readonly version: string;
  readonly imageId: string;
}

async function stateOf(
  context: Context,
  { session }: Prepared,
  {
    host,
    container,
    bound,
  }: {
    readonly host: ObservedHost | undefined;
    readonly container: ObservedContainer | undefined;
    readonly bound: ReturnType<typeof bindAll>['bound'];
  },
): Promise<string> {
  const at = session.hosts.get(host?.name ?? '');
  if (host === undefined || at === undefined) return 'not reachable';
  if (container === undefined) return 'missing';
  if (container.state !== 'running') return container.state;
  const spec = bound.find((each) => each.host === host && each.spec.name === container.name)?.spec;
  const health = await askHealth(context, at, { container, spec });
  return health === 'none' ? 'healthy' : health;
}

function refusal(environment: string, why: string): CuError {
  return new CuError('STEP_FAILED', `${environment} is not healthy: ${why}`, {
    hint: `mend it with \`cu deploy --env ${environment}\` first; nothing was changed`,
  });
}
