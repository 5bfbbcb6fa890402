import { chmod, mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildImage } from '../../../src/build/build.ts';
import { inputDigest, type InputOptions } from '../../../src/build/inputs.ts';
import type { BuildOptions } from '../../../src/build/job.ts';
import { readRuntime } from '../../../src/build/runtime.ts';
import { Secret } from '../../../src/core/secret.ts';
import type { BuildSource } from '../../../src/core/state.ts';
import { asObject } from '../../../src/ship/engine-stream.ts';
import type { Host } from '../../../src/transport/host.ts';
import { attachTestbed } from '../../support/hosts.ts';
import { hostAt } from '../ship/engines.ts';
import { entriesInImage, makeProject, makeRuntime, pathsInImage, type Project } from './project.ts';

let host: Host;
let socket: string;
let cacheDir: string;
let runtime: Project;
const built = new Set<string>();

beforeAll(async () => {
  socket = (await attachTestbed()).engineSocket;
  host = await hostAt('local', socket);
  cacheDir = await mkdtemp(path.join(tmpdir(), 'cu-cache-'));
  runtime = await makeRuntime();
});

afterAll(async () => {
  for (const imageId of built)
    await host
      .docker()
      .json({ method: 'DELETE', path: `/images/${imageId}`, query: { force: true }, allow: [404, 409] });
  await host[Symbol.asyncDispose]();
  await rm(cacheDir, { recursive: true, force: true });
  await runtime[Symbol.asyncDispose]();
});

// The classic builder is what is left when there is no client; /usr/bin holds the 20.10 one, which speaks BuildKit.
const BUILDERS = { classic: '/nonexistent', 'docker-buildkit': '/usr/bin' } as const;

function inputOptions(): InputOptions {
  return { cacheDir, readRuntime: () => readRuntime(runtime.root), now: Date.now };
}

interface Built {
  readonly imageId: string;
  readonly builder: string;
  readonly output: readonly string[];
}

async function build(
  source: BuildSource,
  options: { readonly path?: string } & Partial<BuildOptions> = {},
): Promise<Built> {
  const output: string[] = [];
  const inputs = await inputDigest(source, inputOptions());
  const { path: clients = BUILDERS.classic, ...more } = options;
  const result = await buildImage({
    source,
    host,
    engine: { type: 'unix', path: socket },
    inputs,
    version: `t${inputs.digest.slice(0, 8)}`,
    project: 'cu-test',
    registries: [],
    pull: false,
    noCache: false,
    env: { PATH: clients, HOME: '/nonexistent', FROM_OUTSIDE: 'outside' },
    cacheDir,
    now: Date.now,
    onOutput: (line) => output.push(line),
    ...more,
  });
  built.add(result.imageId);
  return { ...result, output };
}

const FILES = {
  Dockerfile: 'FROM scratch\nCOPY . /ctx/\n',
  'README.md': '',
  'docs/a.md': '',
  'docs/keep/b.md': '',
  'docs/keep/deep/c.txt': '',
  'src/main.py': '',
  'src/main.pyc': '',
  'src/pkg/__pycache__/x.pyc': '',
  'src/pkg/mod.py': '',
  'node_modules/m/index.js': '',
  '.env': '',
  'a b/c d.txt': '',
  'ünï/cödé.txt': '',
  '[x].txt': '',
  'build.log': '',
  'logs/build.log': '',
} as const;

const IGNORE_FILES: readonly (readonly [name: string, text: string])[] = [
  ['nothing', ''],
  ['names and folders', 'node_modules\n.env\n/docs/\n'],
  ['any depth', '**/*.pyc\n**/__pycache__\n*.log\n'],
  ['folders taken back', 'docs\n!docs/keep\n'],
  ['all but', '*\n!src\n!README.md\nsrc/**/*.pyc\n'],
  ['wild exceptions', '**/*.md\n!README.md\n!docs/keep/*.md\n'],
  ['comments, blanks and odd names', '# README.md\n\n  a b/c d.txt  \n\\[x\\].txt\nünï\n'],
  ['the build files themselves', 'Dockerfile\n.dockerignore\nsrc\n'],
  ['a later line wins', '!src/main.py\nsrc/main.py\n!src/main.pyc\n'],
  ['one character', 'src/main.py?\n[.]env\n'],
];

describe.each(Object.entries(BUILDERS))('%s sees what we digested', (builder, clients) => {
  test.each(IGNORE_FILES)('with .dockerignore: %s', async (_, text) => {
    await using project = await makeProject({ ...FILES, '.dockerignore': text });
    // What is an option for the classic builder is a need here: this asks for BuildKit where there is a client.
    if (builder === 'docker-buildkit')
      await project.write('Dockerfile', '# syntax-free\nFROM scratch\nCOPY --chmod=755 . /ctx/\n');
    const { context } = await inputDigest(project.source(), inputOptions());
    const wanted = context.entries.map((entry) => (entry.type === 'directory' ? `${entry.path}/` : entry.path)).sort();

    const result = await build(project.source(), { path: clients });

    expect(result.builder).toBe(builder);
    expect(await pathsInImage(host, result.imageId, '/ctx')).toEqual(wanted);
  });
});

