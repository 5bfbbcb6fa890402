import type { PlanNode } from '../core/action.ts';
import type { ImageIds } from '../core/release.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedHost, ObservedImage } from '../core/state.ts';
import type { PlanInput, WantedImage } from './input.ts';
import { PROXY_IMAGE } from './proxy/nodes.ts';
import { isProxied } from './proxy/routes.ts';

/** What a host has; one that is asked for its images alone may have no name. */
type Holder = Pick<ObservedHost, 'images'> & Partial<Pick<ObservedHost, 'name'>>;

/**
 * The image on a host that is the wanted one: that of a release, else the newest by input digest when cu built it, by
 * reference otherwise. What was built again of the same inputs is not what a release had; a reference has to do where
 * its bytes are gone, because cu cannot bring them back.
 */
export function imageOnHost(host: Holder, wanted: WantedImage): ObservedImage | undefined {
  if (wanted.type === 'build' && wanted.ids !== undefined) return pinnedOnHost(host, wanted.ids);
  const id = wanted.ids?.[host.name ?? ''];
  const pinned = host.images.find((image) => image.id === id);
  if (pinned !== undefined) return pinned;
  const found = host.images.filter((image) => isWanted(image, wanted));
  return found.toSorted((a, b) => b.createdAt - a.createdAt || a.id.localeCompare(b.id))[0];
}

/** By the id that this host had, else by that of any other: engines that store images alike call them the same. */
export function pinnedOnHost(host: Holder, ids: ImageIds): ObservedImage | undefined {
  const own = host.images.find(({ id }) => id === ids[host.name ?? '']);
  return own ?? host.images.find(({ id }) => Object.values(ids).includes(id));
}

function isWanted(image: ObservedImage, wanted: WantedImage): boolean {
  if (wanted.type === 'ref') {
    const reference = normalReference(wanted.source.reference);
    return image.tags.includes(reference) || image.digests.includes(reference);
  }
  // The same inputs under another repository are another project's: its tags are not ours to use.
  return (
    image.labels[LABELS.inputs] === wanted.inputs &&
    [...image.tags, ...image.digests].some((tag) => repositoryOf(tag) === wanted.source.repository)
  );
}

/** As the engine lists it: `docker.io/library/redis` becomes `redis:latest`. */
export function normalReference(reference: string): string {
  const short = reference.replace(/^(index\.)?docker\.io\//, '').replace(/^library\//, '');
  if (short.includes('@')) return short;
  return /:[^/]+$/.test(short) ? short : `${short}:latest`;
}

function repositoryOf(reference: string): string {
  return reference.replace(/@.*$/, '').replace(/:[^/:]+$/, '');
}

/**
 * Builds, pushes, pulls and transfers, before anything on a host is replaced:
 * a failed build or transfer must leave every host as it was.
 */
export function imageNodes(input: PlanInput): readonly PlanNode[] {
  return [...input.images].flatMap(([name, wanted]) => {
    const users = input.hosts.filter(
      (host) =>
        input.instances.some((instance) => instance.image === name && instance.host === host.name) ||
        (name === PROXY_IMAGE && needsProxy(host, input)),
    );
    return wanted.type === 'ref' ? refNodes(name, wanted, users) : buildNodes(name, wanted, users, input.rebuild);
  });
}

/** An image that is there is enough: a proxy that runs is not made anew for another one. */
function needsProxy(host: ObservedHost, { instances }: PlanInput): boolean {
  return host.proxy === undefined && instances.some((each) => each.host === host.name && isProxied(each));
}

function refNodes(
  name: string,
  wanted: Extract<WantedImage, { type: 'ref' }>,
  users: readonly ObservedHost[],
): readonly PlanNode[] {
  return users
    .filter((host) => imageOnHost(host, wanted) === undefined)
    .map((host) => ({
      id: `${host.name}/${name}/pull`,
      host: host.name,
      action: { type: 'pull-image', image: name, reference: wanted.source.reference },
      cause: 'not on the host',
      after: [],
    }));
}

function buildNodes(
  name: string,
  wanted: Extract<WantedImage, { type: 'build' }>,
  users: readonly ObservedHost[],
  rebuild: boolean,
): readonly PlanNode[] {
  const { version, inputs, source, origin } = wanted;
  const lacking = users.filter((host) => rebuild || imageOnHost(host, wanted) === undefined);
  const nodes: PlanNode[] = [];
  if (origin !== undefined && !origin.isBuilt) {
    nodes.push({
      id: `${origin.host}/${name}/build`,
      host: origin.host,
      action: { type: 'build-image', image: name, version, inputs },
      cause: rebuild ? 'asked to rebuild' : `no image of these inputs`,
      after: [],
    });
  }
  if (origin !== undefined && source.registry !== undefined) {
    nodes.push({
      id: `${origin.host}/${name}/push`,
      host: origin.host,
      action: { type: 'push-image', image: name, version },
      cause: `to ${source.registry}`,
      after: nodes.map((node) => node.id),
    });
  }
  const before = nodes.map((node) => node.id);
  for (const host of lacking) {
    if (host.name === origin?.host) continue;
    nodes.push(
      source.registry === undefined
        ? {
            id: `${host.name}/${name}/ship`,
            host: host.name,
            action: { type: 'ship-image', image: name, version, from: origin?.host ?? host.name },
            cause: 'not on the host',
            after: before,
          }
        : {
            id: `${host.name}/${name}/pull`,
            host: host.name,
            action: { type: 'pull-image', image: name, reference: `${source.repository}:${version}` },
            cause: 'not on the host',
            after: before,
          },
    );
  }
  return nodes;
}

/** Moves `repository:TAG` to the version in use, once what uses it is up. */
export function tagNodes(input: PlanInput, after: (host: string) => readonly string[]): readonly PlanNode[] {
  const { tag } = input.desired;
  return [...input.images].flatMap(([name, wanted]) => {
    if (wanted.type === 'ref') return [];
    const tags = [`${wanted.source.repository}:${wanted.version}`, `${wanted.source.repository}:${tag}`];
    return input.hosts
      .filter((host) => input.instances.some((instance) => instance.image === name && instance.host === host.name))
      .filter((host) => {
        const present = imageOnHost(host, wanted);
        return input.rebuild || present === undefined || tags.some((wish) => !present.tags.includes(wish));
      })
      .map((host) => ({
        id: `${host.name}/${name}/tag`,
        host: host.name,
        action: { type: 'tag-image', image: name, tags },
        cause: `${tag} is ${wanted.version}`,
        after: after(host.name),
      }));
  });
}
