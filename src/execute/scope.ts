import type { BuildInputs } from '../build/inputs.ts';
import type { Emit } from '../core/event.ts';
import type { Desired, ObservedHost } from '../core/state.ts';
import type { WantedImage } from '../plan/input.ts';
import type { LockOwner } from './lock-channel.ts';
import type { DialTarget, Host } from '../transport/host.ts';

/** What the steps of one run share. */
export interface RunScope {
  readonly desired: Desired;
  readonly hosts: ReadonlyMap<string, Host>;
  readonly observed: ReadonlyMap<string, ObservedHost>;
  readonly images: ReadonlyMap<string, WantedImage>;
  /** What images with a build are made from, by image name. */
  readonly inputs: ReadonlyMap<string, BuildInputs>;
  /** Where a host's engine listens, for a BuildKit client. */
  readonly engineOf: (host: string) => Promise<DialTarget>;
  /** This machine's engine, opened when a host cannot pull for itself. */
  readonly openLocal: () => Promise<Host>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cacheDir: string;
  /** For whoever meets a lock of this run. */
  readonly locker: LockOwner;
  /** Aborts a few seconds after an interrupt: by then all that is put back has to be. */
  readonly grace: AbortSignal;
  readonly now: () => number;
  readonly emit: Emit;
  readonly rebuild: boolean;
  readonly pull: boolean;
}
