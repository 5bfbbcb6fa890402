import { CuError } from '../core/error.ts';
import type { Registry } from '../core/state.ts';
import type { Docker } from '../transport/docker.ts';
import type { Host } from '../transport/host.ts';
import { inspectLayers, nameImage, unnameImage } from './engine-image.ts';
import { asObject, asText, exchange } from './engine-stream.ts';
import type { ShippableImage } from './image.ts';
import { REPOSITORY, type Receiver } from './receiver.ts';
import { authHeaders } from './registry.ts';
import { openTunnel } from './tunnel.ts';

export interface PullOptions {
  readonly docker: Docker;
  readonly hostName: string;
  /** `NAME`, `NAME:TAG` or `NAME@DIGEST`. */
  readonly reference: string;
  readonly auth?: Registry | undefined;
  readonly platform?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((text: string) => void) | undefined;
}

/** Returns the image's id on that engine. */
export async function pullReference(options: PullOptions): Promise<string> {
  const { docker, hostName, reference } = options;
  const { name, tag } = splitReference(reference);
  const messages = exchange(docker, {
    path: '/images/create',
    query: { fromImage: name, tag, platform: options.platform },
    headers: authHeaders(options.auth),
    what: `pull of ${reference}`,
    host: hostName,
    signal: options.signal,
    silenceMs: 300_000,
  });
  const states = new Map<string, string>();
  try {
    for await (const message of messages) {
      if (message.error !== undefined) throw pullError(options, message.error);
      if (message.id === undefined || message.status === undefined || states.get(message.id) === message.status)
        continue;
      // One line for each change, not one for each tick of a progress bar.
      states.set(message.id, message.status);
      options.onProgress?.(`${message.id} ${message.status.toLowerCase()}`);
    }
  } catch (error) {
    throw error instanceof CuError && error.code === 'DOCKER_API'
      ? pullError(options, error.detail ?? error.message, error)
      : error;
  }
  const image = asObject(await docker.json({ method: 'GET', path: `/images/${reference}/json`, allow: [404] }));
  const id = asText(image?.['Id']);
  if (id === undefined) throw pullError(options, 'the engine said it pulled the image, and has it not');
  return id;
}

export interface PullByDigestOptions extends Omit<PullOptions, 'reference'> {
  readonly repository: string;
  readonly digest: string;
}

export function pullByDigest({ repository, digest, ...options }: PullByDigestOptions): Promise<string> {
  return pullReference({ ...options, reference: `${repository}@${digest}` });
}

export interface TunnelPull {
  readonly host: Host;
  readonly image: ShippableImage;
  readonly receiver: Receiver;
  readonly tags: readonly string[];
  readonly signal: AbortSignal | undefined;
  readonly onSent: (bytes: number) => void;
}

/** Way in for the containerd store: the host pulls from our receiver, which sends just the blobs that it lacks. */
export async function pullThroughTunnel({
  host,
  image,
  receiver,
  tags,
  signal,
  onSent,
}: TunnelPull): Promise<string | undefined> {
  const docker = host.docker();
  receiver.offer(image.manifest);
  // Refused by sshd (AllowTcpForwarding no): the caller has another way, and a lost connection shows there too.
  const tunnel = await openTunnel(host, receiver, onSent).catch(() => undefined);
  if (tunnel === undefined) return undefined;
  const reference = `127.0.0.1:${tunnel.port}/${REPOSITORY}@${image.manifest.digest}`;
  try {
    const id = await pullReference({ docker, hostName: host.name, reference, signal });
    const layers = await inspectLayers(docker, id);
    const isWhole =
      layers?.length === image.layers.length && layers.every((diffId, index) => diffId === image.layers[index]?.diffId);
    return isWhole && (await nameImage(docker, id, tags)) ? id : undefined;
  } finally {
    await unnameImage(docker, reference);
    await tunnel[Symbol.asyncDispose]();
  }
}

export function splitReference(reference: string): { name: string; tag: string } {
  const at = reference.indexOf('@');
  if (at >= 0) return { name: reference.slice(0, at), tag: reference.slice(at + 1) };
  const colon = reference.lastIndexOf(':');
  // A colon before the last slash belongs to the registry's port.
  if (colon > reference.lastIndexOf('/')) return { name: reference.slice(0, colon), tag: reference.slice(colon + 1) };
  // Without a tag the API would pull every tag there is.
  return { name: reference, tag: 'latest' };
}

function pullError({ hostName, reference, auth }: PullOptions, message: string, cause?: unknown): CuError {
  const context = { host: hostName, detail: message, cause };
  const what = `${hostName}: cannot pull ${reference}`;
  if (/no space left on device/i.test(message)) {
    return new CuError('DISK_FULL', `${what}: no space left`, {
      ...context,
      hint: '`cu purge images` shows what old versions could be removed there',
    });
  }
  if (/manifest unknown|not found|does not exist|repository name must/i.test(message)) {
    return new CuError('SHIP_FAILED', `${what}: there is no such image`, {
      ...context,
      hint: 'check the name and the tag under images',
    });
  }
  if (/unauthorized|denied|authentication required|no basic auth/i.test(message)) {
    const hint =
      auth === undefined
        ? 'add its registry under registries'
        : `check username and password of registries.${auth.host}`;
    return new CuError('SHIP_FAILED', `${what}: the registry refuses access`, { ...context, hint });
  }
  if (/dial tcp|lookup|timeout|connection refused|no such host|network is unreachable|EOF/i.test(message)) {
    return new CuError('SHIP_FAILED', `${what}: the host does not reach the registry`, {
      ...context,
      hint: 'pull it on the machine that runs cu; cu then ships it from there',
    });
  }
  return new CuError('SHIP_FAILED', what, context);
}
