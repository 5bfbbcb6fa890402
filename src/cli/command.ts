import type { Context } from '../app/context.ts';
import type { CuError } from '../core/error.ts';
import type { Theme } from '../render/theme.ts';

/** One flag; its key `noBuild` is written `--no-build`. */
export type FlagSpec =
  | { readonly type: 'boolean'; readonly summary: string; readonly short?: string }
  | { readonly type: 'text'; readonly value: string; readonly summary: string; readonly short?: string }
  | {
      readonly type: 'number';
      readonly value: string;
      readonly summary: string;
      readonly short?: string;
      /** Default 0. */
      readonly least?: number;
    }
  /** `30s`, `5m`; given to the command in milliseconds. */
  | { readonly type: 'duration'; readonly value: string; readonly summary: string; readonly short?: string };

export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

interface FlagValues {
  readonly boolean: boolean;
  readonly text: string | undefined;
  readonly number: number | undefined;
  readonly duration: number | undefined;
}

export type Flags<F extends FlagSpecs> = { readonly [K in keyof F]: FlagValues[F[K]['type']] };

export type RawFlags = Readonly<Record<string, unknown>>;

/** `<name>` is required, `[name]` is not, `...` takes the rest. */
export interface ArgumentSpec {
  readonly name: string;
  readonly summary: string;
}

export interface CommandResult {
  readonly exitCode?: number;
  /** For people, on stdout. */
  readonly text?: string | ((theme: Theme) => string);
  /** With `--json`: the fields of the last line. */
  readonly json?: object;
  /** What went wrong though there is a result; printed on stderr. */
  readonly error?: CuError;
}

interface CommandSpec<F extends FlagSpecs> {
  readonly name: string;
  readonly summary: string;
  readonly args: readonly ArgumentSpec[];
  readonly flags: F;
  readonly run: (context: Context, args: readonly string[], flags: Flags<F>) => Promise<CommandResult>;
}

/** A command whose flags' types are hidden, so that all of them fit in one table. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly args: readonly ArgumentSpec[];
  readonly flags: FlagSpecs;
  readonly run: (context: Context, args: readonly string[], flags: RawFlags) => Promise<CommandResult>;
}

export function defineCommand<F extends FlagSpecs>(spec: CommandSpec<F>): Command {
  return { ...spec, run: (context, args, raw) => spec.run(context, args, toFlags(spec.flags, raw)) };
}

export function toFlags<F extends FlagSpecs>(specs: F, raw: RawFlags): Flags<F> {
  const entries = Object.entries(specs).map(([key, spec]) => [
    key,
    spec.type === 'boolean' ? raw[key] === true : raw[key],
  ]);
  // The only cast: `program.ts` has parsed each value by its spec, and a mapped type cannot be built entry by entry.
  return Object.fromEntries(entries) as Flags<F>;
}
