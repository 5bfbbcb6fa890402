import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { bundle } from '../../../scripts/bundle.ts';
import { COMMANDS } from '../../../src/cli/commands.ts';

test('the commands of the table are those that users are promised', () => {
  expect(COMMANDS.map(({ name }) => name).join(' ')).toBe(
    'init validate config schema build push plan deploy rollback promote status start stop restart logs exec shell test call history lock unlock purge remove completion',
  );
});

test.each(COMMANDS)('$name says the same in the table and in its module', async ({ name, summary, load }) => {
  const command = await load();

  expect({ name: command.name, summary: command.summary }).toEqual({ name, summary });
  expect(summary.length).toBeLessThan(60);
  for (const flag of Object.values(command.flags)) expect(flag.summary.length).toBeLessThan(60);
});

test('what main imports statically reaches commander and no other package', async () => {
  const { metafile } = await bundle({ root: fileURLToPath(new URL('../../..', import.meta.url)), write: false });
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = (output: string): void => {
    if (seen.has(output)) return;
    seen.add(output);
    for (const { path, kind, external } of metafile.outputs[output]?.imports ?? []) {
      if (kind !== 'import-statement') continue;
      if (external !== true) visit(path);
      else if (!path.startsWith('node:')) packages.add(path);
    }
  };

  visit('dist/main.js');

  expect([...packages]).toEqual(['commander']);
});
