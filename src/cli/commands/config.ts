import { defineCommand } from '../command.ts';

export const config = defineCommand({
  name: 'config',
  summary: 'print the resolved config, secrets hidden',
  args: [],
  flags: {},
  async run(context) {
    const { showConfig } = await import('../../app/show-config.ts');
    const { environment, config: resolved, text } = await showConfig(context);
    return { text, json: { environment, config: resolved } };
  },
});
