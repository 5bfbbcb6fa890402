import { defineCommand } from '../command.ts';
import { TARGET } from '../targets.ts';

export const shell = defineCommand({
  name: 'shell',
  summary: 'open a shell in a running instance',
  args: [TARGET],
  flags: {},
  async run(context, [target = '']) {
    const { shell: openShell } = await import('../../app/shell.ts');
    const { exitCode } = await openShell(context, target);
    return { exitCode };
  },
});
