import { defineCommand } from '../command.ts';

export const test = defineCommand({
  name: 'test',
  summary: "run the project's own tests in its image",
  args: [
    { name: '[command...]', summary: 'after --; what begins with - is for pytest (default: python -m pytest -q)' },
  ],
  flags: {
    image: { type: 'text', value: 'NAME', summary: 'which image, where several are built' },
  },
  async run(context, command, { image }) {
    const { test: runTests } = await import('../../app/test.ts');
    const { exitCode, ...tested } = await runTests(context, command, { image });
    return { exitCode, json: tested };
  },
});
