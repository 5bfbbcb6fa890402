import type { GlobalOptions } from '../app/context.ts';
import { toFlags, type FlagSpecs, type RawFlags } from './command.ts';

export const GLOBAL_FLAGS = {
  config: { type: 'text', value: 'FILE', short: 'c', summary: 'config file (default: cu.config.yaml, here or above)' },
  env: { type: 'text', value: 'NAME', short: 'e', summary: 'environment, such as dev or stable' },
  json: { type: 'boolean', summary: 'one JSON object a line on stdout, the last one the result' },
  quiet: { type: 'boolean', short: 'q', summary: 'only results and errors' },
  verbose: { type: 'boolean', short: 'v', summary: 'show the output of every step' },
  color: { type: 'boolean', summary: 'colour even where there is no terminal' },
  noColor: { type: 'boolean', summary: 'no colour' },
  yes: { type: 'boolean', short: 'y', summary: 'answer every question with yes' },
  parallel: { type: 'number', value: 'N', summary: 'steps worked on at once, over all hosts (default: 32)', least: 1 },
  timeout: { type: 'duration', value: 'T', summary: 'how long a host may take to answer, such as 30s' },
  skipUnreachable: { type: 'boolean', summary: 'leave out hosts that do not answer' },
  lockWait: { type: 'duration', value: 'T', summary: 'wait so long for whoever deploys right now, such as 5m' },
  logFile: { type: 'text', value: 'FILE', summary: 'append everything that happens to FILE, as JSON' },
} as const satisfies FlagSpecs;

/** What concerns output alone. */
export interface OutputFlags {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly color: boolean | undefined;
  readonly logFile: string | undefined;
}

export function toGlobalOptions(raw: RawFlags, env: Readonly<Record<string, string | undefined>>): GlobalOptions {
  const flags = toFlags(GLOBAL_FLAGS, raw);
  return {
    config: flags.config,
    environment: flags.env,
    yes: flags.yes || env['CU_YES'] === '1',
    parallel: flags.parallel,
    timeoutMs: flags.timeout,
    skipUnreachable: flags.skipUnreachable,
    lockWaitMs: flags.lockWait,
    verbose: flags.verbose,
    json: flags.json,
  };
}

export function toOutputFlags(raw: RawFlags): OutputFlags {
  const { json, quiet, verbose, color, noColor, logFile } = toFlags(GLOBAL_FLAGS, raw);
  return { json, quiet, verbose, color: noColor ? false : color || undefined, logFile };
}
