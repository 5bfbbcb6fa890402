import type { BuildSource, Registry } from '../core/state.ts';
import type { DialTarget, Host } from '../transport/host.ts';
import type { BuildContext } from './context.ts';
import type { BuildInputs } from './inputs.ts';

export interface BuildOptions {
  readonly source: BuildSource;
  /** Whose engine builds. */
  readonly host: Host;
  /** Where that engine listens on its host; BuildKit's client is given a socket that leads there. */
  readonly engine: DialTarget;
  readonly inputs: BuildInputs;
  readonly version: string;
  readonly project: string;
  readonly registries: readonly Registry[];
  /** Ask for newer base images. */
  readonly pull: boolean;
  readonly noCache: boolean;
  /** cu's environment: for arguments that are null, and to find the docker client. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cacheDir: string | undefined;
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
  readonly onOutput?: ((line: string) => void) | undefined;
}

/** What either builder needs, with everything decided. */
export interface BuildJob extends BuildOptions {
  readonly context: BuildContext;
  readonly reference: string;
  readonly labels: Readonly<Record<string, string>>;
}
