import type { PlanNode } from '../core/action.ts';
import { LABELS } from '../core/state.ts';
import type { Desired, InstanceSpec, ObservedContainer, ObservedHost, ObservedImage } from '../core/state.ts';
import { FINISHED, isDraining, isOfInstance, LEFT, REPLACED, UNPROVEN } from './containers.ts';

export interface PurgeCandidate {
  readonly node: PlanNode;
  readonly what: 'container' | 'image';
  readonly name: string;
  readonly bytes: number | undefined;
}

/** Containers of this environment that an interrupted run left and that do not run. */
export function purgeContainers(desired: Desired, host: ObservedHost): readonly PurgeCandidate[] {
  return host.containers
    .filter((container) => isOwn(container, desired) && !['running', 'paused', 'restarting'].includes(container.state))
    .flatMap((container) => {
      const { name, id } = container;
      const cause = whyNotNeeded(container, instanceOf(container, desired, host));
      if (cause === undefined) return [];
      const action = { type: 'remove-container', name, id, drainMs: 0 } as const;
      const node = { id: `${host.name}/${name}/remove`, host: host.name, action, cause, after: [] };
      return [{ what: 'container', name, bytes: undefined, node }];
    });
}

function whyNotNeeded({ name }: ObservedContainer, instance: InstanceSpec | undefined): string | undefined {
  if (instance === undefined) return 'no longer in the config, does not run';
  const { containerName } = instance;
  if (isDraining(containerName, { name })) return FINISHED;
  return [`${containerName}${UNPROVEN}`, `${containerName}${REPLACED}`].includes(name) ? LEFT : undefined;
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

function instanceOf(
  container: ObservedContainer,
  { instances }: Desired,
  host: ObservedHost,
): InstanceSpec | undefined {
  return instances.find((instance) => instance.host === host.name && isOfInstance(container, instance));
}
