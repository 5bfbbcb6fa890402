import type { ContainerSpec } from '../core/container.ts';
import type { ImageIds } from '../core/release.ts';
import type { Secret } from '../core/secret.ts';
import type { BuildSource, Desired, InstanceSpec, ObservedHost, RefSource } from '../core/state.ts';
import type { Certificates } from '../core/proxy.ts';

/** An image as this deploy wants it; `version` is what the image already has, or gets when it is built. */
export type WantedImage =
  | {
      readonly type: 'build';
      readonly source: BuildSource;
      readonly inputs: string;
      readonly version: string;
      /** Where the bytes come from; undefined when every host has them or the registry does. */
      readonly origin:
        | { readonly host: string; readonly isBuilt: false }
        | { readonly host: string; readonly isBuilt: true; readonly imageId: string }
        | undefined;
      /** The bytes of a release, wherever they have to come from; without them the newest of these inputs will do. */
      readonly ids?: ImageIds;
    }
  | {
      readonly type: 'ref';
      readonly source: RefSource;
      /** By host: which bytes the reference stood for in the release that is gone back to. */
      readonly ids?: ImageIds;
    };

/** Digests are handed in, so that planning needs no crypto of its own. */
export interface Hashing {
  /** Stable over the order of keys; a Secret counts as its keyed digest. */
  readonly stable: (value: unknown, secretKey?: string) => string;
  readonly sha256: (text: string) => string;
  readonly hmacSha256: (key: string, text: string) => string;
}

export interface PlanInput {
  readonly desired: Desired;
  /** The instances in scope; all of the environment's without a TARGET. */
  readonly instances: readonly InstanceSpec[];
  readonly isWhole: boolean;
  /** The hosts that were reached; what is wanted elsewhere is left alone. */
  readonly hosts: readonly ObservedHost[];
  /** Hosts that ran something of the environment once and were not reached: what runs there is not known. */
  readonly unseen: readonly string[];
  readonly images: ReadonlyMap<string, WantedImage>;
  readonly hashing: Hashing;
  /** Used where a host has none yet. */
  readonly fresh: { readonly specKey: Secret; readonly brokerPassword: Secret };
  readonly rebuild: boolean;
  readonly certificates: Certificates;
  /** Rest between the batches of a service. */
  readonly pauseMs: number;
  /** What was replaced finishes its work with nobody waiting for it. */
  readonly isDetached: boolean;
}

/** An instance, what its host is asked for, and the host. */
export interface Bound {
  readonly instance: InstanceSpec;
  readonly spec: ContainerSpec;
  readonly host: ObservedHost;
}
