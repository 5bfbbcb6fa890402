import { CuError } from '../../core/error.ts';
import { suggest } from '../../core/suggest.ts';
import { purgeText } from '../../render/purge-text.ts';
import { defineCommand } from '../command.ts';

const KINDS = ['containers', 'images'] as const;

export const purge = defineCommand({
  name: 'purge',
  summary: 'free space that old versions hold',
  args: [{ name: '[what...]', summary: `${KINDS.join(' or ')} (default: all of them)` }],
  flags: {},
  async run(context, words) {
    const what = words.length === 0 ? KINDS : words.map(kindOf);
    const { purge: purgeHosts } = await import('../../app/purge.ts');
    const { items, isRemoved, failures } = await purgeHosts(context, what);
    return {
      text: (theme) => purgeText({ items, isRemoved }, theme),
      json: { items, removed: isRemoved },
      ...failures,
    };
  },
});

function kindOf(word: string): (typeof KINDS)[number] {
  const kind = KINDS.find((each) => each === word);
  if (kind === undefined)
    throw new CuError('USAGE', `cannot purge ${word}`, {
      hint: `did you mean ${suggest(word, KINDS) ?? KINDS.join(' or ')}?`,
    });
  return kind;
}
