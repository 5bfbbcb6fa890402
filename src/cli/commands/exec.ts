import { defineCommand } from '../command.ts';
import { TARGET } from '../targets.ts';

export const exec = defineCommand({
  name: 'exec',
  summary: 'run a command in a running instance',
  args: [TARGET, { name: '<command...>', summary: 'after --, with its arguments' }],
  flags: {
    tty: { type: 'boolean', short: 't', summary: 'give it a terminal' },
    stdin: { type: 'boolean', short: 'i', summary: 'pass our stdin on to it' },
  },
  async run(context, [target = '', ...argv], { tty, stdin }) {
    const { exec: execIn } = await import('../../app/exec.ts');
    const { exitCode } = await execIn(context, target, argv, { tty, stdin });
    return { exitCode };
  },
});
