import pLimit from 'p-limit';
import type { PlanNode } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import type { OnProgress } from '../core/event.ts';
import type { ImageIds } from '../core/release.ts';
import { formatBytes } from '../core/format.ts';
import { imageOnHost } from '../plan/images.ts';
import type { WantedImage } from '../plan/input.ts';
import { nameImage } from '../ship/engine-image.ts';
import type { ShippableImage } from '../ship/image.ts';
import type { Host } from '../transport/host.ts';
import type { RunScope } from './scope.ts';

/** Transfers at once: the uplink is shared, more of them only make all of them late. */
const UPLINKS = 4;

export interface StepOutput {
  readonly signal: AbortSignal;
  readonly onOutput: (text: string) => void;
  readonly onProgress: OnProgress;
}

/** The image steps of one run; what they open (blob cache, receiver) is opened once and closed with them. */
export interface ImageSteps extends AsyncDisposable {
  /** The id that an image has on a host. */
  idOn(host: string, image: string): string;
  knownIdOn(host: string, image: string): string | undefined;
  /** All that is known by now, by image. */
  ids(): Readonly<Record<string, ImageIds>>;
  build(node: PlanNode, image: string, version: string, output: StepOutput): Promise<undefined>;
  push(node: PlanNode, image: string, version: string, output: StepOutput): Promise<string>;
  ship(node: PlanNode, image: string, from: string, output: StepOutput): Promise<string>;
  pull(node: PlanNode, image: string, reference: string, output: StepOutput): Promise<string | undefined>;
  tag(node: PlanNode, image: string, tags: readonly string[], signal: AbortSignal): Promise<void>;
}

