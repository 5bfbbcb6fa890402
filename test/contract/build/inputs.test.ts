import { chmod, mkdtemp, rm, utimes } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, test } from 'vitest';
import { inputDigest, type BuildInputs } from '../../../src/build/inputs.ts';
import { readRuntime } from '../../../src/build/runtime.ts';
import { readGitFacts, versionOf } from '../../../src/build/version.ts';
import type { BuildSource } from '../../../src/core/state.ts';
import { makeProject, makeRuntime, type Project } from './project.ts';

let project: Project;
let cacheDir: string;
let runtime: Project;

beforeEach(async () => {
  project = await makeProject({ Dockerfile: 'FROM scratch\nCOPY . /\n', 'a.txt': 'a', 'src/main.py': 'print()' });
  cacheDir = await mkdtemp(path.join(tmpdir(), 'cu-cache-'));
  runtime = await makeRuntime();
  return async () => {
    await project[Symbol.asyncDispose]();
    await runtime[Symbol.asyncDispose]();
    await rm(cacheDir, { recursive: true, force: true });
  };
});

function inputsOf(source: BuildSource = project.source(), now = Date.now): Promise<BuildInputs> {
  return inputDigest(source, { cacheDir, readRuntime: () => readRuntime(runtime.root), now });
}

async function digestOf(source?: BuildSource): Promise<string> {
  return (await inputsOf(source)).digest;
}

test('the same inputs in another place and at another time have the same digest', async () => {
  await using copy = await makeProject({
    'src/main.py': 'print()',
    'a.txt': 'a',
    Dockerfile: 'FROM scratch\nCOPY . /\n',
  });
  await utimes(path.join(copy.root, 'a.txt'), 1, 1);
  await chmod(path.join(copy.root, 'a.txt'), 0o664);

  expect(await digestOf(copy.source())).toBe(await digestOf());
});

test('contents, names, the execute bit, links, empty folders, Dockerfile, arguments, target and platform count', async () => {
  const digests = [await digestOf()];
  const remember = async (source?: BuildSource): Promise<void> => void digests.push(await digestOf(source));
  await project.write('a.txt', 'b');
  await remember();
  await project.write('a.txt', 'b', 0o755);
  await remember();
  await project.link('link', 'a.txt');
  await remember();
  await execa('mkdir', [path.join(project.root, 'empty')]);
  await remember();
  await project.write('Dockerfile', 'FROM scratch\nCOPY a.txt /\n');
  await remember();
  await remember(project.source({ args: { A: '1' } }));
  await remember(project.source({ args: { A: '2' } }));
  await remember(project.source({ target: 'runtime' }));
  await remember(project.source({ platform: 'linux/arm64' }));

  expect(new Set(digests).size).toBe(digests.length);
});

test('what .dockerignore leaves out and arguments from the environment do not count', async () => {
  await project.write('.dockerignore', 'notes\n.dockerignore\n');
  const before = await digestOf();

  await project.write('notes/today', 'x');

  expect(await digestOf(project.source({ args: { TOKEN: null } }))).toBe(before);
});

test('NAME.dockerignore goes before .dockerignore', async () => {
  await project.write('.dockerignore', 'src');
  await project.write('Dockerfile.dockerignore', 'a.txt');

  const { context } = await inputsOf();

  expect(context.entries.map((entry) => entry.path)).toEqual([
    '.dockerignore',
    'Dockerfile',
    'Dockerfile.dockerignore',
    'src',
    'src/main.py',
  ]);
});

test('a second look reads no file again, unless it changed', async () => {
  const later = (): number => Date.now() + 10_000;
  const first = await inputsOf(project.source(), later);
  const second = await inputsOf(project.source(), later);
  await project.write('a.txt', 'longer');
  const third = await inputsOf(project.source(), later);

  expect([first.hashedBytes, second.hashedBytes, third.hashedBytes]).toEqual([first.contextBytes, 0, 6]);
  expect(second.digest).toBe(first.digest);
  expect(third.digest).not.toBe(first.digest);
});

test('a file changed just before it was read is not trusted, even with its old size and time', async () => {
  const file = path.join(project.root, 'a.txt');
  const first = await inputsOf();
  await project.write('a.txt', 'z');
  await utimes(file, 1000, 1000);
  await project.write('a.txt', 'y');
  await utimes(file, 1000, 1000);

  const second = await inputsOf();

  expect(second.hashedBytes).toBe(second.contextBytes);
  expect(second.digest).not.toBe(first.digest);
});

test('a damaged cache is an empty one', async () => {
  const later = (): number => Date.now() + 10_000;
  const { digest } = await inputsOf(project.source(), later);
  await execa('sh', ['-c', 'for f in "$1"/inputs/*; do echo "{[" > "$f"; done', 'sh', cacheDir]);

  expect((await inputsOf()).digest).toBe(digest);
});

