/** Where cu runs, as far as ssh settings depend on it. */
export interface SshEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly username: string;
}

/** Lower-case keyword to its values, as `ssh -G` prints them. */
export type SshValues = ReadonlyMap<string, readonly string[]>;
