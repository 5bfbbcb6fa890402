import { CuError } from '../../core/error.ts';
import { completeWords } from '../complete-words.ts';
import { completionScript, SHELLS } from '../completion-scripts.ts';
import { defineCommand } from '../command.ts';

export const completion = defineCommand({
  name: 'completion',
  summary: 'print a completion script for a shell',
  args: [{ name: '[shell...]', summary: SHELLS.join(', ') }],
  flags: { words: { type: 'boolean', summary: 'what may follow the words after --; for the scripts' } },
  async run(context, args, { words }) {
    if (words) return { text: (await completeWords(context, args)).join('\n') };
    const shell = SHELLS.find((each) => each === args[0]);
    if (shell === undefined || args.length > 1) {
      throw new CuError('USAGE', args[0] === undefined ? 'which shell?' : `no completion for ${args.join(' ')}`, {
        hint: `cu completion ${SHELLS.join('|')}`,
      });
    }
    return { text: completionScript(shell) };
  },
});