describe('the Python runtime', () => {
  const WITH_RUNTIME = 'FROM scratch\nCOPY cu-runtime /runtime\n';

  test('is part of the inputs once the Dockerfile names it, without what running and testing it left', async () => {
    await project.write('Dockerfile', 'FROM scratch\n# no cu-runtime, and no cu-runtime.txt:\nCOPY cu-runtime.txt /\n');
    const without = await inputsOf();
    await project.write('Dockerfile', WITH_RUNTIME);
    await project.write('.dockerignore', '*\n!a.txt\n');
    const { context } = await inputsOf();

    expect(without.context.runtime).toEqual([]);
    expect(context.entries.map((entry) => entry.path)).toEqual(['a.txt']);
    expect(context.runtime.map(({ path: name, mode }) => `${mode.toString(8)} ${name}`)).toEqual([
      '755 cu-runtime',
      '755 cu-runtime/cu',
      '644 cu-runtime/cu/__init__.py',
      '755 cu-runtime/cu/docs',
      '644 cu-runtime/cu/docs/index.html',
      '644 cu-runtime/pyproject.toml',
    ]);
  });

  test('counts by what it holds, not by where, when or with which umask cu was installed', async () => {
    await project.write('Dockerfile', WITH_RUNTIME);
    const before = await digestOf();
    await using other = await makeRuntime();
    await other.write('cu/__init__.py', 'VERSION = 1\n', 0o600);
    await utimes(path.join(other.root, 'pyproject.toml'), 1, 1);
    const elsewhere = await inputDigest(project.source(), {
      cacheDir,
      readRuntime: () => readRuntime(other.root),
      now: Date.now,
    });
    await runtime.write('tests/test_more.py', 'x');
    const tested = await digestOf();
    await runtime.write('cu/__init__.py', 'VERSION = 2\n');

    expect(elsewhere.digest).toBe(before);
    expect(tested).toBe(before);
    expect(await digestOf()).not.toBe(before);
  });

  test('gives way to a folder of that name in the context', async () => {
    await project.write('Dockerfile', WITH_RUNTIME);
    await project.write('cu-runtime/pyproject.toml', 'my own');

    const { context } = await inputsOf();

    expect(context.runtime).toEqual([]);
    expect(context.entries.map((entry) => entry.path)).toContain('cu-runtime/pyproject.toml');
  });

  test('does not make a commit dirty', async () => {
    await project.write('Dockerfile', WITH_RUNTIME);
    await git('init', '-q');
    await git('add', '-A');
    await git('commit', '-qm', 'one');

    expect(await version()).toBe('r1.d20261002.hHASH');
  });

  test('that is not there is said so', async () => {
    await project.write('Dockerfile', WITH_RUNTIME);

    const result = inputDigest(project.source(), {
      cacheDir,
      readRuntime: () => readRuntime('/nonexistent'),
      now: Date.now,
    });

    await expect(result).rejects.toMatchObject({
      code: 'BUILD_FAILED',
      message: 'cannot read the Python runtime that belongs to cu, at /nonexistent',
    });
  });
});

test('sockets and pipes are left out', async () => {
  const before = await digestOf();
  await execa('mkfifo', [path.join(project.root, 'pipe')]);
  const server = createServer().listen(path.join(project.root, 'socket'));

  const after = await digestOf();

  server.close();
  expect(after).toBe(before);
});

test.each([
  [{ context: '/nonexistent/folder' }, 'the build context /nonexistent/folder of image app does not exist'],
  [{ context: '/etc/passwd' }, 'the build context /etc/passwd of image app is not a directory'],
  [{ dockerfile: 'docker/Dockerfile' }, /^no docker\/Dockerfile in .*, which image app is built from$/],
  [{ dockerfile: '../Dockerfile' }, 'dockerfile ../Dockerfile of image app lies outside its context'],
])('%j is refused in clear words', async (more, message) => {
  await expect(digestOf(project.source(more))).rejects.toMatchObject({
    code: 'BUILD_FAILED',
    message: expect.stringMatching(message),
  });
});

async function git(...argv: readonly string[]): Promise<void> {
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.org', '-c', 'commit.gpgsign=false'];
  await execa('git', [...identity, ...argv], {
    cwd: project.root,
    env: { GIT_COMMITTER_DATE: '2026-10-02T08:00:00Z' },
  });
}

async function version(): Promise<string> {
  const inputs = await inputsOf();
  const facts = await readGitFacts(inputs.context, { env: { PATH: process.env['PATH'], HOME: '/nonexistent' } });
  return versionOf({ git: facts, digest: inputs.digest, now: new Date('2026-11-24T00:00:00Z') }).replace(
    /[0-9a-f]{10}$/,
    'HASH',
  );
}

test('a version follows the state of the repository', async () => {
  const seen = [await version()];
  const remember = async (): Promise<void> => void seen.push(await version());
  await git('init', '-q');
  await remember();
  await project.write('.gitignore', 'build\n*.log\n');
  await project.write('.dockerignore', '*.log\n.git\n');
  await git('add', '-A');
  await git('commit', '-qm', 'one');
  await remember();
  await project.write('debug.log', 'neither git nor docker cares');
  await remember();
  await project.write('new.py', '');
  await remember();
  await rm(path.join(project.root, 'new.py'));
  await project.write('build/model.bin', 'git ignores it, docker does not');
  await remember();

  expect(seen).toEqual([
    'd20261124.xHASH',
    'd20261124.xHASH',
    'r1.d20261002.hHASH',
    'r1.d20261002.hHASH',
    'r1.d20261124.xHASH',
    'r1.d20261124.xHASH',
  ]);
});

test('a shallow clone has no number of commits', async () => {
  await git('init', '-q');
  await git('add', '-A');
  await git('commit', '-qm', 'one');
  await git('commit', '-qm', 'two', '--allow-empty');
  const clone = path.join(cacheDir, 'clone');
  await execa('git', ['clone', '-q', '--depth', '1', `file://${project.root}`, clone]);

  const { context } = await inputsOf(project.source({ context: clone }));

  expect(await readGitFacts(context, { env: { PATH: process.env['PATH'] } })).toMatchObject({
    type: 'commit',
    isShallow: true,
    isDirty: false,
  });
});
