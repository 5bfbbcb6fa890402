import type { Plan, PlanNode } from '../core/action.ts';
import { partName } from '../core/proxy.ts';
import { LABELS } from '../core/state.ts';
import type { Desired, ObservedHost } from '../core/state.ts';
import { projectNetwork, stateVolume } from './bind.ts';
import { drainOf } from './containers.ts';
import { partOn } from './proxy/routes.ts';

type Owner = Pick<Desired, 'project' | 'environment'>;
type Labels = Readonly<Record<string, string>>;

/** Takes an environment off its hosts: by label, whatever the config says now. Data volumes stay unless asked for. */
export function planRemove(
  desired: Desired,
  hosts: readonly ObservedHost[],
  options: { readonly volumes: boolean },
): Plan {
  return { nodes: hosts.flatMap((host) => removeNodes(desired, host, options)) };
}

function removeNodes(
  desired: Desired,
  host: ObservedHost,
  { volumes }: { readonly volumes: boolean },
): readonly PlanNode[] {
  const isOwn = (labels: Labels): boolean => isOf(desired, labels);
  const at = { host: host.name, cause: 'asked to' };
  const drains = new Map(desired.instances.map((instance) => [instance.service, instance]));
  // Nobody is sent to what is going to stop.
  const part = partOn(host, desired);
  const isRouted = part !== undefined && part.routes.length > 0;
  const routes = (isRouted ? [part] : []).map((previous): PlanNode => ({
    ...at,
    id: `${host.name}/${partName(previous)}/routes`,
    action: {
      type: 'apply-routes',
      part: { ...previous, routes: [] },
      previous,
      certificates: [],
      socketGid: host.facts.dockerGid,
    },
    after: [],
  }));
  const containers = host.containers
    .filter((container) => isOwn(container.labels))
    .toSorted((a, b) => phaseOf(b.labels) - phaseOf(a.labels))
    .map((container): PlanNode => ({
      ...at,
      id: `${host.name}/${container.name}/remove`,
      action: {
        type: 'remove-container',
        name: container.name,
        id: container.id,
        drainMs: container.labels[LABELS.service] === undefined ? 0 : drainOf(container, desired.instances),
      },
      after: [],
    }));
  const chained = containers.map((node, index) => ({
    ...node,
    after: [...routes, ...containers.slice(0, index)].map((each) => each.id),
  }));
  const after = containers.map((node) => node.id);
  const networks = networkNodes(desired, host, at.cause).map((node) => ({ ...node, after }));
  const removable = volumes ? host.volumes.filter((volume) => isOwn(volume.labels)) : [];
  const data = removable.map((volume): PlanNode => ({
    ...at,
    id: `${host.name}/${volume.name}/remove-volume`,
    action: { type: 'remove-volume', name: volume.name },
    after,
  }));
  const images = ownImages(desired, host).map((image): PlanNode => ({
    ...at,
    id: `${host.name}/${image.tags[0] ?? image.id}/remove-image`,
    action: { type: 'remove-image', ...image },
    after,
  }));
  return [...routes, ...chained, ...networks, ...data, ...images];

  function phaseOf(labels: Labels): number {
    return drains.get(labels[LABELS.service] ?? '')?.phase ?? -1;
  }
}

/**
 * What cu itself keeps on a host for an environment: the network, and the state with the container that holds it. The
 * state's volume stays beside a volume with data, for which it may have the password.
 */
export function keptNodes(desired: Owner, host: ObservedHost, cause: string): readonly PlanNode[] {
  const state = stateVolume(desired);
  const at = { host: host.name, cause };
  const volumes = host.volumes.filter((volume) => isOf(desired, volume.labels));
  const holders = host.containers
    .filter(({ name, labels }) => name === state && isOf(desired, labels))
    .map(({ name, id }): PlanNode => ({
      ...at,
      id: `${host.name}/${name}/remove`,
      action: { type: 'remove-container', name, id, drainMs: 0 },
      after: [],
    }));
  const isAlone = volumes.length === 1 && volumes[0]?.name === state;
  const kept = (isAlone ? [state] : []).map((name): PlanNode => ({
    ...at,
    id: `${host.name}/${name}/remove-volume`,
    action: { type: 'remove-volume', name },
    after: holders.map(({ id }) => id),
  }));
  return [...networkNodes(desired, host, cause), ...holders, ...kept];
}

function networkNodes(desired: Owner, host: ObservedHost, cause: string): readonly PlanNode[] {
  return host.networks
    .filter((network) => isOf(desired, network.labels) && network.name === projectNetwork(desired))
    .map(({ name }) => ({
      id: `${host.name}/${name}/remove-network`,
      host: host.name,
      action: { type: 'remove-network', name },
      cause,
      after: [],
    }));
}

function isOf({ project, environment }: Owner, labels: Labels): boolean {
  return labels[LABELS.project] === project && labels[LABELS.environment] === environment;
}

/** The project's own builds that no other environment's container uses. */
function ownImages(
  desired: Desired,
  host: ObservedHost,
): readonly { readonly id: string; readonly tags: readonly string[]; readonly sizeBytes: number }[] {
  const others = host.containers.filter(
    (container) =>
      container.labels[LABELS.environment] !== desired.environment ||
      container.labels[LABELS.project] !== desired.project,
  );
  const inUse = new Set(others.map((container) => container.imageId));
  const isShared = others.some((container) => container.labels[LABELS.project] === desired.project);
  const repositories = desired.images.flatMap((source) => (source.type === 'build' ? [source.repository] : []));
  return host.images
    .filter(
      (image) =>
        !isShared &&
        image.labels[LABELS.project] === desired.project &&
        !inUse.has(image.id) &&
        image.tags.every((tag) => repositories.some((repository) => tag.startsWith(`${repository}:`))),
    )
    .map(({ id, tags, sizeBytes }) => ({ id, tags, sizeBytes }));
}
