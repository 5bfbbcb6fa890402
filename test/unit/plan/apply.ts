import type { PlanNode } from '../../../src/core/action.ts';
import type { ContainerSpec } from '../../../src/core/container.ts';
import { Secret } from '../../../src/core/secret.ts';
import { LABELS } from '../../../src/core/state.ts';
import type { ObservedContainer, ObservedHost } from '../../../src/core/state.ts';
import { limitsOf } from '../../../src/plan/compare.ts';
import { imageOnHost, normalReference } from '../../../src/plan/images.ts';
import type { PlanInput } from '../../../src/plan/input.ts';

/** What the hosts would be after a plan was carried out: a model of the executor for properties of the planner. */
export function applyPlan(input: PlanInput, nodes: readonly PlanNode[]): readonly ObservedHost[] {
  let hosts = input.hosts;
  for (const node of nodes)
    hosts = hosts.map((host) => (host.name === node.host ? applyNode(input, host, node) : host));
  return hosts;
}

function applyNode(input: PlanInput, host: ObservedHost, { action }: PlanNode): ObservedHost {
  const without = (...ids: readonly string[]): readonly ObservedContainer[] =>
    host.containers.filter((container) => !ids.includes(container.id));
  switch (action.type) {
    case 'ship-image':
    case 'build-image':
    case 'pull-image':
      return { ...host, images: [...host.images, imageOf(input, action.image)] };
    case 'tag-image': {
      const wanted = input.images.get(action.image);
      const present = wanted === undefined ? undefined : imageOnHost(host, wanted);
      return {
        ...host,
        images: host.images.map((image) =>
          image.id === present?.id ? { ...image, tags: [...new Set([...image.tags, ...action.tags])] } : image,
        ),
      };
    }
    case 'init-state':
      return {
        ...host,
        state: {
          specKey: action.specKey,
          brokerPassword: action.brokerPassword ?? host.state?.brokerPassword,
          hosts: [],
          gaps: {},
          hold: host.state?.hold,
        },
      };
    case 'create-network':
      return { ...host, networks: [...host.networks, { id: action.name, name: action.name, labels: {} }] };
    case 'create-volume':
      return { ...host, volumes: [...host.volumes, { name: action.name, labels: {} }] };
    case 'create-container':
      return { ...host, containers: [...host.containers, made(input, host, action.spec)] };
    case 'replace-container':
      return {
        ...host,
        containers: [
          ...host.containers.map((each) =>
            each.id === action.oldId ? { ...each, name: `${action.spec.name}-old` } : each,
          ),
          made(input, host, action.spec),
        ],
      };
    case 'update-container':
    case 'start-container':
    case 'restart-container':
      return {
        ...host,
        containers: host.containers.map((each) =>
          each.id === action.id ? { ...made(input, host, action.spec), id: each.id } : each,
        ),
      };
    case 'remove-container':
      return { ...host, containers: without(action.id) };
    case 'stop-container':
      return {
        ...host,
        containers: host.containers.map((each) => (each.id === action.id ? { ...each, state: 'exited' } : each)),
      };
    case 'push-image':
    case 'ensure-proxy':
    case 'apply-routes':
    case 'switch-proxy':
    case 'drain-container':
    case 'verify-container':
    case 'restore-container':
    case 'resume-container':
    case 'pause':
    case 'run-task':
    case 'check-broker':
    case 'remove-image':
    case 'remove-network':
    case 'remove-volume':
      return host;
  }
}

function made(input: PlanInput, host: ObservedHost, spec: ContainerSpec): ObservedContainer {
  const wanted = input.images.get(spec.image);
  const image = wanted === undefined ? undefined : imageOnHost(host, wanted);
  return {
    id: `made-${host.name}-${spec.name}`,
    name: spec.name,
    imageId: image?.id ?? 'none',
    imageName: '',
    labels: spec.labels,
    state: 'running',
    health: 'none',
    createdAt: 100,
    status: 'Up',
    ports: [],
    networks: [spec.network],
    volumes: [],
    limits: limitsOf(spec),
    startedAt: 100,
    restartCount: 0,
    exitCode: undefined,
    isOomKilled: false,
    stopMs: undefined,
  };
}

function imageOf(input: PlanInput, name: string): ObservedHost['images'][number] {
  const wanted = input.images.get(name);
  if (wanted === undefined) throw new Error(`no image ${name}`);
  const common = { id: `sha256:${name}-new`, digests: [], sizeBytes: 1, createdAt: 100 };
  return wanted.type === 'ref'
    ? { ...common, tags: [normalReference(wanted.source.reference)], labels: {} }
    : {
        ...common,
        tags: [`${wanted.source.repository}:${wanted.version}`],
        labels: {
          [LABELS.inputs]: wanted.inputs,
          [LABELS.version]: wanted.version,
          [LABELS.project]: input.desired.project,
        },
      };
}

export const someSecret = (value: string): Secret => new Secret('API_TOKEN', value);
