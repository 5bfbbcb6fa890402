import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { CuError } from '../core/error.ts';

/** What a Dockerfile calls the Python runtime that belongs to this cu. */
export const RUNTIME = 'cu-runtime';

/** The same bytes, modes and times wherever cu is installed; paths are those of the build context. */
export type RuntimeEntry =
  | { readonly type: 'directory'; readonly path: string; readonly mode: number }
  | { readonly type: 'file'; readonly path: string; readonly mode: number; readonly content: Uint8Array };

/** What is in no package either: tests and other files beside these two stay where they are. */
const PARTS = ['cu', 'pyproject.toml'];

/** Whether a Dockerfile wants the runtime in its context: it names it outside of comments. */
export function namesRuntime(dockerfile: string): boolean {
  return dockerfile.split('\n').some((line) => !/^\s*#/.test(line) && /(?<![\w.-])cu-runtime(?![\w.-])/.test(line));
}

/** All of it, in a fixed order; it is small enough to be held. */
export async function readRuntime(folder: string): Promise<readonly RuntimeEntry[]> {
  try {
    const entries = await Promise.all(PARTS.map((part) => read(folder, part)));
    return [{ type: 'directory', path: RUNTIME, mode: 0o755 }, ...entries.flat()];
  } catch (error) {
    throw new CuError('BUILD_FAILED', `cannot read the Python runtime that belongs to cu, at ${folder}`, {
      detail: error instanceof Error ? error.message : String(error),
      hint: 'install cu again, or put a folder cu-runtime of your own into the build context',
      cause: error,
    });
  }
}

async function read(folder: string, name: string): Promise<readonly RuntimeEntry[]> {
  const file = path.join(folder, name);
  const facts = await stat(file);
  const self = `${RUNTIME}/${name}`;
  if (!facts.isDirectory()) {
    // As in the digest of the context: of a mode only the execute bit says something about the file.
    const mode = (facts.mode & 0o100) === 0 ? 0o644 : 0o755;
    return [{ type: 'file', path: self, mode, content: await readFile(file) }];
  }
  const names = (await readdir(file)).filter((each) => !isLeftOut(each)).sort();
  const below = await Promise.all(names.map((each) => read(folder, `${name}/${each}`)));
  return [{ type: 'directory', path: self, mode: 0o755 }, ...below.flat()];
}

/** What running and checking the runtime where it lies leaves behind. */
function isLeftOut(name: string): boolean {
  return name === '__pycache__' || name.endsWith('.pyc') || name.startsWith('.');
}
