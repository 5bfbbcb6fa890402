import type { PlanNode } from '../core/action.ts';
import { LABELS } from '../core/state.ts';
import type { Desired, ObservedContainer, ObservedHost, ObservedImage } from '../core/state.ts';
import { REPLACED, UNPROVEN } from './containers.ts';

export interface PurgeCandidate {
  readonly node: PlanNode;
  readonly what: 'container' | 'image';
  readonly name: string;
  readonly bytes: number | undefined;
}

/** Containers of this environment that an interrupted run left and that do not run. */
export function purgeContainers(desired: Desired, host: ObservedHost): readonly PurgeCandidate[] {
  return host.containers
    .filter(
      (container) =>
        isOwn(container, desired) &&
        !['running', 'paused', 'restarting'].includes(container.state) &&
        (container.name.endsWith(UNPROVEN) || container.name.endsWith(REPLACED) || !isWanted(container, desired, host)),
    )
    .map((container) => ({
      what: 'container',
      name: container.name,
      bytes: undefined,
      node: {
        id: `${host.name}/${container.name}/remove`,
        host: host.name,
        action: { type: 'remove-container', name: container.name, id: container.id, drainMs: 0 },
        cause: isWanted(container, desired, host)
          ? 'left by an interrupted run'
          : 'no longer in the config, does not run',
        after: [],
      },
    }));
}

/**
 * Versions of this project's own images beyond the newest `keep`; never one that a container of anybody uses,
 * never a moving tag's, never one that cu did not build for this project.
 */
export function purgeImages(desired: Desired, host: ObservedHost): readonly PurgeCandidate[] {
  const inUse = new Set(host.containers.map((container) => container.imageId));
  return desired.images.flatMap((source) => {
    if (source.type !== 'build') return [];
    const versions = host.images
      .filter((image) => image.labels[LABELS.project] === desired.project && belongsTo(image, source.repository))
      .toSorted((a, b) => b.createdAt - a.createdAt || a.id.localeCompare(b.id));
    return versions
      .filter((image, rank) => rank >= source.keep && !inUse.has(image.id) && !hasMovingTag(image, source.repository))
      .map((image): PurgeCandidate => {
        const version = image.labels[LABELS.version] ?? image.id.slice(7, 19);
        return {
          what: 'image',
          name: `${source.repository}:${version}`,
          bytes: image.sizeBytes,
          node: {
            id: `${host.name}/${source.repository}:${version}/remove-image`,
            host: host.name,
            action: { type: 'remove-image', id: image.id, tags: image.tags, sizeBytes: image.sizeBytes },
            cause: `older than the ${source.keep} versions that are kept`,
            after: [],
          },
        };
      });
  });
}

function belongsTo(image: ObservedImage, repository: string): boolean {
  return [...image.tags, ...image.digests].every(
    (tag) => tag.startsWith(`${repository}:`) || tag.startsWith(`${repository}@`),
  );
}

/** `dev`, `stable`: any tag of the repository that is not the image's own version. */
function hasMovingTag(image: ObservedImage, repository: string): boolean {
  const version = image.labels[LABELS.version];
  return image.tags.some((tag) => tag.startsWith(`${repository}:`) && tag !== `${repository}:${version ?? ''}`);
}

function isOwn(container: ObservedContainer, desired: Desired): boolean {
  const { labels } = container;
  return (
    labels[LABELS.project] === desired.project &&
    labels[LABELS.environment] === desired.environment &&
    labels[LABELS.service] !== undefined
  );
}

function isWanted(container: ObservedContainer, desired: Desired, host: ObservedHost): boolean {
  return desired.instances.some(
    (instance) =>
      instance.host === host.name &&
      instance.service === container.labels[LABELS.service] &&
      instance.instance === container.labels[LABELS.instance],
  );
}
