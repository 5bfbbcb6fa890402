import type { Slot } from './proxy.ts';
import type { Secret } from './secret.ts';
import type { Health } from './health.ts';

export type FileContent = readonly (string | Secret)[];

/** One container, bound to its host: everything symbolic has become an address, a number or an id. */
export interface ContainerSpec {
  readonly name: string;
  readonly service: string;
  readonly instance: string;
  readonly kind: string;
  /** The key under `images`; the executor knows the id it has on the host. */
  readonly image: string;
  readonly env: Readonly<Record<string, string | Secret | readonly (string | Secret)[]>>;
  readonly files: readonly { readonly path: string; readonly mode: number; readonly content: FileContent }[];
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Where named volumes are mounted that it may write to. */
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** The rest of the body of `POST /containers/create`, without Image, Env and Labels. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly network: string;
  readonly health: Health;
  /** Password for the `redis` probe. */
  readonly probeSecret: Secret | undefined;
  readonly drainMs: number;
  /** Its place behind the proxy of its host; undefined: it publishes its ports itself. */
  readonly slot?: Slot | undefined;
}
