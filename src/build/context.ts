import { createReadStream, type Stats } from 'node:fs';
import { lstat, readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';
import { CuError } from '../core/error.ts';
import type { BuildSource } from '../core/state.ts';
import { NOTHING_IGNORED, parseIgnore, type IgnoreMatcher } from './ignore.ts';
import { namesRuntime, RUNTIME, type RuntimeEntry } from './runtime.ts';

interface EntryFacts {
  /** Relative to the context, with `/`. */
  readonly path: string;
  readonly mode: number;
  readonly modifiedMs: number;
}

export interface FileEntry extends EntryFacts {
  readonly type: 'file';
  readonly size: number;
  readonly changedMs: number;
  readonly inode: number;
}

export type ContextEntry =
  | FileEntry
  | (EntryFacts & { readonly type: 'directory' })
  | (EntryFacts & { readonly type: 'symlink'; readonly target: string });

/** What a build sees, in a fixed order, and the Dockerfile, which it may not see. */
export interface BuildContext {
  readonly root: string;
  readonly entries: readonly ContextEntry[];
  /** As Docker names it: relative to the context, with `/`. */
  readonly dockerfile: string;
  readonly dockerfileText: string;
  /** Sent so that the classic builder may read them, and then hide them from COPY. */
  readonly hidden: readonly { readonly path: string; readonly content: string }[];
  /** Put in beside the entries when the Dockerfile names it; no rule of `.dockerignore` is about it. */
  readonly runtime: readonly RuntimeEntry[];
}

export interface ContextOptions {
  /** The Python runtime that belongs to this cu; asked for only when the Dockerfile names it. */
  readonly readRuntime: () => Promise<readonly RuntimeEntry[]>;
  readonly signal?: AbortSignal | undefined;
}

export async function readContext(source: BuildSource, { readRuntime, signal }: ContextOptions): Promise<BuildContext> {
  const root = source.context;
  const dockerfile = path.posix.normalize(source.dockerfile.split(path.sep).join('/'));
  await requireContext(root, source.name);
  if (dockerfile.startsWith('../') || path.isAbsolute(source.dockerfile)) {
    throw new CuError(
      'BUILD_FAILED',
      `dockerfile ${source.dockerfile} of image ${source.name} lies outside its context`,
      {
        hint: `move it below ${root}, or set images.${source.name}.build.context to a folder that holds it`,
      },
    );
  }
  const dockerfileText = await readOptional(path.join(root, dockerfile));
  if (dockerfileText === undefined) {
    throw new CuError('BUILD_FAILED', `no ${dockerfile} in ${root}, which image ${source.name} is built from`, {
      hint: `create it, or set images.${source.name}.build.dockerfile`,
    });
  }
  const { ignoreFile, ignoreText } = await readIgnoreFile(root, dockerfile);
  const ignore = ignoreText === undefined ? NOTHING_IGNORED : parseIgnore(ignoreText, ignoreFile);
  const entries = await walk({ root, ignore, signal });
  const isIgnoreFileSent = entries.some((entry) => entry.path === '.dockerignore');
  const hidden = hiddenFiles({ ignore, ignoreText, ignoreFile, dockerfile, dockerfileText, isIgnoreFileSent });
  // A folder of that name among the user's own files is what the Dockerfile means.
  const isOwn = entries.some((entry) => entry.path === RUNTIME);
  const runtime = !isOwn && namesRuntime(dockerfileText) ? await readRuntime() : [];
  return { root, entries, dockerfile, dockerfileText, hidden, runtime };
}

/** The context as a tar, made while it is read; owner and group are root's, as Docker has it. */
export function packContext(context: BuildContext): Readable {
  const tar = pack();
  fill(tar, context).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return Readable.from(tar, { objectMode: false, highWaterMark: 1 << 18 });
}

type TarHeader = Parameters<Pack['entry']>[0];

async function fill(tar: Pack, context: BuildContext): Promise<void> {
  for (const { path: name, content } of context.hidden) await addContent(tar, { name, mode: 0o644 }, content);
  for (const entry of context.entries) {
    const header = { name: entry.path, mode: entry.mode, mtime: new Date(entry.modifiedMs), uid: 0, gid: 0 };
    if (entry.type === 'file') await addFile(tar, { ...header, size: entry.size }, path.join(context.root, entry.path));
    else if (entry.type === 'directory') await addEmpty(tar, { ...header, type: 'directory' });
    else await addEmpty(tar, { ...header, type: 'symlink', linkname: entry.target });
  }
  for (const entry of context.runtime) {
    if (entry.type === 'file') await addContent(tar, { name: entry.path, mode: entry.mode }, entry.content);
    else await addEmpty(tar, { ...FIXED, name: entry.path, mode: entry.mode, type: 'directory' });
  }
}

async function addFile(tar: Pack, header: TarHeader & { readonly size: number }, file: string): Promise<void> {
  const sink = tar.entry(header);
  // Without `end`, a file that grew since it was measured would break the archive.
  const source =
    header.size === 0 ? Readable.from([]) : createReadStream(file, { end: header.size - 1, highWaterMark: 1 << 18 });
  try {
    await pipeline(source, sink);
  } catch (error) {
    throw unreadable(file, error);
  }
}

function addEmpty(tar: Pack, header: TarHeader): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry(header, (error) => (error ? reject(error) : resolve()));
  });
}

