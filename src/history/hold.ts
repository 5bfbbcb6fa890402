import { CuError } from '../core/error.ts';
import type { Hold } from '../core/state.ts';
import { NOW_FOLDER, STATE_DIRECTORY, stateName } from '../observe/state.ts';
import type { Owner } from '../observe/state.ts';
import { putFiles } from '../transport/archive.ts';
import type { Host } from '../transport/host.ts';

export interface HoldStep {
  /** undefined lifts it. */
  readonly hold: Hold | undefined;
  readonly signal: AbortSignal;
}

/** Leaves a hold in the state of a host, or lifts it; the state has to be there. */
export async function writeHold(host: Host, owner: Owner, { hold, signal }: HoldStep): Promise<void> {
  const content = hold === undefined ? '' : JSON.stringify(hold);
  const to = { container: stateName(owner), folder: STATE_DIRECTORY };
  const files = [{ path: `${NOW_FOLDER}/hold`, mode: 0o600, content }];
  if (await putFiles(host.docker(), to, { files, signal })) return;
  throw new CuError('STEP_FAILED', `the container ${stateName(owner)} went away`, {
    host: host.name,
    hint: 'run the command again',
  });
}
