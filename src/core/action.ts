import type { ContainerSpec } from './container.ts';
import type { ProxyPart, ProxyPlace } from './proxy.ts';
import type { Secret } from './secret.ts';
import type { ObservedLimits, RolloutStrategy } from './state.ts';

export type Action =
  | { readonly type: 'build-image'; readonly image: string; readonly version: string; readonly inputs: string }
  | { readonly type: 'push-image'; readonly image: string; readonly version: string }
  | { readonly type: 'ship-image'; readonly image: string; readonly version: string; readonly from: string }
  | { readonly type: 'pull-image'; readonly image: string; readonly reference: string }
  | { readonly type: 'tag-image'; readonly image: string; readonly tags: readonly string[] }
  | {
      readonly type: 'init-state';
      readonly volume: string;
      readonly specKey: Secret;
      readonly brokerPassword: Secret | undefined;
    }
  | { readonly type: 'create-network'; readonly name: string }
  | { readonly type: 'create-volume'; readonly name: string }
  /** One command of a new image, once in the fleet, before anything is switched to it; `name` is the command. */
  | { readonly type: 'run-task'; readonly name: string; readonly spec: ContainerSpec; readonly timeoutMs: number }
  /** Whether broker and storage can be used from the host. */
  | { readonly type: 'check-broker'; readonly spec: ContainerSpec }
  /** The host's HAProxy is there and runs; `image` is a key under `images`. */
  | { readonly type: 'ensure-proxy'; readonly image: string; readonly socketGid: number }
  /** What this environment wants of the host's proxy; no routes: it wants nothing any more. */
  | {
      readonly type: 'apply-routes';
      readonly part: ProxyPart;
      readonly previous: ProxyPart | undefined;
      readonly certificates: readonly { readonly name: string; readonly pem: Secret }[];
      readonly socketGid: number;
      /** Only takes away: it waits until what is to answer instead, perhaps on another host, is there. */
      readonly isFarewell?: boolean;
    }
  /** Requests go to the instance's container in this slot, and no more to the one in the other. */
  | { readonly type: 'switch-proxy'; readonly place: ProxyPlace; readonly drainMs: number; readonly socketGid: number }
  | { readonly type: 'create-container'; readonly spec: ContainerSpec }
  | {
      readonly type: 'replace-container';
      readonly spec: ContainerSpec;
      readonly oldId: string;
      readonly strategy: RolloutStrategy;
      /** The first of its service: watched for the whole stability window before it takes over. */
      readonly isCanary: boolean;
      /** The bytes that ran before, where nothing else is wanted; undefined: what the config wants by now. */
      readonly imageId?: string | undefined;
    }
  /** What the new one has replaced finishes its work and stops; it is kept until the whole run has succeeded. */
  | {
      readonly type: 'drain-container';
      readonly service: string;
      readonly instance: string;
      readonly name: string;
      readonly id: string;
      readonly drainMs: number;
      /** Where requests still reach it. */
      readonly place?: ProxyPlace | undefined;
      /** Told to finish, and left to do so: a later command takes it away. */
      readonly isDetached: boolean;
    }
  /** Still up, neither restarted nor killed, once the stability window since its gate has passed. */
  | { readonly type: 'verify-container'; readonly spec: ContainerSpec }
  /** The opposite of `replace-container`: the old one serves again, the new one is removed. */
  | {
      readonly type: 'restore-container';
      readonly spec: ContainerSpec;
      readonly oldId: string;
      readonly strategy: RolloutStrategy;
    }
  | { readonly type: 'resume-container'; readonly name: string; readonly id: string }
  | { readonly type: 'pause'; readonly service: string; readonly ms: number }
  | { readonly type: 'start-container'; readonly spec: ContainerSpec; readonly id: string }
  | { readonly type: 'restart-container'; readonly spec: ContainerSpec; readonly id: string }
  | {
      readonly type: 'stop-container';
      readonly name: string;
      readonly id: string;
      readonly drainMs: number;
      /** Where requests still reach it. */
      readonly place?: ProxyPlace | undefined;
      /** Nothing starts it again, so its place gets no requests until something new is there. */
      readonly isLeftover?: boolean;
    }
  | {
      readonly type: 'update-container';
      readonly spec: ContainerSpec;
      readonly id: string;
      readonly previous: ObservedLimits | undefined;
    }
  | {
      readonly type: 'remove-container';
      readonly name: string;
      readonly id: string;
      readonly drainMs: number;
      /** Where requests may still reach it. */
      readonly place?: ProxyPlace | undefined;
      /** Nothing wants it any more: it goes only once all that is wanted instead is there. */
      readonly isOrphan?: boolean;
    }
  | { readonly type: 'remove-image'; readonly id: string; readonly tags: readonly string[]; readonly sizeBytes: number }
  | { readonly type: 'remove-network'; readonly name: string }
  | { readonly type: 'remove-volume'; readonly name: string };

export type ActionType = Action['type'];

/** One step of a plan. `id` is `host/name/verb`: stable, greppable, also the key of its events. */
export interface PlanNode {
  readonly id: string;
  readonly host: string;
  readonly action: Action;
  readonly cause: string;
  readonly after: readonly string[];
}

/** Steps in topological order: what a step waits for stands before it. */
export interface Plan {
  readonly nodes: readonly PlanNode[];
}
