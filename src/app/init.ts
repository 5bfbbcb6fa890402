import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { CuError } from '../core/error.ts';
import type { Context } from './context.ts';

export interface InitResult {
  readonly directory: string;
  readonly written: readonly string[];
  readonly kept: readonly string[];
}

/** npm leaves `.gitignore` out of packages, so the template carries it under another name. */
const RENAMED: Readonly<Record<string, string>> = { gitignore: '.gitignore', dockerignore: '.dockerignore' };
const LEFT_OUT = new Set(['__pycache__', '.pytest_cache', '.venv']);

/** Writes the example application; a file that is there already is kept as it is. */
export async function init(context: Context, options: { readonly directory: string }): Promise<InitResult> {
  const directory = resolve(context.cwd, options.directory);
  const template = join(context.packageRoot, 'templates', 'app');
  const written: string[] = [];
  const kept: string[] = [];
  for (const file of await filesIn(template)) {
    const target = join(directory, ...file.split('/').map((part) => RENAMED[part] ?? part));
    await mkdir(join(target, '..'), { recursive: true }).catch((error: unknown) => {
      throw new CuError('USAGE', `cannot write to ${directory}`, { hint: 'choose another folder', cause: error });
    });
    const name = relative(directory, target);
    try {
      await copyFile(join(template, file), target, constants.COPYFILE_EXCL);
      written.push(name);
    } catch (error) {
      if (!isExisting(error))
        throw new CuError('USAGE', `cannot write ${target}`, { hint: 'choose another folder', cause: error });
      kept.push(name);
    }
  }
  return { directory: relative(context.cwd, directory) || '.', written, kept };
}

async function filesIn(folder: string, prefix = ''): Promise<readonly string[]> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true });
  const nested = await Promise.all(
    entries
      .filter((entry) => !LEFT_OUT.has(entry.name) && !entry.name.endsWith('.pyc'))
      .map((entry) => (entry.isDirectory() ? filesIn(folder, `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`])),
  );
  return nested.flat().toSorted();
}

function isExisting(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'EEXIST';
}