export function createImageSteps(scope: RunScope): ImageSteps {
  const ids = new Map<string, Map<string, string>>();
  const remember = (host: string, image: string, id: string): void => {
    ids.set(image, new Map(ids.get(image)).set(host, id));
  };
  const digests = new Map<string, string>();
  const exports = new Map<string, Promise<ShippableImage>>();
  const uplink = pLimit(UPLINKS);
  let opened: ReturnType<typeof openShipping> | undefined;
  const shipping = (): ReturnType<typeof openShipping> => (opened ??= openShipping(scope.cacheDir));

  for (const [name, wanted] of scope.images) {
    // A builder that is no host of the plan was not observed.
    if (wanted.type === 'build' && wanted.origin?.isBuilt === true)
      remember(wanted.origin.host, name, wanted.origin.imageId);
    for (const host of scope.observed.values()) {
      const present = imageOnHost(host, wanted);
      if (present !== undefined) remember(host.name, name, present.id);
    }
  }
  const knownIdOn = (host: string, image: string): string | undefined => ids.get(image)?.get(host);
  const idOn = (host: string, image: string): string => {
    const id = knownIdOn(host, image);
    if (id === undefined) throw new Error(`image ${image} has no id on ${host}`);
    return id;
  };
  /** Hosts that were freed of what killed exports left, before the first of this run. */
  const cleaned = new Map<string, Promise<void>>();
  const exportOnce = async (
    host: Host,
    imageId: string,
    { signal, onProgress }: StepOutput,
  ): Promise<ShippableImage> => {
    const at = `${host.name} ${imageId}`;
    const known = exports.get(at);
    if (known !== undefined) return known;
    const isLocal = scope.desired.hosts.find((target) => target.name === host.name)?.connection !== 'ssh';
    const exporting = shipping().then(async ({ blobs, receiver }) => {
      const { dropLeftNames, exportImage } = await import('../ship/export.ts');
      const cleaning = cleaned.get(host.name) ?? dropLeftNames({ host, isLocal, receiver });
      cleaned.set(host.name, cleaning);
      await cleaning;
      return exportImage({ host, isLocal, imageId, blobs, receiver, signal, onProgress });
    });
    exports.set(at, exporting);
    return exporting;
  };
  const deliver = async (
    node: PlanNode,
    from: { readonly host: Host; readonly imageId: string },
    tags: readonly string[],
    output: StepOutput,
  ): Promise<{ readonly imageId: string; readonly note: string }> => {
    const image = await exportOnce(from.host, from.imageId, output);
    const { blobs, receiver } = await shipping();
    const { shipImage } = await import('../ship/partial-load.ts');
    const facts = observedOf(scope, node.host).facts;
    const shipped = await uplink(() =>
      shipImage({
        image,
        host: hostOf(scope, node.host),
        imageStore: facts.imageStore,
        architecture: facts.architecture,
        freeBytes: facts.freeBytes,
        tags,
        blobs,
        receiver,
        signal: output.signal,
        onProgress: ({ sentBytes, totalBytes }) =>
          output.onProgress(`${formatBytes(sentBytes)} of ${formatBytes(totalBytes)}`),
      }),
    );
    return { imageId: shipped.imageId, note: `${formatBytes(shipped.sentBytes)} sent` };
  };

  return {
    idOn,
    knownIdOn,
    ids: () => Object.fromEntries([...ids].map(([name, perHost]) => [name, Object.fromEntries(perHost)])),
    build: async (node, name, version, output) => {
      const { source } = builtImage(scope, name);
      const inputs = scope.inputs.get(name);
      if (inputs === undefined) throw new Error(`the inputs of image ${name} were not read`);
      const { buildImage } = await import('../build/build.ts');
      const host = hostOf(scope, node.host);
      const { imageId } = await buildImage({
        source,
        host,
        engine: await scope.engineOf(node.host),
        inputs,
        version,
        project: scope.desired.project,
        registries: scope.desired.registries,
        pull: scope.pull,
        noCache: scope.rebuild,
        env: scope.env,
        cacheDir: scope.cacheDir,
        now: scope.now,
        signal: output.signal,
        onOutput: output.onOutput,
      });
      remember(node.host, name, imageId);
      return undefined;
    },
    push: async (node, name, version, { signal, onProgress }) => {
      const { source } = builtImage(scope, name);
      const { pushImage } = await import('../ship/registry.ts');
      const digest = await pushImage({
        docker: hostOf(scope, node.host).docker(),
        hostName: node.host,
        imageId: idOn(node.host, name),
        repository: source.repository,
        tags: [version],
        auth: scope.desired.registries.find((registry) => registry.host === source.registry),
        signal,
        onProgress,
      });
      digests.set(name, digest);
      return digest.slice(0, 19);
    },
    ship: async (node, name, from, output) => {
      const { source, version } = builtImage(scope, name);
      const origin = { host: hostOf(scope, from), imageId: idOn(from, name) };
      const { imageId, note } = await deliver(node, origin, [`${source.repository}:${version}`], output);
      remember(node.host, name, imageId);
      return note;
    },
    pull: async (node, name, reference, output) => {
      const wanted = wantedImage(scope, name);
      const host = hostOf(scope, node.host);
      const { pullReference } = await import('../ship/pull.ts');
      const registry = wanted.type === 'build' ? wanted.source.registry : registryIn(reference);
      const digest = digests.get(name);
      const exact = digest === undefined || wanted.type === 'ref' ? reference : `${wanted.source.repository}@${digest}`;
      const pullOn = (at: Host): Promise<string> =>
        pullReference({
          docker: at.docker(),
          hostName: at.name,
          reference: exact,
          auth: scope.desired.registries.find((each) => each.host === registry),
          signal: output.signal,
          onProgress: output.onProgress,
        });
      try {
        const imageId = await pullOn(host);
        if (wanted.type === 'build') await nameImage(host.docker(), imageId, [reference]);
        remember(node.host, name, imageId);
        return undefined;
      } catch (error) {
        if (wanted.type === 'build' || output.signal.aborted || !(error instanceof CuError)) throw error;
        const imageId = await shipFromHere({ node, reference, error, pullOn, deliver, output });
        remember(node.host, name, imageId);
        return 'sent from this machine';
      }
    },
    tag: async (node, name, tags, signal) => {
      signal.throwIfAborted();
      const isNamed = await nameImage(hostOf(scope, node.host).docker(), idOn(node.host, name), tags);
      if (!isNamed)
        throw new CuError('STEP_FAILED', `image ${name} is gone from ${node.host}`, {
          host: node.host,
          hint: 'run the deploy again',
        });
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.allSettled(exports.values());
      if (opened === undefined) return;
      const { blobs, receiver } = await opened;
      await receiver[Symbol.asyncDispose]();
      await blobs.prune(scope.now());
    },
  };

  /** A host without a way to the registry is given what this machine has, or can pull. */
  async function shipFromHere(fallback: {
    readonly node: PlanNode;
    readonly reference: string;
    readonly error: CuError;
    readonly pullOn: (at: Host) => Promise<string>;
    readonly deliver: typeof deliver;
    readonly output: StepOutput;
  }): Promise<string> {
    const { node, reference, error, output } = fallback;
    const local = await scope.openLocal().catch(() => undefined);
    if (local === undefined || local.name === node.host) throw error;
    const here = await local
      .docker()
      .json({ method: 'GET', path: `/images/${reference}/json`, allow: [404] })
      .then((found) => (typeof found === 'object' && found !== null && 'Id' in found ? String(found.Id) : undefined))
      .catch(() => undefined);
    const imageId = here ?? (await fallback.pullOn(local).catch(() => undefined));
    if (imageId === undefined) throw error;
    const tags = reference.includes('@') ? [] : [/:[^/]+$/.test(reference) ? reference : `${reference}:latest`];
    return (await fallback.deliver(node, { host: local, imageId }, tags, output)).imageId;
  }
}

async function openShipping(cacheDir: string) {
  const [{ openBlobs }, { startReceiver }] = await Promise.all([
    import('../ship/blobs.ts'),
    import('../ship/receiver.ts'),
  ]);
  const blobs = await openBlobs(cacheDir);
  return { blobs, receiver: await startReceiver(blobs) };
}

export function hostOf(scope: RunScope, name: string): Host {
  const host = scope.hosts.get(name);
  if (host === undefined) throw new Error(`host ${name} was not opened`);
  return host;
}

function observedOf(scope: RunScope, name: string) {
  const observed = scope.observed.get(name);
  if (observed === undefined) throw new Error(`host ${name} was not observed`);
  return observed;
}

function wantedImage(scope: RunScope, name: string): WantedImage {
  const wanted = scope.images.get(name);
  if (wanted === undefined) throw new Error(`image ${name} was not resolved`);
  return wanted;
}

function builtImage(scope: RunScope, name: string): Extract<WantedImage, { type: 'build' }> {
  const wanted = wantedImage(scope, name);
  if (wanted.type !== 'build') throw new Error(`image ${name} is not built by cu`);
  return wanted;
}

/** As Docker tells a registry from a folder in a reference. */
export function registryIn(reference: string): string | undefined {
  const first = reference.includes('/') ? reference.split('/')[0] : undefined;
  return first !== undefined && /[.:]/.test(first) ? first : undefined;
}
