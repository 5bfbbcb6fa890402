import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from '../../app/context.ts';
import { CuErrors, EXIT_CODES } from '../../core/error.ts';
import { statusText } from '../../render/status-text.ts';
import { plainTheme } from '../../render/theme.ts';
import { defineCommand } from '../command.ts';
import { TARGETS } from '../targets.ts';

const WATCH_MS = 2000;
const CLEAR_SCREEN = '\u001B[H\u001B[2J';

export const status = defineCommand({
  name: 'status',
  summary: 'show what runs where, and drift',
  args: [TARGETS],
  flags: { watch: { type: 'boolean', short: 'w', summary: 'show it again every few seconds, until stopped' } },
  async run(context, targets, { watch }) {
    if (watch) await watchStatus(context, targets);
    const { status: readStatus } = await import('../../app/status.ts');
    const { rows, unreachable } = await readStatus(context, targets);
    return {
      text: (theme) => statusText(rows, theme),
      json: { instances: rows },
      ...(unreachable.length === 0 ? {} : { exitCode: EXIT_CODES.HOST_UNREACHABLE, error: new CuErrors(unreachable) }),
    };
  },
});

/** Ends by Ctrl-C alone. */
async function watchStatus(context: Context, targets: readonly string[]): Promise<never> {
  const { status: readStatus } = await import('../../app/status.ts');
  const { terminal, interactive, signal, now } = context;
  for (;;) {
    const { rows } = await readStatus(context, targets);
    const time = new Date(now()).toISOString();
    if (interactive && terminal.isTty) terminal.stdout.write(CLEAR_SCREEN);
    await context.output({
      text: `${time}\n${statusText(rows, plainTheme)}\n`,
      json: { type: 'status', time, instances: rows },
    });
    await sleep(WATCH_MS, undefined, { signal });
  }
}
