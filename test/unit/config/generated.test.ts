import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { kindListing } from '../../../scripts/gen.ts';
import { schemaText } from '../../../scripts/schema.ts';
import { serviceShape } from '../../../src/kinds/service.ts';
import { briefly } from './read.ts';

const root = new URL('../../../', import.meta.url);
const read = (file: string): Promise<string> => readFile(new URL(file, root), 'utf8');

test('the listing of the kinds is fresh: if not, npm run gen', async () => {
  expect(await read('src/kinds/index.gen.ts')).toBe(await kindListing());
});

test('cu.schema.json is fresh: if not, npx tsx scripts/schema.ts', async () => {
  const text = await read('cu.schema.json');

  expect(text).toBe(schemaText());
  expect(Object.keys(JSON.parse(text) as object)[0]).toBe('$schema');
});

test.each(['cu.config.yaml', 'templates/app/cu.config.yaml'])('%s is valid', async (file) => {
  expect(briefly(await read(file))).toEqual([]);
});

test('the example at the root shows every key of a service', async () => {
  const text = await read('cu.config.yaml');

  expect(Object.keys(serviceShape).filter((key) => !text.includes(` ${key}:`))).toEqual([]);
});
