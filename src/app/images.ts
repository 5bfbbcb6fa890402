import { join } from 'node:path';
import { inputDigest } from '../build/inputs.ts';
import type { BuildInputs } from '../build/inputs.ts';
import { readRuntime } from '../build/runtime.ts';
import { CuError } from '../core/error.ts';
import { LABELS } from '../core/state.ts';
import type { BuildSource, Desired, InstanceSpec, ObservedHost, ObservedImage } from '../core/state.ts';
import { parseImages } from '../observe/parse.ts';
import { imageOnHost, pinnedOnHost } from '../plan/images.ts';
import type { WantedImage } from '../plan/input.ts';
import { PROXY_IMAGE } from '../plan/proxy/nodes.ts';
import type { ImageIds, ReleaseImage } from '../core/release.ts';
import type { Context } from './context.ts';
import type { Session } from './session.ts';

export interface ImageOptions {
  /** `--version V`: this version, wherever it still is. */
  readonly version: string | undefined;
  readonly noBuild: boolean;
  readonly rebuild: boolean;
  /** The images of a release: nothing is built, and these bytes are wanted. */
  readonly pinned?: Readonly<Record<string, ReleaseImage>>;
  /** Further hosts that may have them. */
  readonly holders?: readonly ObservedHost[];
  /** Only what the builder has counts: no host was looked at. */
  readonly isBuild?: boolean;
  /** Only what the hosts have counts: no builder is looked at. */
  readonly isStatus?: boolean;
}

/** Who runs an image; for one that nothing runs, such as an image of tests alone, its builder. */
export type ImageUse = Pick<InstanceSpec, 'image' | 'host'>;

/** Digests what is built from; this needs no host, so it runs while they are being looked at. */
export async function readInputs(
  context: Context,
  desired: Desired,
  instances: readonly ImageUse[],
): Promise<ReadonlyMap<string, BuildInputs>> {
  const runtimeFolder = join(context.packageRoot, 'templates', 'runtime');
  const used = new Set(instances.map((instance) => instance.image));
  const found = new Map<string, BuildInputs>();
  for (const source of desired.images) {
    if (source.type !== 'build' || !used.has(source.name)) continue;
    const { cacheDir, now, signal } = context;
    const options = { cacheDir, now, signal, readRuntime: () => readRuntime(runtimeFolder) };
    found.set(source.name, await inputDigest(source, options));
  }
  return found;
}

/** Decides for each image which version is wanted and where its bytes come from. */
export async function wantImages(
  context: Context,
  at: {
    readonly session: Session;
    readonly desired: Desired;
    readonly instances: readonly ImageUse[];
    readonly observed: readonly ObservedHost[];
    readonly inputs: ReadonlyMap<string, BuildInputs>;
  },
  options: ImageOptions,
): Promise<ReadonlyMap<string, WantedImage>> {
  const wanted = new Map<string, WantedImage>();
  const used = new Set([...at.instances.map((instance) => instance.image), PROXY_IMAGE]);
  for (const source of at.desired.images) {
    if (!used.has(source.name)) continue;
    const pin = options.pinned?.[source.name];
    if (source.type === 'ref')
      wanted.set(source.name, { type: 'ref', source, ...(pin?.type === 'ref' ? { ids: pin.ids } : {}) });
    else wanted.set(source.name, await wantBuilt(context, source, at, options));
  }
  return wanted;
}

async function wantBuilt(
  context: Context,
  source: BuildSource,
  at: Parameters<typeof wantImages>[1],
  options: ImageOptions,
): Promise<WantedImage> {
  const holders = [...at.observed, ...(options.holders ?? [])];
  const pin = options.pinned?.[source.name];
  const users = at.observed.filter((host) =>
    at.instances.some((instance) => instance.image === source.name && instance.host === host.name),
  );
  const inputs = at.inputs.get(source.name);
  const builder = source.on === 'local' ? at.session.localName : source.on;
  const ids =
    pin?.type === 'build' ? await idsLeft(pin.ids, holders, () => readBuilder(context, builder, at)) : undefined;
  const make = (digest: string, version: string, origin: OriginOrNone): WantedImage => ({
    type: 'build',
    source,
    inputs: digest,
    version,
    origin,
    ...(ids === undefined ? {} : { ids }),
  });
  let digest = inputs?.digest ?? '';
  if (pin?.type === 'build') digest = pin.inputs;
  else if (options.version !== undefined) {
    const named =
      findVersion(holders, source, options.version) ??
      findVersion([await readBuilder(context, builder, at)], source, options.version);
    if (named === undefined) throw unknownVersion(source, options.version, holders);
    digest = named.labels[LABELS.inputs] ?? '';
  }
  const probe = make(digest, '', undefined);
  const isEverywhere = options.isBuild !== true && users.every((host) => imageOnHost(host, probe) !== undefined);
  if (isEverywhere && users[0] !== undefined && !options.rebuild) {
    return make(digest, versionIn(imageOnHost(users[0], probe)), undefined);
  }
  if (options.isStatus === true) {
    const holder = holders.find((host) => imageOnHost(host, probe) !== undefined);
    const version = holder === undefined ? 'not built yet' : versionIn(imageOnHost(holder, probe));
    return make(digest, version, originOf(holder?.name, holder && imageOnHost(holder, probe)));
  }
  const atBuilder = holders.find((host) => host.name === builder) ?? (await readBuilder(context, builder, at));
  const built = imageOnHost(atBuilder, probe);
  if (built !== undefined && !options.rebuild) return make(digest, versionIn(built), originOf(builder, built));
  const holder = options.rebuild ? undefined : holders.find((host) => imageOnHost(host, probe) !== undefined);
  const held = holder === undefined ? undefined : imageOnHost(holder, probe);
  if (held !== undefined) return make(digest, versionIn(held), originOf(holder?.name, held));
  if (pin !== undefined) throw goneVersion(source, pin);
  if (options.noBuild) {
    throw new CuError(
      'STEP_FAILED',
      `image ${source.name} is not built for the present inputs, and --no-build forbids it`,
      {
        hint: 'run `cu build` first, or name a version with --version',
      },
    );
  }
  const version = await newVersion(context, inputs, [atBuilder, ...holders]);
  return make(digest, version, { host: builder, isBuilt: false });
}

