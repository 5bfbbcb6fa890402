import type { Readable } from 'node:stream';
import { pack, extract } from 'tar-stream';
import type { Docker } from './docker.ts';

export interface ArchiveFile {
  readonly path: string;
  readonly mode: number;
  readonly content: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** A tar of a few small files, for `PUT /containers/ID/archive`. */
export async function makeArchive(files: readonly ArchiveFile[]): Promise<Uint8Array> {
  const packed = pack();
  const mtime = new Date(0);
  // The engine would make missing folders with mode 0600, which only root could enter.
  for (const folder of foldersOf(files)) packed.entry({ name: `${folder}/`, type: 'directory', mode: 0o755, mtime });
  for (const { path, mode, content, uid = 0, gid = 0 } of files) {
    packed.entry({ name: path.replace(/^\//, ''), mode, uid, gid, mtime }, content);
  }
  packed.finalize();
  return collect(packed);
}

/** Puts a few small files below a folder of a container; false when there is no such container or folder. */
export async function putFiles(
  docker: Docker,
  to: { readonly container: string; readonly folder: string },
  { files, signal }: { readonly files: readonly ArchiveFile[]; readonly signal: AbortSignal },
): Promise<boolean> {
  const { statusCode, body } = await docker.stream({
    method: 'PUT',
    path: `/containers/${to.container}/archive`,
    query: { path: to.folder },
    body: await makeArchive(files),
    signal,
    allow: [404],
  });
  await collect(body);
  return statusCode !== 404;
}

/** A tar of one folder and nothing in or above it. */
export async function makeFolderArchive(folder: Omit<ArchiveFile, 'content'>): Promise<Uint8Array> {
  const packed = pack();
  const { path, ...rest } = folder;
  packed.entry({ ...rest, name: `${path.replace(/^\//, '')}/`, type: 'directory', mtime: new Date(0) });
  packed.finalize();
  return collect(packed);
}

export interface FolderFacts {
  readonly uid: number;
  readonly mode: number;
  readonly isEmpty: boolean;
}

/** What the beginning of a tar of one folder says of it; of the rest, which may be big, nothing is read. */
export async function readFolderFacts(body: Readable): Promise<FolderFacts | undefined> {
  const entries = extract();
  body.on('error', (error) => entries.destroy(error));
  body.pipe(entries);
  let facts: FolderFacts | undefined;
  try {
    for await (const { header } of entries) {
      if (facts !== undefined) return { ...facts, isEmpty: false };
      if (header.type !== 'directory') return undefined;
      facts = { uid: header.uid ?? 0, mode: (header.mode ?? 0o755) & 0o7777, isEmpty: true };
    }
    return facts;
  } finally {
    body.destroy();
  }
}

/** The regular files of a small tar, by path, as text. */
export async function readArchive(body: Readable): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  const entries = extract();
  body.on('error', (error) => entries.destroy(error));
  body.pipe(entries);
  for await (const entry of entries) {
    const content = await collect(entry);
    if (entry.header.type === 'file') files.set(entry.header.name, content.toString('utf8'));
  }
  return files;
}

/** Every folder above the files, outermost first. */
function foldersOf(files: readonly ArchiveFile[]): readonly string[] {
  const folders = files.flatMap(({ path }) => {
    const parts = path.replace(/^\//, '').split('/').slice(0, -1);
    return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
  });
  return [...new Set(folders)].toSorted();
}

async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks);
}
