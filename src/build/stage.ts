import { chmod, constants, copyFile, lutimes, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { unreadable, type BuildContext, type ContextEntry } from './context.ts';
import type { RuntimeEntry } from './runtime.ts';

/** A context in a folder of its own; disposing makes it removable again, whatever the modes of its folders. */
export interface StagedContext extends AsyncDisposable {
  readonly root: string;
  readonly dockerfile: string;
}

/**
 * A client of BuildKit takes its context from one folder. So where files join it that are not the user's, what
 * `.dockerignore` leaves is copied (shared blocks where the file system can), with modes and times as they are.
 */
export async function stageContext(
  context: BuildContext,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal | undefined },
): Promise<StagedContext> {
  const root = path.join(folder, 'context');
  await mkdir(root);
  for (const entry of context.entries) {
    signal?.throwIfAborted();
    await stageEntry(context, root, entry);
  }
  for (const entry of context.runtime) await stageRuntime(root, entry);
  const fixed = context.runtime.map((entry) => ({ ...entry, modifiedMs: 0 }));
  const directories = [...context.entries, ...fixed].filter((entry) => entry.type === 'directory');
  // The innermost first, once all are filled: writing into a folder changes its time, and its mode may forbid it.
  for (const entry of directories.toReversed()) {
    const seconds = entry.modifiedMs / 1000;
    await utimes(path.join(root, entry.path), seconds, seconds);
    await chmod(path.join(root, entry.path), entry.mode);
  }
  return {
    root,
    dockerfile: await stageDockerfile(context, folder),
    [Symbol.asyncDispose]: async () => {
      for (const entry of directories) await chmod(path.join(root, entry.path), 0o700);
    },
  };
}

async function stageEntry(context: BuildContext, root: string, entry: ContextEntry): Promise<void> {
  const source = path.join(context.root, entry.path);
  const target = path.join(root, entry.path);
  const seconds = entry.modifiedMs / 1000;
  try {
    if (entry.type === 'directory') return await mkdir(target);
    if (entry.type === 'symlink') {
      await symlink(entry.target, target);
      return await lutimes(target, seconds, seconds);
    }
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    await chmod(target, entry.mode);
    await utimes(target, seconds, seconds);
  } catch (error) {
    throw unreadable(source, error);
  }
}

async function stageRuntime(root: string, entry: RuntimeEntry): Promise<void> {
  const target = path.join(root, entry.path);
  if (entry.type === 'directory') return await mkdir(target);
  await writeFile(target, entry.content);
  await chmod(target, entry.mode);
  await utimes(target, 0, 0);
}

/** Beside it a file of rules that goes before any other and leaves nothing out: that has been done. */
async function stageDockerfile(context: BuildContext, folder: string): Promise<string> {
  const file = path.join(folder, 'dockerfile', path.posix.basename(context.dockerfile));
  await mkdir(path.dirname(file));
  await writeFile(file, context.dockerfileText);
  await writeFile(`${file}.dockerignore`, '# what is left out was left out by cu\n');
  return file;
}
