import { defineCommand } from '../command.ts';
import { outcomeResult } from '../outcome-result.ts';

export const remove = defineCommand({
  name: 'remove',
  summary: 'take the project off its hosts',
  args: [],
  flags: { volumes: { type: 'boolean', summary: 'the data volumes too: what they hold is lost' } },
  async run(context, _args, { volumes }) {
    const { remove: removeProject } = await import('../../app/remove.ts');
    return outcomeResult(await removeProject(context, { volumes }));
  },
});