const FIXED = { mtime: new Date(0), uid: 0, gid: 0 } as const;

function addContent(tar: Pack, header: TarHeader, content: string | Uint8Array): Promise<void> {
  const bytes = Buffer.from(content);
  return new Promise((resolve, reject) => {
    tar.entry({ ...header, ...FIXED }, bytes, (error) => (error ? reject(error) : resolve()));
  });
}

interface Walk {
  readonly root: string;
  readonly ignore: IgnoreMatcher;
  readonly signal: AbortSignal | undefined;
}

async function walk(options: Walk): Promise<readonly ContextEntry[]> {
  const entries: ContextEntry[] = [];
  await walkDirectory(options, '', entries);
  return entries;
}

/** Depth first in the order of names, so that the same tree always gives the same list. */
async function walkDirectory(options: Walk, directory: string, entries: ContextEntry[]): Promise<void> {
  options.signal?.throwIfAborted();
  const absolute = path.join(options.root, directory);
  const names = await readdir(absolute).catch((error: unknown) => {
    throw unreadable(absolute, error);
  });
  const kept = names
    .sort()
    .map((name) => (directory === '' ? name : `${directory}/${name}`))
    .map((relative) => ({ relative, isIgnored: options.ignore.isIgnored(relative) }))
    .filter(({ relative, isIgnored }) => !isIgnored || options.ignore.mayHoldExceptions(relative));
  const facts = await Promise.all(kept.map(({ relative }) => inspect(path.join(options.root, relative))));
  for (const [index, { relative, isIgnored }] of kept.entries()) {
    const file = path.join(options.root, relative);
    const found = facts[index];
    if (found === undefined) continue;
    if (!found.isDirectory()) {
      if (!isIgnored) entries.push(...(await leaf(file, relative, found)));
      continue;
    }
    const before = entries.length;
    const self = { type: 'directory', ...factsOf(relative, found) } as const;
    entries.push(self);
    await walkDirectory(options, relative, entries);
    // An ignored directory is there only for the sake of what was taken back below it.
    if (isIgnored && entries.length === before + 1) entries.pop();
  }
}

/** undefined when it went away since its directory was read. */
async function inspect(file: string): Promise<Stats | undefined> {
  try {
    return await lstat(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw unreadable(file, error);
  }
}

async function leaf(file: string, relative: string, facts: Stats): Promise<readonly ContextEntry[]> {
  const common = factsOf(relative, facts);
  if (facts.isSymbolicLink()) return [{ type: 'symlink', ...common, target: await readlink(file) }];
  // Sockets, pipes and devices mean nothing in an image.
  if (!facts.isFile()) return [];
  return [{ type: 'file', ...common, size: facts.size, changedMs: facts.ctimeMs, inode: facts.ino }];
}

function factsOf(relative: string, facts: Stats): EntryFacts {
  return { path: relative, mode: facts.mode & 0o7777, modifiedMs: facts.mtimeMs };
}

/** `NAME.dockerignore` beside the Dockerfile goes before the context's own. */
async function readIgnoreFile(
  root: string,
  dockerfile: string,
): Promise<{ ignoreFile: string; ignoreText: string | undefined }> {
  const own = `${dockerfile}.dockerignore`;
  const ownText = await readOptional(path.join(root, own));
  if (ownText !== undefined) return { ignoreFile: own, ignoreText: ownText };
  return { ignoreFile: '.dockerignore', ignoreText: await readOptional(path.join(root, '.dockerignore')) };
}

/** The classic builder hides its Dockerfile and `.dockerignore` from COPY when the latter, which it reads from the tar, says so. */
function hiddenFiles(options: {
  readonly ignore: IgnoreMatcher;
  readonly ignoreText: string | undefined;
  readonly ignoreFile: string;
  readonly dockerfile: string;
  readonly dockerfileText: string;
  readonly isIgnoreFileSent: boolean;
}): BuildContext['hidden'] {
  const isDockerfileHidden = options.ignore.isIgnored(options.dockerfile);
  const hidden = isDockerfileHidden ? [{ path: options.dockerfile, content: options.dockerfileText }] : [];
  if (options.ignoreText === undefined) return hidden;
  const isOwn = options.ignoreFile !== '.dockerignore';
  if (isOwn ? !isDockerfileHidden || options.isIgnoreFileSent : !options.ignore.isIgnored('.dockerignore'))
    return hidden;
  const content = isOwn ? `.dockerignore\n${options.dockerfile}\n` : options.ignoreText;
  return [...hidden, { path: '.dockerignore', content }];
}

async function requireContext(root: string, image: string): Promise<void> {
  const facts = await stat(root).catch(() => undefined);
  if (facts?.isDirectory() === true) return;
  const what = facts === undefined ? 'does not exist' : 'is not a directory';
  throw new CuError('BUILD_FAILED', `the build context ${root} of image ${image} ${what}`, {
    hint: `set images.${image}.build.context to the folder that holds the Dockerfile`,
  });
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw unreadable(file, error);
  }
}

export function unreadable(file: string, cause: unknown): CuError {
  if (cause instanceof CuError) return cause;
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new CuError('BUILD_FAILED', `cannot read ${file} of the build context`, {
    detail,
    hint: 'make it readable, or leave it out with .dockerignore',
    cause,
  });
}
