import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inputDigest, type InputOptions } from '../../../src/build/inputs.ts';
import { Secret } from '../../../src/core/secret.ts';
import { asObject } from '../../../src/ship/engine-stream.ts';
import type { Host } from '../../../src/transport/host.ts';
import { makeProject, pathsInImage, type Project } from './project.ts';
import { BUILDERS, FILES, IGNORE_FILES, openWorkshop, type Workshop } from './workshop.ts';

let host: Host;
let build: Workshop['build'];
let inputOptions: InputOptions;
let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
  ({ host, build, inputOptions } = workshop);
});

afterAll(() => workshop[Symbol.asyncDispose]());

describe.each(Object.entries(BUILDERS))('%s sees what we digested', (builder, clients) => {
  test.each(IGNORE_FILES)('with .dockerignore: %s', async (_, text) => {
    await using project = await makeProject({ ...FILES, '.dockerignore': text });
    // What is an option for the classic builder is a need here: this asks for BuildKit where there is a client.
    if (builder === 'docker-buildkit')
      await project.write('Dockerfile', '# syntax-free\nFROM scratch\nCOPY --chmod=755 . /ctx/\n');
    const { context } = await inputDigest(project.source(), inputOptions);
    const wanted = context.entries.map((entry) => (entry.type === 'directory' ? `${entry.path}/` : entry.path)).sort();

    const result = await build(project.source(), { path: clients });

    expect(result.builder).toBe(builder);
    expect(await pathsInImage(host, result.imageId, '/ctx')).toEqual(wanted);
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
  const { digest } = await inputDigest(source, inputOptions);

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
