import { defineCommand } from '../command.ts';

export const validate = defineCommand({
  name: 'validate',
  summary: 'check the config, every environment',
  args: [],
  flags: {},
  async run(context) {
    const { validate: validateConfig } = await import('../../app/validate.ts');
    const { file, environments } = await validateConfig(context);
    return { text: `${file} is valid: ${environments.join(', ')}`, json: { file, environments } };
  },
});
