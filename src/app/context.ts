import type { Readable, Writable } from 'node:stream';
import type { Emit } from '../core/event.ts';
import type { Secret } from '../core/secret.ts';

/** The global flags that use cases read; what concerns cu's own words alone stays in `main`. */
export interface GlobalOptions {
  readonly config: string | undefined;
  readonly environment: string | undefined;
  readonly yes: boolean;
  readonly parallel: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly skipUnreachable: boolean;
  /** How long to wait for somebody else's lock. */
  readonly lockWaitMs: number | undefined;
  readonly verbose: boolean;
  /** stdout is for lines of JSON: what somebody else said cannot go there as it is. */
  readonly json: boolean;
}

/** The raw streams, for commands that hand them to a process on a host. */
export interface Terminal {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** stdin and stdout are both a terminal. */
  readonly isTty: boolean;
  readonly isStdoutTty: boolean;
  readonly columns: number;
  readonly rows: number;
  /** Returns the function that takes the listener off again. */
  readonly onResize: (listener: () => void) => () => void;
  readonly setRawMode: (isRaw: boolean) => void;
}

/** One line of a stream of results, such as a log line; `prefix` is coloured, the same one always alike. */
interface OutputLine {
  readonly prefix?: string;
  readonly text: string;
  readonly json: object;
}

/** Everything a use case needs from the outside world. */
export interface Context {
  readonly cwd: string;
  readonly home: string;
  readonly tmp: string;
  readonly cacheDir: string;
  readonly username: string;
  /** The name of this machine. */
  readonly machine: string;
  readonly pid: number;
  /** Whether a process of this machine is still there. */
  readonly isRunning: (pid: number) => boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly packageRoot: string;
  readonly now: () => number;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  /** False in CI, with `--json` and where there is no terminal: nothing may be asked. */
  readonly interactive: boolean;
  /** `flag` is what a person adds to the command to answer beforehand. */
  readonly confirm: (question: string, flag: string) => Promise<boolean>;
  readonly ask: (question: string, options: { readonly hidden: boolean }) => Promise<string>;
  /** Writes to stdout; resolves when stdout takes more. */
  readonly output: (line: OutputLine) => Promise<void>;
  /** Call as soon as secrets are resolved: from then on their values are hidden in all that cu prints. */
  readonly mask: (secrets: readonly Secret[]) => void;
  readonly options: GlobalOptions;
  readonly terminal: Terminal;
}
