import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const KINDS = fileURLToPath(new URL('../src/kinds', import.meta.url));
const LISTING = path.join(KINDS, 'index.gen.ts');

/** The text of `src/kinds/index.gen.ts`: every file of the folder that defines a kind. */
export async function kindListing(): Promise<string> {
  const files = (await readdir(KINDS)).filter((file) => file.endsWith('.ts') && !file.endsWith('.gen.ts')).sort();
  const kinds: { readonly name: string; readonly file: string }[] = [];
  for (const file of files) {
    const name = /^export const (\w+) = defineKind\(/m.exec(await readFile(path.join(KINDS, file), 'utf8'))?.[1];
    if (name !== undefined) kinds.push({ name, file });
  }
  return [
    '// Written by scripts/gen.ts from the files of this folder: do not edit.',
    ...kinds.map(({ name, file }) => `import { ${name} } from './${file}';`),
    '',
    `export const kinds = [${kinds.map(({ name }) => name).join(', ')}] as const;`,
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fresh = await kindListing();
  const present = await readFile(LISTING, 'utf8').catch(() => '');
  // Untouched when it is right, so that nothing that watches the folder wakes up.
  if (fresh !== present) await writeFile(LISTING, fresh);
}
