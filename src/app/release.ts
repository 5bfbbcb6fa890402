import type { BuildInputs } from '../build/inputs.ts';
import { documentToStore, parseStoredEnvironment } from '../config/stored.ts';
import type { EnvironmentConfig } from '../config/parse.ts';
import type { Plan } from '../core/action.ts';
import type { CuError } from '../core/error.ts';
import { releaseId, releaseSteps } from '../core/release.ts';
import type { Commit, ImageIds, Release, ReleaseImage, ReleaseKind } from '../core/release.ts';
import type { KnownHost } from '../core/state.ts';
import type { Secret } from '../core/secret.ts';
import type { Desired, HostTarget, InstanceSpec, ObservedHost } from '../core/state.ts';
import { packDocument, unpackDocument } from '../history/document.ts';
import { imageOnHost } from '../plan/images.ts';
import type { WantedImage } from '../plan/input.ts';
import type { Context } from './context.ts';
import { redact } from './redact.ts';

const LONGEST_REASON = 300;

export interface ReleaseParts {
  readonly kind: ReleaseKind;
  readonly targets: readonly string[];
  readonly sequence: number;
  readonly who: string;
  readonly startedAt: number;
  /** Four hex digits of chance. */
  readonly suffix: string;
  readonly commit: Commit;
  readonly origin: string | undefined;
  readonly environment: EnvironmentConfig;
  readonly desired: Desired;
  readonly observed: readonly ObservedHost[];
  readonly images: ReadonlyMap<string, WantedImage>;
  /** Those that are deployed. */
  readonly instances: readonly Pick<InstanceSpec, 'image' | 'host'>[];
  readonly plan: Plan;
}

/** The record of a deploy that is about to begin. */
export function newRelease(parts: ReleaseParts): Release {
  const { kind, targets, sequence, who, startedAt, commit, origin, environment, desired } = parts;
  return {
    v: 1,
    id: releaseId(startedAt, parts.suffix),
    sequence,
    project: desired.project,
    environment: desired.environment,
    kind,
    targets,
    who,
    startedAt,
    endedAt: undefined,
    ...commit,
    outcome: undefined,
    reason: undefined,
    images: releaseImages(parts),
    steps: releaseSteps(parts.plan),
    hosts: desired.hosts.map(releaseHost),
    config: packDocument(documentToStore(environment)),
    origin,
  };
}

/** Which bytes the images stand for, by what was observed on the hosts and by what a run has `made` of it since. */
export function releaseImages(
  at: Pick<ReleaseParts, 'images' | 'observed' | 'instances'>,
  made: Readonly<Record<string, ImageIds>> = {},
): Release['images'] {
  return Object.fromEntries([...at.images].map(([name, wanted]) => [name, releaseImage(wanted, at, made[name] ?? {})]));
}

function releaseImage(
  wanted: WantedImage,
  { observed, instances }: Pick<ReleaseParts, 'observed' | 'instances'>,
  made: ImageIds,
): ReleaseImage {
  const found = observed.flatMap((host): readonly (readonly [string, string])[] => {
    const image = imageOnHost(host, wanted);
    return image === undefined ? [] : [[host.name, image.id]];
  });
  if (wanted.type === 'ref')
    return { type: 'ref', reference: wanted.source.reference, ids: { ...Object.fromEntries(found), ...made } };
  const { version, inputs, source, origin } = wanted;
  // Other hosts may have another build of the same inputs, and so has each of them while this one is still to be built.
  const users = new Set(instances.filter(({ image }) => image === source.name).map(({ host }) => host));
  const known = [...(origin?.isBuilt === false ? [] : found), ...Object.entries(made)];
  const own = known.filter(([host]) => users.has(host) || host === origin?.host);
  const ids = { ...wanted.ids, ...Object.fromEntries(own) };
  return { type: 'build', version, inputs, repository: source.repository, ids };
}

function releaseHost(target: HostTarget): KnownHost {
  const { name, connection, address, user, port, identity, proxyJump, client, dockerSocket } = target;
  return { name, connection, address, user, port, identity, proxyJump, client, dockerSocket };
}

/** The environment as a release had it, on the hosts of today. */
export function releaseConfig(release: Release, current: EnvironmentConfig): EnvironmentConfig {
  return parseStoredEnvironment(unpackDocument(release.config), current, `release ${release.id}`);
}

/** Why a deploy did not succeed, on one line; what an engine said may hold anything. */
export function reasonOf(errors: readonly CuError[], secrets: readonly Secret[]): string | undefined {
  const [first] = errors;
  if (first === undefined) return undefined;
  const where = first.host === undefined ? '' : `${first.host}: `;
  const more = errors.length === 1 ? '' : ` (and ${errors.length - 1} more)`;
  const text = redact(`${where}${first.message}${more}`, secrets);
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, LONGEST_REASON);
}

/** What the images are built from: the first commit, and whether anything lies there that git does not know. */
export async function readCommit(context: Context, inputs: ReadonlyMap<string, BuildInputs>): Promise<Commit> {
  const { readGitFacts } = await import('../build/version.ts');
  const commits: { readonly hash: string; readonly isDirty: boolean }[] = [];
  for (const each of inputs.values()) {
    const git = await readGitFacts(each.context, context);
    if (git.type === 'commit') commits.push(git);
  }
  return { commit: commits[0]?.hash, isDirty: commits.some(({ isDirty }) => isDirty) };
}

export function whoIs({ username, machine }: Pick<Context, 'username' | 'machine'>): string {
  return `${username}@${machine}`;
}
