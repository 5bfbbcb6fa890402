import type { HoldResult } from '../app/hold.ts';
import { CuErrors, EXIT_CODES } from '../core/error.ts';
import { cleanLine } from '../render/clean.ts';
import { wireError } from '../render/wire.ts';
import type { CommandResult } from './command.ts';

interface HoldWords {
  readonly name: string;
  readonly hosts: string;
  readonly hold: HoldResult['hold'];
}

/** What `cu lock` and `cu unlock` report; `say` gives the sentence. */
export function holdResult(result: HoldResult, say: (words: HoldWords) => string): CommandResult {
  const { project, environment, hold, hosts, unreachable } = result;
  return {
    text: cleanLine(say({ name: `${project} ${environment}`, hosts: hosts.join(', '), hold })),
    json: { project, environment, hold, hosts, unreachable: unreachable.map(wireError) },
    ...(unreachable.length === 0 ? {} : { exitCode: EXIT_CODES.HOST_UNREACHABLE, error: new CuErrors(unreachable) }),
  };
}
