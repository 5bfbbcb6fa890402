import { defineCommand } from '../command.ts';

export const init = defineCommand({
  name: 'init',
  summary: 'write a config and an example app',
  args: [{ name: '[dir]', summary: 'where to (default: here)' }],
  flags: {},
  async run(context, [directory = '.']) {
    const { init: initProject } = await import('../../app/init.ts');
    const { written, kept, directory: at } = await initProject(context, { directory });
    const lines = [
      ...written.map((file) => `wrote ${file}`),
      ...kept.map((file) => `kept ${file}, which was there`),
      '',
      `next: ${directory === '.' ? '' : `cd ${at} && `}cu deploy`,
    ];
    return { text: lines.join('\n'), json: { directory: at, written, kept } };
  },
});
