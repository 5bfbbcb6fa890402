import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { jsonSchema } from '../src/config/json-schema.ts';

const FILE = fileURLToPath(new URL('../cu.schema.json', import.meta.url));

/** The text of `cu.schema.json`. */
export function schemaText(): string {
  return `${JSON.stringify(jsonSchema(), null, 1)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const present = await readFile(FILE, 'utf8').catch(() => '');
  // Untouched when it is right, so that nothing that watches it wakes up.
  if (schemaText() !== present) await writeFile(FILE, schemaText());
}
