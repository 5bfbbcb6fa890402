import type { Secret } from './secret.ts';

/** How many instances of a service are replaced at once. */
export type BatchSize =
  | { readonly type: 'count'; readonly count: number }
  | { readonly type: 'share'; readonly share: number };

/** What a proxy sends to a webserver; no host means every name, no path every path. */
export interface RouteSpec {
  /** Lower case; `*.example.org` stands for all names below. */
  readonly hosts: readonly string[];
  /** Beginnings of paths. */
  readonly paths: readonly string[];
  /** A PEM file of the operator's machine with certificate and key. */
  readonly certificate: string | undefined;
}

/** What becomes of a rollout in which a step failed. */
export type FailurePolicy = 'rollback' | 'stop' | 'continue';

/** A command of the new image that runs once in the fleet, before anything is switched to it. */
export interface TaskSpec {
  readonly service: string;
  readonly command: readonly string[];
  readonly timeoutMs: number;
}

export const HOOK_MOMENTS = ['beforeDeploy', 'afterDeploy', 'onFailure'] as const;

export type HookMoment = (typeof HOOK_MOMENTS)[number];

/** Commands of the operator's machine around a deploy. */
export interface HookSpecs {
  readonly commands: Readonly<Record<HookMoment, readonly (readonly string[])[]>>;
  /** The config's, in which they run. */
  readonly directory: string;
  /** What their environment must not hold, by name or by value. */
  readonly withheld: readonly Secret[];
}
