import type { Plan } from './action.ts';
import type { KnownHost } from './state.ts';

export type ReleaseKind = 'deploy' | 'rollback' | 'promote';

export type ReleaseOutcome = 'done' | 'failed' | 'rolled-back' | 'interrupted';

/** What an image is called on each host, by the host's name: one image has several ids where engines store it unlike. */
export type ImageIds = Readonly<Record<string, string>>;

/**
 * Which bytes an image stood for, by the id that each host had. Of a build they are empty in what an earlier cu wrote;
 * its version and its inputs do not tell one build from another of the same files.
 */
export type ReleaseImage =
  | {
      readonly type: 'build';
      readonly version: string;
      readonly inputs: string;
      readonly repository: string;
      readonly ids: ImageIds;
    }
  | { readonly type: 'ref'; readonly reference: string; readonly ids: ImageIds };

/** One deploy of an environment, as its hosts remember it. It never holds the value of a secret. */
export interface Release {
  readonly v: 1;
  readonly id: string;
  /** Counts up; what its place in the ring of a host follows from. */
  readonly sequence: number;
  readonly project: string;
  readonly environment: string;
  readonly kind: ReleaseKind;
  /** Empty: the whole environment. */
  readonly targets: readonly string[];
  /** `user@machine`. */
  readonly who: string;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  readonly commit: string | undefined;
  readonly isDirty: boolean;
  /** undefined: it is under way, or was cut off. */
  readonly outcome: ReleaseOutcome | undefined;
  /** Why it is not `done`, on one line. */
  readonly reason: string | undefined;
  /** By the key under `images`. */
  readonly images: Readonly<Record<string, ReleaseImage>>;
  readonly steps: readonly string[];
  readonly hosts: readonly KnownHost[];
  /** The config document of the environment, packed by `history/document.ts`: names of secrets, never values. */
  readonly config: string;
  /** The release that a rollback went back to. */
  readonly origin: string | undefined;
}

/** What was checked out when something was built; undefined outside git, and where nobody remembers. */
export type Commit = Pick<Release, 'commit' | 'isDirty'>;

const MOST_STEPS = 200;

/** `20261123-101200-0a1b`: sorts by time, UTC; the suffix is four hex digits of chance. */
export function releaseId(startedAt: number, suffix: string): string {
  const [day = '', time = ''] = new Date(startedAt).toISOString().split('T');
  return `${day.replaceAll('-', '')}-${time.slice(0, 8).replaceAll(':', '')}-${suffix}`;
}

/** What a plan did and why, `id: cause`, bounded. */
export function releaseSteps(plan: Plan): readonly string[] {
  const steps = plan.nodes.map(({ id, cause }) => `${id}: ${cause}`);
  if (steps.length <= MOST_STEPS) return steps;
  return [...steps.slice(0, MOST_STEPS - 1), `and ${steps.length - MOST_STEPS + 1} more`];
}

/**
 * `images`, with what the same bytes were called on further hosts in an earlier release: engines that store images in
 * another way name them unlike, and what was brought there is not to be brought again.
 */
export function withKnownIds(images: Release['images'], history: readonly Release[]): Release['images'] {
  return Object.fromEntries(
    Object.entries(images).map(([name, image]) => {
      const values = new Set(Object.values(image.ids));
      const known = history
        .map((release) => Object.entries(release.images[name]?.ids ?? {}))
        .filter((ids) => ids.some(([, id]) => values.has(id)));
      return [name, { ...image, ids: { ...Object.fromEntries(known.flat()), ...image.ids } }];
    }),
  );
}

/** The versions of what was built, each once. */
export function versionsOf({ images }: Pick<Release, 'images'>): readonly string[] {
  return [...new Set(Object.values(images).flatMap((image) => (image.type === 'build' ? [image.version] : [])))];
}
