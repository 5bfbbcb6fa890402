import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { errorsPage } from '../../../scripts/errors.ts';

test('docs/errors.md is what `npm run gen` writes', async () => {
  const present = await readFile(new URL('../../../docs/errors.md', import.meta.url), 'utf8');

  expect(present).toBe(errorsPage());
});