/** The ids of a release while its bytes are anywhere; without them another build of the same inputs has to do. */
async function idsLeft(
  ids: ImageIds,
  holders: readonly ObservedHost[],
  askBuilder: () => Promise<Pick<ObservedHost, 'images' | 'name'>>,
): Promise<ImageIds | undefined> {
  if (Object.keys(ids).length === 0) return undefined;
  if (holders.some((host) => pinnedOnHost(host, ids) !== undefined)) return ids;
  try {
    return pinnedOnHost(await askBuilder(), ids) === undefined ? undefined : ids;
  } catch (error) {
    // The hosts may have all that is needed without it: not yet a reason to give up.
    if (error instanceof CuError) return undefined;
    throw error;
  }
}

type OriginOrNone = Extract<WantedImage, { type: 'build' }>['origin'];

function originOf(host: string | undefined, image: ObservedImage | undefined): OriginOrNone {
  return host === undefined || image === undefined ? undefined : { host, isBuilt: true, imageId: image.id };
}

async function newVersion(
  context: Context,
  inputs: BuildInputs | undefined,
  holders: readonly Pick<ObservedHost, 'images'>[],
): Promise<string> {
  if (inputs === undefined) throw new Error('an image without inputs cannot be built');
  const { readGitFacts, versionOf } = await import('../build/version.ts');
  const git = await readGitFacts(inputs.context, context);
  const taken = new Map(
    holders.flatMap((host) => host.images).map((image) => [versionIn(image), image.labels[LABELS.inputs] ?? '']),
  );
  return versionOf({ git, digest: inputs.digest, now: new Date(context.now()), taken });
}

/** Only its list of images is read: nothing else of a builder matters. */
async function readBuilder(
  context: Context,
  name: string,
  { session, desired }: { readonly session: Session; readonly desired: Desired },
): Promise<Pick<ObservedHost, 'images' | 'name'>> {
  const target = desired.hosts.find((host) => host.name === name);
  const host = target === undefined ? await session.openLocal() : await session.open(target);
  const images = parseImages(await host.docker().json({ method: 'GET', path: '/images/json', signal: context.signal }));
  return { name, images };
}

function findVersion(
  holders: readonly Pick<ObservedHost, 'images'>[],
  source: BuildSource,
  version: string,
): ObservedImage | undefined {
  return holders
    .flatMap((host) => host.images)
    .find(
      (image) =>
        image.labels[LABELS.version] === version && image.tags.some((tag) => tag.startsWith(`${source.repository}:`)),
    );
}

function goneVersion(source: BuildSource, pin: ReleaseImage): CuError {
  const version = pin.type === 'build' ? pin.version : pin.reference;
  return new CuError('STEP_FAILED', `no host has version ${version} of image ${source.name} any more`, {
    hint: 'check out its commit (`cu history`) and run `cu deploy`; `keep` of an image says how many versions stay',
  });
}

function versionIn(image: ObservedImage | undefined): string {
  return image?.labels[LABELS.version] ?? '';
}

function unknownVersion(source: BuildSource, version: string, holders: readonly ObservedHost[]): CuError {
  const known = new Set(
    holders
      .flatMap((host) => host.images)
      .filter((image) => image.tags.some((tag) => tag.startsWith(`${source.repository}:`)))
      .map(versionIn),
  );
  return new CuError('USAGE', `no host has version ${version} of image ${source.name}`, {
    hint: known.size === 0 ? 'no version is there yet: run `cu deploy`' : `there are ${[...known].join(', ')}`,
  });
}
