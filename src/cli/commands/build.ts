import { outcomeResult } from '../outcome-result.ts';
import { defineCommand } from '../command.ts';

export const build = defineCommand({
  name: 'build',
  summary: 'build the images',
  args: [],
  flags: {
    rebuild: { type: 'boolean', summary: 'build even what has not changed' },
    pull: { type: 'boolean', summary: 'fetch newer base images' },
  },
  async run(context, _args, { rebuild, pull }) {
    const { build: buildImages } = await import('../../app/build.ts');
    return outcomeResult(await buildImages(context, { rebuild, pull }));
  },
});
