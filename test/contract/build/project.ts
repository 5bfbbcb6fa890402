import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { extract, type Header } from 'tar-stream';
import { asObject, asText } from '../../../src/ship/engine-stream.ts';
import type { BuildSource } from '../../../src/core/state.ts';
import type { Host } from '../../../src/transport/host.ts';

/** A folder to build from, gone when disposed of. */
export interface Project extends AsyncDisposable {
  readonly root: string;
  write(name: string, content: string | Buffer, mode?: number): Promise<void>;
  link(name: string, target: string): Promise<void>;
  /** busybox, for images that are made from nothing. */
  addShell(): Promise<void>;
  source(more?: Partial<BuildSource>): BuildSource;
}

export async function makeProject(files: Readonly<Record<string, string>> = {}): Promise<Project> {
  const root = await mkdtemp(path.join(tmpdir(), 'cu-context-'));
  const project: Project = {
    root,
    async write(name, content, mode = 0o644) {
      await mkdir(path.dirname(path.join(root, name)), { recursive: true });
      await writeFile(path.join(root, name), content);
      await chmod(path.join(root, name), mode);
    },
    link: (name, target) => symlink(target, path.join(root, name)),
    addShell: () => copyFile('/bin/busybox', path.join(root, 'busybox')),
    source: (more = {}) => ({
      type: 'build',
      name: 'app',
      repository: 'cu-test-build',
      registry: undefined,
      context: root,
      dockerfile: 'Dockerfile',
      target: undefined,
      args: {},
      secrets: [],
      platform: undefined,
      on: 'local',
      keep: 3,
      ...more,
    }),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
  for (const [name, content] of Object.entries(files)) await project.write(name, content);
  return project;
}

/** A stand-in for the Python runtime of cu, with what must not travel. */
export function makeRuntime(): Promise<Project> {
  return makeProject({
    'pyproject.toml': '[project]\nname = "cu-runtime"\n',
    'cu/__init__.py': 'VERSION = 1\n',
    'cu/docs/index.html': '<!doctype html>\n',
    'cu/__pycache__/__init__.cpython-313.pyc': '',
    'cu/.mypy_cache/x.json': '',
    'tests/test_it.py': '',
    'README.md': '',
  });
}

/** Paths below `folder` in an image, directories with a slash at the end. */
export async function pathsInImage(host: Host, imageId: string, folder: string): Promise<readonly string[]> {
  return (await entriesInImage(host, imageId, folder)).map((entry) => entry.name).sort();
}

/** What lies below `folder` in an image, with names relative to it. */
export async function entriesInImage(host: Host, imageId: string, folder: string): Promise<readonly Header[]> {
  const docker = host.docker();
  const created = asObject(
    await docker.json({ method: 'POST', path: '/containers/create', body: { Image: imageId, Cmd: ['none'] } }),
  );
  const id = asText(created?.['Id']) ?? '';
  try {
    const { body } = await docker.stream({ method: 'GET', path: `/containers/${id}/archive`, query: { path: folder } });
    const archive = extract();
    body.pipe(archive);
    const headers = [];
    for await (const entry of archive) {
      headers.push({ ...entry.header, name: entry.header.name.replace(/^[^/]*\//, '') });
      entry.resume();
    }
    return headers.filter(({ name }) => name !== '');
  } finally {
    await docker.json({ method: 'DELETE', path: `/containers/${id}`, query: { force: true } });
  }
}