describe.each(Object.entries(BUILDERS))('%s is given the Python runtime', (builder, clients) => {
  // A secret is what only BuildKit takes, with the same Dockerfile.
  const secrets = builder === 'classic' ? [] : [new Secret('TOKEN', 'value')];

  test.each(IGNORE_FILES)('with .dockerignore: %s', async (_, text) => {
    await using project = await makeProject({ ...FILES, '.dockerignore': text });
    await project.write('Dockerfile', 'FROM scratch\nCOPY cu-runtime /runtime/\nCOPY . /ctx/\n');
    const source = project.source({ secrets });
    const { context } = await inputDigest(source, inputOptions());
    const wanted = [...context.entries, ...context.runtime]
      .map((entry) => (entry.type === 'directory' ? `${entry.path}/` : entry.path))
      .sort();

    const result = await build(source, { path: clients });

    expect(result.builder).toBe(builder);
    expect(await pathsInImage(host, result.imageId, '/ctx')).toEqual(wanted);
  });

  test('with modes and times of its own, beside files that keep theirs', async () => {
    await using project = await makeProject({
      Dockerfile: 'FROM scratch\nCOPY . /ctx/\n# COPY\nCOPY cu-runtime /r/\n',
    });
    await project.write('closed/secret.txt', 'x', 0o400);
    await project.link('closed/link', 'secret.txt');
    await utimes(path.join(project.root, 'closed/secret.txt'), 1e9, 1e9);
    await chmod(path.join(project.root, 'closed'), 0o555);

    const { imageId } = await build(project.source({ secrets }), { path: clients });

    const entries = await entriesInImage(host, imageId, '/ctx');
    // BuildKit gives folders the time of the build.
    const shown = entries.map(({ name, mode, mtime }) =>
      [(mode & 0o7777).toString(8), name, name.endsWith('/') ? '' : mtime?.getTime()].join(' '),
    );
    expect(shown).toEqual(
      expect.arrayContaining([
        '555 closed/ ',
        '400 closed/secret.txt 1000000000000',
        '755 cu-runtime/ ',
        '755 cu-runtime/cu/ ',
        '644 cu-runtime/cu/__init__.py 0',
      ]),
    );
    expect(entries.find(({ name }) => name === 'closed/link')).toMatchObject({ linkname: 'secret.txt' });
  });

  test('and leaves nothing of it behind, here or in the context', async () => {
    await using project = await makeProject({ Dockerfile: 'FROM scratch\nCOPY cu-runtime /r/\n' });
    const before = await readdir(tmpdir());

    await build(project.source({ secrets }), { path: clients });

    expect((await readdir(tmpdir())).filter((name) => /^cu-\w{6}$/.test(name) && !before.includes(name))).toEqual([]);
    expect(await readdir(project.root)).toEqual(['Dockerfile']);
  });
});

async function shellProject(lines: readonly string[]): Promise<Project> {
  const project = await makeProject({
    Dockerfile: ['FROM scratch', 'COPY busybox /bin/', 'SHELL ["/bin/busybox", "sh", "-c"]', ...lines].join('\n'),
  });
  await project.addShell();
  return project;
}

test('labels tell project, version and inputs, and nothing of who or when', async () => {
  await using project = await makeProject(FILES);
  const source = project.source();
  const { digest } = await inputDigest(source, inputOptions());

  const { imageId } = await build(source, { version: 'v7' });

  const image = asObject(await host.docker().json({ method: 'GET', path: `/images/${imageId}/json` }));
  expect(asObject(image?.['Config'])?.['Labels']).toEqual({
    'cu.inputs': digest,
    'cu.project': 'cu-test',
    'cu.version': 'v7',
    'org.opencontainers.image.version': 'v7',
  });
  expect(image?.['RepoTags']).toContain('cu-test-build:v7');
});

test('links, modes and owner arrive', async () => {
  await using project = await shellProject(['COPY . /ctx', 'RUN busybox ls -ln /ctx']);
  await project.write('tool', '#!/bin/sh', 0o755);
  await project.write('data', 'x', 0o600);
  await project.link('link', 'data');

  const { output } = await build(project.source(), { noCache: true });

  const listed = output
    .filter((line) => /^[-l]/.test(line))
    .map((line) => line.replace(/\s+/g, ' ').replace(/ [A-Z][a-z]{2} .*? (?=\S+( -> \S+)?$)/, ' '));
  expect(
    listed.map((line) =>
      line
        .split(' ')
        .filter((_, index) => index !== 1 && index !== 4)
        .join(' '),
    ),
  ).toEqual(expect.arrayContaining(['-rwxr-xr-x 0 0 tool', '-rw------- 0 0 data', 'lrwxrwxrwx 0 0 link -> data']));
});

