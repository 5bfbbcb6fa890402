import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
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
const SECRETS = '.cu/secrets.env';

/** Writes the example application; a file that is there already is kept as it is. */
export async function init(context: Context, options: { readonly directory: string }): Promise<InitResult> {
  const directory = resolve(context.cwd, options.directory);
  const template = join(context.packageRoot, 'templates', 'app');
  const written: string[] = [];
  const kept: string[] = [];
  const copies = (await filesIn(template)).map((file) => ({
    name: join(...file.split('/').map((part) => RENAMED[part] ?? part)),
    write: (target: string) => copyFile(join(template, file), target, constants.COPYFILE_EXCL),
  }));
  for (const { name, write } of [...copies, { name: SECRETS, write: writeToken }]) {
    const target = join(directory, name);
    await mkdir(join(target, '..'), { recursive: true }).catch((error: unknown) => {
      throw new CuError('USAGE', `cannot write to ${directory}`, { hint: 'choose another folder', cause: error });
    });
    try {
      await write(target);
      written.push(name);
    } catch (error) {
      if (!isExisting(error))
        throw new CuError('USAGE', `cannot write ${target}`, { hint: 'choose another folder', cause: error });
      kept.push(name);
    }
  }
  return { directory: relative(context.cwd, directory) || '.', written, kept };
}

/** The token without which nobody may call the web API; git and the image leave its file out. */
function writeToken(target: string): Promise<void> {
  return writeFile(target, `API_TOKEN=${randomBytes(24).toString('hex')}\n`, { flag: 'wx', mode: 0o600 });
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
