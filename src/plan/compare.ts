import type { ContainerSpec } from '../core/container.ts';
import { formatBytes } from '../core/format.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer, ObservedHost } from '../core/state.ts';
import { imageOnHost } from './images.ts';
import type { WantedImage } from './input.ts';
import { specChanges } from './spec-label.ts';

export type Verdict =
  | { readonly type: 'same' }
  /** Limits or the name differ: mended in place, without a restart. */
  | { readonly type: 'update'; readonly cause: string }
  | { readonly type: 'stopped'; readonly cause: string }
  | { readonly type: 'replace'; readonly cause: string };

export interface CompareScope {
  readonly host: ObservedHost;
  readonly image: WantedImage;
  readonly rebuild: boolean;
  /** The key of the secrets' digests could not be read: they are not compared. */
  readonly ignoreSecrets: boolean;
}

/** What has to happen to one container so that it is what `spec` says, and why in a user's words. */
export function compare(spec: ContainerSpec, container: ObservedContainer, scope: CompareScope): Verdict {
  const causes = [
    ...imageChanges(container, scope),
    ...specChanges(spec.labels[LABELS.spec] ?? '', container.labels[LABELS.spec], scope),
  ];
  if (causes.length > 0) return { type: 'replace', cause: causes.join(', ') };
  const broken = brokenState(container);
  if (broken !== undefined) return { type: 'replace', cause: broken };
  if (container.networks.length > 0 && !isOnNetwork(container, spec)) {
    return { type: 'replace', cause: `taken off network ${spec.network} by hand` };
  }
  const drift = limitDrift(spec, container);
  if (drift !== undefined) return { type: canUpdate(spec, container) ? 'update' : 'replace', cause: drift };
  if (container.name !== spec.name) return { type: 'update', cause: `renamed by hand, was ${container.name}` };
  const stopped = stoppedState(container);
  return stopped === undefined ? { type: 'same' } : { type: 'stopped', cause: stopped };
}

function imageChanges(container: ObservedContainer, { host, image, rebuild }: CompareScope): readonly string[] {
  const present = imageOnHost(host, image);
  if (image.type === 'build') {
    if (container.labels[LABELS.inputs] !== image.inputs) return [`new version ${image.version}`];
    if (rebuild) return ['image rebuilt'];
  }
  if (present !== undefined) return present.id === container.imageId ? [] : ['image changed'];
  // The bytes of a release come from another host first.
  const pinned = image.type === 'build' ? image.ids : undefined;
  return pinned === undefined || Object.values(pinned).includes(container.imageId) ? [] : ['image changed'];
}

function brokenState(container: ObservedContainer): string | undefined {
  switch (container.state) {
    case 'created':
      return 'left half made by an interrupted run';
    case 'restarting':
      return `restarts over and over (${container.restartCount} times)`;
    case 'dead':
    case 'removing':
      return `is ${container.state}`;
    case 'running':
    case 'paused':
    case 'exited':
      return undefined;
  }
}

function stoppedState(container: ObservedContainer): string | undefined {
  if (container.state === 'paused') return 'paused by hand';
  if (container.state !== 'exited') return undefined;
  if (container.isOomKilled) return 'was killed for lack of memory';
  return container.exitCode === undefined ? 'stopped' : `stopped (exit code ${container.exitCode})`;
}

function isOnNetwork(container: ObservedContainer, spec: ContainerSpec): boolean {
  return ['host', 'none', 'bridge', 'default'].includes(spec.network) || container.networks.includes(spec.network);
}

function limitDrift(spec: ContainerSpec, container: ObservedContainer): string | undefined {
  const { limits } = container;
  if (limits === undefined) return undefined;
  const wanted = limitsOf(spec);
  const drifts = [
    limits.memoryBytes === wanted.memoryBytes
      ? undefined
      : `memory is ${formatLimit(limits.memoryBytes)}, wanted ${formatLimit(wanted.memoryBytes)}`,
    limits.nanoCpus === wanted.nanoCpus
      ? undefined
      : `cpus is ${limits.nanoCpus / 1e9 || 'unlimited'}, wanted ${wanted.nanoCpus / 1e9 || 'unlimited'}`,
    limits.cpuset === wanted.cpuset
      ? undefined
      : `cpuset is ${limits.cpuset || 'all'}, wanted ${wanted.cpuset || 'all'}`,
    limits.pids === wanted.pids
      ? undefined
      : `pids is ${limits.pids || 'unlimited'}, wanted ${wanted.pids || 'unlimited'}`,
    limits.restart === wanted.restart ? undefined : `restart is ${limits.restart || 'no'}, wanted ${wanted.restart}`,
  ].filter((drift) => drift !== undefined);
  return drifts.length === 0 ? undefined : `changed by hand: ${drifts.join(', ')}`;
}

/** To `docker update`, nothing means leave it as it is: a limit that the config does not set goes only with its container. */
function canUpdate(spec: ContainerSpec, { limits }: ObservedContainer): boolean {
  const wanted = limitsOf(spec);
  return (['memoryBytes', 'nanoCpus', 'cpuset', 'pids'] as const).every(
    (key) => Boolean(wanted[key]) || !limits?.[key],
  );
}

/** The limits of a spec's body, as an observed container shows them. */
export function limitsOf(spec: ContainerSpec): NonNullable<ObservedContainer['limits']> {
  const host = recordOf(spec.body['HostConfig']);
  const restart = recordOf(host['RestartPolicy'])['Name'];
  return {
    memoryBytes: numberOf(host['Memory']),
    nanoCpus: numberOf(host['NanoCpus']),
    cpuset: typeof host['CpusetCpus'] === 'string' ? host['CpusetCpus'] : '',
    pids: numberOf(host['PidsLimit']),
    restart: typeof restart === 'string' ? restart : 'no',
  };
}

function formatLimit(bytes: number): string {
  return bytes === 0 ? 'unlimited' : formatBytes(bytes);
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