test.each(Object.entries(BUILDERS))('arguments and target reach %s', async (builder, clients) => {
  const mount = builder === 'classic' ? '' : '--mount=type=tmpfs,target=/x ';
  await using project = await shellProject([
    'ARG A',
    'ARG FROM_OUTSIDE',
    'ARG UNSET=default',
    `RUN ${mount}busybox echo "got=$A,$FROM_OUTSIDE,$UNSET"`,
    'FROM scratch AS last',
    'COPY nothing-there /',
  ]);
  await project.write('Dockerfile', (await readText(project)).replace('FROM scratch\n', 'FROM scratch AS first\n'));

  const { output } = await build(
    project.source({ target: 'first', args: { A: 'it\'s "a"', FROM_OUTSIDE: null, UNSET: null } }),
    { path: clients, noCache: true },
  );

  expect(output.some((line) => line.endsWith('got=it\'s "a",outside,default'))).toBe(true);
});

async function readText(project: Project): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  return readFile(path.join(project.root, 'Dockerfile'), 'utf8');
}

test.each(Object.entries(BUILDERS))('a failing step is shown with its last lines by %s', async (builder, clients) => {
  const mount = builder === 'classic' ? '' : '--mount=type=tmpfs,target=/x ';
  await using project = await shellProject([
    'RUN busybox echo from the step before',
    `RUN ${mount}for i in 1 2 3; do busybox echo line $i; done; exit 3`,
  ]);

  const error = await build(project.source(), { path: clients, noCache: true }).catch((caught: unknown) => caught);

  expect(error).toMatchObject({ code: 'BUILD_FAILED', host: 'local' });
  const { detail } = asObject(error) ?? {};
  expect(detail).toMatch(/RUN .*exit 3\n(.*\n)?line 1\nline 2\nline 3/);
  expect(detail).not.toContain('from the step before\n');
});

test('a missing file in COPY says what to do', async () => {
  await using project = await makeProject({ Dockerfile: 'FROM scratch\nCOPY nope /\n' });

  await expect(build(project.source())).rejects.toMatchObject({
    code: 'BUILD_FAILED',
    hint: 'the path must lie in the build context and not be left out by .dockerignore',
  });
});

test('a Dockerfile with a mistake names it', async () => {
  await using project = await makeProject({ Dockerfile: 'FROM scratch\nCOPPY a b\n' });

  await expect(build(project.source())).rejects.toMatchObject({
    code: 'BUILD_FAILED',
    message: expect.stringContaining('unknown instruction: COPPY'),
  });
});

test('a build secret reaches its step and is nowhere else', async () => {
  await using project = await shellProject([
    'RUN --mount=type=secret,id=TOKEN busybox sha256sum /run/secrets/TOKEN > /proof',
  ]);
  const source = project.source({ secrets: [new Secret('TOKEN', 's3cret-value')] });
  const before = await readdir(tmpdir());

  const { imageId, builder, output } = await build(source, { path: BUILDERS['docker-buildkit'], noCache: true });

  const image = await host.docker().json({ method: 'GET', path: `/images/${imageId}/json` });
  const history = await host.docker().json({ method: 'GET', path: `/images/${imageId}/history` });
  expect(builder).toBe('docker-buildkit');
  expect(`${JSON.stringify([image, history])}${output.join('\n')}`).not.toContain('s3cret-value');
  expect((await readdir(tmpdir())).filter((name) => /^cu-\w{6}$/.test(name) && !before.includes(name))).toEqual([]);
  await expect(build(source)).rejects.toMatchObject({
    code: 'BUILDKIT_NEEDED',
    message: expect.stringContaining('build secrets'),
  });
});

test('a build that is interrupted stops', async () => {
  await using project = await shellProject(['RUN busybox sleep 60']);
  const controller = new AbortController();

  const stopped = build(project.source(), {
    noCache: true,
    signal: controller.signal,
    onOutput: (line) => {
      if (line.includes('Running in')) controller.abort();
    },
  });

  await expect(stopped).rejects.toMatchObject({ code: 'CANCELLED' });
});

test('the runtime that goes into an image is the one that was digested, whatever becomes of cu meanwhile', async () => {
  await using project = await makeProject({ Dockerfile: 'FROM scratch\nCOPY cu-runtime /r/\n' });

  const { imageId } = await build(project.source(), {
    onOutput: (line) => {
      if (line.startsWith('Step 1')) void runtime.write('cu/new.py', '');
    },
    noCache: true,
  });

  await rm(path.join(runtime.root, 'cu/new.py'));
  expect(await pathsInImage(host, imageId, '/r')).not.toContain('cu/new.py');
});

test('a file that changes while the image is built makes the build fail', async () => {
  await using project = await shellProject(['COPY changing /']);
  await project.write('changing', 'one');

  const result = build(project.source(), {
    onOutput: (line) => {
      if (line.startsWith('Step 1')) void project.write('changing', 'two');
    },
    noCache: true,
    version: 'changed',
  });

  await expect(result).rejects.toMatchObject({
    code: 'BUILD_FAILED',
    message: expect.stringContaining('changed while image app was built'),
  });
  expect(
    await host.docker().json({ method: 'GET', path: '/images/cu-test-build:changed/json', allow: [404] }),
  ).toBeUndefined();
});
