import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const { metafile } = await bundle({ root, write: true });
await removeOthers(Object.keys(metafile.outputs));
const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
console.log(`built dist: ${Object.keys(metafile.outputs).length} files, ${Math.round(bytes / 1024)} kB`);

/** Chunks of an earlier build; `dist` is never absent meanwhile, so that a cu that runs now is not cut off. */
async function removeOthers(written: readonly string[]): Promise<void> {
  for (const entry of await readdir(path.join(root, 'dist'), { recursive: true, withFileTypes: true })) {
    const file = path.relative(root, path.join(entry.parentPath, entry.name));
    if (entry.isFile() && !written.includes(file)) await rm(path.join(root, file));
  }
}
