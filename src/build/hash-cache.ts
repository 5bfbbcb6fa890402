import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { FileEntry } from './context.ts';

/** What the files of one context hashed to, by what the file system says of them. */
export interface HashCache {
  find(file: FileEntry): string | undefined;
  remember(file: FileEntry, digest: string, readMs: number): void;
  save(): Promise<void>;
}

/** size, modified, changed, inode, digest */
type Row = readonly [number, number, number, number, string];

// As git's racy-clean rule: a file that changed this shortly before it was read may change again unseen,
// within one tick of the file system's clock.
const RACY_MS = 2000;

export async function openHashCache(cacheDir: string | undefined, root: string): Promise<HashCache> {
  const file = cacheDir === undefined ? undefined : path.join(cacheDir, 'inputs', `${nameOf(root)}.json`);
  const rows = file === undefined ? new Map<string, Row>() : await readRows(file);
  const kept = new Map<string, Row>();
  let isChanged = false;

  return {
    find(entry) {
      const row = rows.get(entry.path);
      if (row === undefined || !isSame(row, entry)) return undefined;
      kept.set(entry.path, row);
      return row[4];
    },
    remember(entry, digest, readMs) {
      if (Math.max(entry.modifiedMs, entry.changedMs) > readMs - RACY_MS) return;
      kept.set(entry.path, [entry.size, entry.modifiedMs, entry.changedMs, entry.inode, digest]);
      isChanged = true;
    },
    async save() {
      if (file === undefined || (!isChanged && kept.size === rows.size)) return;
      await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
      const temporary = `${file}.${randomUUID()}`;
      await writeFile(temporary, JSON.stringify(Object.fromEntries(kept)), { mode: 0o600 });
      await rename(temporary, file).catch((error: unknown) =>
        rm(temporary, { force: true }).then(() => Promise.reject(error)),
      );
    },
  };
}

function nameOf(root: string): string {
  return createHash('sha256').update(root).digest('hex').slice(0, 32);
}

function isSame([size, modifiedMs, changedMs, inode]: Row, entry: FileEntry): boolean {
  return (
    size === entry.size && modifiedMs === entry.modifiedMs && changedMs === entry.changedMs && inode === entry.inode
  );
}

/** A cache that cannot be read is an empty one. */
async function readRows(file: string): Promise<ReadonlyMap<string, Row>> {
  try {
    const parsed: unknown = JSON.parse(await readFile(file, 'utf8'));
    const rows = Object.entries(parsed ?? {}).flatMap(([name, row]) => (isRow(row) ? [[name, row] as const] : []));
    return new Map(rows);
  } catch {
    return new Map();
  }
}

function isRow(value: unknown): value is Row {
  return (
    Array.isArray(value) &&
    value.length === 5 &&
    value.slice(0, 4).every(Number.isFinite) &&
    typeof value[4] === 'string'
  );
}
