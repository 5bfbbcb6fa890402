import { CuError } from '../core/error.ts';
import type { Context } from './context.ts';
import { exec } from './exec.ts';

/** The best shell that the image has; an image without one says so by its exit code. */
const SHELL = 'if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi';

export function shell(context: Context, target: string): Promise<{ readonly exitCode: number }> {
  if (!context.terminal.isTty) {
    throw new CuError('USAGE', 'cu shell needs a terminal', { hint: 'for scripts: `cu exec TARGET -- COMMAND`' });
  }
  return exec(context, target, ['sh', '-c', SHELL], { tty: true, stdin: true });
}
