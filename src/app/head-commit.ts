import { runLocal } from '../transport/run-local.ts';
import type { Context } from './context.ts';

const GIT_MS = 5000;

/** The commit that is checked out in a folder; undefined outside git, and where there is no git. */
export async function headCommit({ signal }: Pick<Context, 'signal'>, cwd: string): Promise<string | undefined> {
  try {
    const argv = ['git', 'rev-parse', 'HEAD'];
    const found = await runLocal(argv, { host: 'this machine', cwd, signal, timeoutMs: GIT_MS });
    return found.exitCode === 0 ? found.stdout.trim() : undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}
