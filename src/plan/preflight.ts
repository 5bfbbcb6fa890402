import type { Plan, PlanNode } from '../core/action.ts';
import type { ContainerSpec } from '../core/container.ts';
import { CuError } from '../core/error.ts';
import { formatBytes } from '../core/format.ts';
import type { PathFacts } from '../core/path-facts.ts';
import type { MountSpec, ObservedHost } from '../core/state.ts';
import { imageOnHost } from './images.ts';
import type { PlanInput } from './input.ts';
import type { Planned } from './plan.ts';
import { pathProblem } from './preflight-mounts.ts';

/** What a plan that changes something wants to know besides the snapshot of the hosts. */
export interface PreflightFacts {
  /** By host, then by path. */
  readonly paths: ReadonlyMap<string, ReadonlyMap<string, PathFacts>>;
  /** Of images that are built already, by name. */
  readonly architectures: ReadonlyMap<string, string>;
}

const MOST_SKEW_MS = 60_000;
const OLDEST_API = '1.41';
const LEAST_FREE = 256 * 1024 * 1024;

/** All that stands in the way of a plan, host by host: whoever mends it is not sent away twice. */
export function findings(
  input: PlanInput,
  { plan, problems }: Pick<Planned, 'plan' | 'problems'>,
  facts: PreflightFacts,
): readonly CuError[] {
  const placeOf = ({ host }: CuError): number => input.hosts.findIndex(({ name }) => name === host);
  return [...problems, ...preflight(input, plan, facts)].toSorted((one, other) => placeOf(one) - placeOf(other));
}

/** What would make the plan fail later, or go wrong unseen; only hosts on which it changes something are judged. */
export function preflight(input: PlanInput, plan: Plan, facts: PreflightFacts): readonly CuError[] {
  return input.hosts.flatMap((host) => {
    const nodes = plan.nodes.filter((node) => node.host === host.name);
    if (nodes.length === 0) return [];
    return [
      ...clockProblems(host),
      ...engineProblems(host),
      ...spaceProblems(host, nodes, input),
      ...architectureProblems(host, nodes, { input, facts }),
      ...mountProblems(host, nodes, { input, facts }),
    ];
  });
}

/** The folders and files of each host that containers of the plan get to see. */
export function mountedPaths(input: PlanInput, plan: Plan): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, Set<string>>();
  for (const node of plan.nodes) {
    for (const { source } of bindsOf(node, input))
      found.set(node.host, (found.get(node.host) ?? new Set()).add(source));
  }
  return new Map([...found].map(([host, paths]) => [host, [...paths].toSorted()]));
}

function clockProblems({ name, facts }: ObservedHost): readonly CuError[] {
  const off = Math.abs(facts.clockOffsetMs);
  if (off - facts.clockToleranceMs <= MOST_SKEW_MS) return [];
  const how = `${Math.round(off / 1000)} s ${facts.clockOffsetMs > 0 ? 'ahead of' : 'behind'} this machine's`;
  return [
    new CuError('HOST_MISMATCH', `the clock of the host is ${how}`, {
      host: name,
      hint: 'set it, and let NTP keep it: `timedatectl set-ntp true`; leases and logs go by it',
    }),
  ];
}

function engineProblems({ name, facts }: ObservedHost): readonly CuError[] {
  if (!isOlder(facts.apiVersion, OLDEST_API)) return [];
  return [
    new CuError(
      'HOST_MISMATCH',
      `its Docker Engine ${facts.engineVersion} has API ${facts.apiVersion}, cu needs ${OLDEST_API}`,
      { host: name, hint: 'install Docker Engine 20.10 or newer' },
    ),
  ];
}

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor = 0, leastMinor = 0] = than.split('.').map(Number);
  return major < leastMajor || (major === leastMajor && minor < leastMinor);
}

/** While it arrives, an image is there twice: as bytes and unpacked. */
function spaceProblems(host: ObservedHost, nodes: readonly PlanNode[], input: PlanInput): readonly CuError[] {
  const { freeBytes } = host.facts;
  const names = nodes.flatMap(({ action }) =>
    action.type === 'ship-image' || action.type === 'pull-image' || action.type === 'build-image' ? [action.image] : [],
  );
  if (freeBytes === undefined || names.length === 0) return [];
  const sizes = [...new Set(names)].map((name) => 2 * sizeOf(name, host, input));
  const needed = Math.max(
    LEAST_FREE,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  if (freeBytes >= needed) return [];
  return [
    new CuError(
      'HOST_MISMATCH',
      `${formatBytes(freeBytes)} are free at ${host.facts.dockerRoot}, ${formatBytes(needed)} are needed for ${names.join(', ')}`,
      { host: host.name, hint: 'free some: `cu purge`, or `docker system df` shows what takes it' },
    ),
  ];
}

/** As another host lists it; 0 where none does, and where an older version shares most of its layers. */
function sizeOf(name: string, host: ObservedHost, { hosts, images }: PlanInput): number {
  const wanted = images.get(name);
  if (wanted === undefined) return 0;
  const prefix = `${wanted.type === 'build' ? wanted.source.repository : wanted.source.reference.replace(/[:@].*$/, '')}:`;
  if (host.images.some((image) => image.tags.some((tag) => tag.startsWith(prefix)))) return 0;
  return Math.max(0, ...hosts.map((each) => imageOnHost(each, wanted)?.sizeBytes ?? 0));
}

interface Known {
  readonly input: PlanInput;
  readonly facts: PreflightFacts;
}

function architectureProblems(host: ObservedHost, nodes: readonly PlanNode[], known: Known): readonly CuError[] {
  const names = nodes.flatMap(({ action }) => (action.type === 'ship-image' ? [action.image] : []));
  return names.flatMap((name) => {
    const found = known.facts.architectures.get(name);
    if (found === undefined || normal(found) === normal(host.facts.architecture)) return [];
    const message = `image ${name} is built for ${normal(found)}, the host is ${normal(host.facts.architecture)}`;
    const hint = `set images.${name}.build.platform, or build it on such a host: images.${name}.build.on`;
    return [new CuError('HOST_MISMATCH', message, { host: host.name, hint })];
  });
}

/** The engine says x86_64 of itself and amd64 of an image. */
function normal(architecture: string): string {
  const names: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64', armv7l: 'arm', i686: '386' };
  return names[architecture] ?? architecture;
}

function mountProblems(host: ObservedHost, nodes: readonly PlanNode[], { input, facts }: Known): readonly CuError[] {
  const paths = facts.paths.get(host.name);
  const seen = new Set<string>();
  return nodes.flatMap((node) =>
    bindsOf(node, input).flatMap(({ source, readOnly, spec }) => {
      const problem = pathProblem(paths?.get(source), { source, readOnly, spec, host });
      // Ten replicas have one problem.
      const key = `${spec.service} ${problem?.message ?? ''}`;
      if (problem === undefined || seen.has(key)) return [];
      seen.add(key);
      return [problem];
    }),
  );
}

type Bind = Extract<MountSpec, { type: 'bind' }>;

function bindsOf(
  { host, action }: PlanNode,
  { instances }: PlanInput,
): readonly (Bind & { readonly spec: ContainerSpec })[] {
  if (action.type !== 'create-container' && action.type !== 'replace-container') return [];
  const { spec } = action;
  const instance = instances.find((each) => each.host === host && each.containerName === spec.name);
  return (instance?.mounts ?? []).flatMap((mount) => (mount.type === 'bind' ? [{ ...mount, spec }] : []));
}
