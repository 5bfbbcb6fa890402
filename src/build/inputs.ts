import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat } from 'node:fs/promises';
import path from 'node:path';
import pLimit from 'p-limit';
import type { BuildSource } from '../core/state.ts';
import { readContext, unreadable, type BuildContext, type ContextOptions, type FileEntry } from './context.ts';
import { openHashCache, type HashCache } from './hash-cache.ts';

export interface InputOptions extends ContextOptions {
  /** Where hashes are kept between runs; undefined: every file is read. */
  readonly cacheDir: string | undefined;
  readonly now: () => number;
}

/** The identity of an image: `digest` changes exactly when what goes into its build changes. */
export interface BuildInputs {
  /** 64 hex digits. */
  readonly digest: string;
  readonly context: BuildContext;
  readonly contextBytes: number;
  /** Bytes that had to be read because the cache did not know them. */
  readonly hashedBytes: number;
}

const READS_AT_ONCE = 8;

export async function inputDigest(source: BuildSource, options: InputOptions): Promise<BuildInputs> {
  const context = await readContext(source, options);
  const cache = await openHashCache(options.cacheDir, context.root);
  const files = context.entries.filter((entry) => entry.type === 'file');
  const limit = pLimit(READS_AT_ONCE);
  const state = { hashedBytes: 0 };
  const hashes = await Promise.all(files.map((file) => limit(() => hashOf({ file, context, cache, options, state }))));
  await cache.save();
  const hashByPath = new Map(files.map((file, index) => [file.path, hashes[index] ?? '']));
  return {
    digest: combine(source, context, hashByPath),
    context,
    contextBytes: files.reduce((sum, file) => sum + file.size, 0),
    hashedBytes: state.hashedBytes,
  };
}

interface HashTask {
  readonly file: FileEntry;
  readonly context: BuildContext;
  readonly cache: HashCache;
  readonly options: InputOptions;
  readonly state: { hashedBytes: number };
}

async function hashOf({ file, context, cache, options, state }: HashTask): Promise<string> {
  const known = cache.find(file);
  if (known !== undefined) return known;
  options.signal?.throwIfAborted();
  const absolute = path.join(context.root, file.path);
  // The clock is read before the file, so that a write while it is read counts as racy.
  const startedMs = options.now();
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(absolute, { highWaterMark: 1 << 18 })) hash.update(chunk);
    const after = await lstat(absolute);
    const isStill = after.size === file.size && after.mtimeMs === file.modifiedMs && after.ctimeMs === file.changedMs;
    const digest = hash.digest('hex');
    state.hashedBytes += file.size;
    if (isStill) cache.remember(file, digest, startedMs);
    return digest;
  } catch (error) {
    throw unreadable(absolute, error);
  }
}

/** Length-prefixed by JSON, so that no two different sets of inputs read the same. */
function combine(source: BuildSource, context: BuildContext, hashByPath: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  const args = Object.entries(source.args).filter(([, value]) => value !== null);
  const add = (...parts: readonly unknown[]): void => {
    hash.update(`${JSON.stringify(parts)}\n`);
  };
  add('cu-inputs', 1);
  add('dockerfile', context.dockerfileText);
  add(
    'args',
    args.sort(([left], [right]) => (left < right ? -1 : 1)),
  );
  add('target', source.target ?? null, 'platform', source.platform ?? null);
  for (const entry of context.entries) {
    // Like git: of a mode only the execute bit counts, because the rest is the umask of whoever cloned.
    if (entry.type === 'file') add('file', entry.path, (entry.mode & 0o100) !== 0, hashByPath.get(entry.path));
    else if (entry.type === 'symlink') add('symlink', entry.path, entry.target);
    else add('directory', entry.path);
  }
  // As if it lay among the entries: it counts by what it holds, whichever cu it came with.
  for (const entry of context.runtime) {
    if (entry.type === 'directory') add('directory', entry.path);
    else add('file', entry.path, (entry.mode & 0o100) !== 0, createHash('sha256').update(entry.content).digest('hex'));
  }
  return hash.digest('hex');
}
