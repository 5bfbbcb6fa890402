import { defineCommand } from '../command.ts';

export const schema = defineCommand({
  name: 'schema',
  summary: 'print the JSON Schema of the config',
  args: [],
  flags: {},
  async run() {
    const { schema: configSchema } = await import('../../app/schema.ts');
    const json = configSchema();
    return { text: JSON.stringify(json, null, 2), json: { schema: json } };
  },
});
