import { chmod, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inputDigest, type InputOptions } from '../../../src/build/inputs.ts';
import { Secret } from '../../../src/core/secret.ts';
import type { Host } from '../../../src/transport/host.ts';
import { entriesInImage, makeProject, pathsInImage } from './project.ts';
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

describe.each(Object.entries(BUILDERS))('%s is given the Python runtime', (builder, clients) => {
  // A secret is what only BuildKit takes, with the same Dockerfile.
  const secrets = builder === 'classic' ? [] : [new Secret('TOKEN', 'value')];

  test.each(IGNORE_FILES)('with .dockerignore: %s', async (_, text) => {
    await using project = await makeProject({ ...FILES, '.dockerignore': text });
    await project.write('Dockerfile', 'FROM scratch\nCOPY cu-runtime /runtime/\nCOPY . /ctx/\n');
    const source = project.source({ secrets });
    const { context } = await inputDigest(source, inputOptions);
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

test('the runtime that goes into an image is the one that was digested, whatever becomes of cu meanwhile', async () => {
  await using project = await makeProject({ Dockerfile: 'FROM scratch\nCOPY cu-runtime /r/\n' });

  const { imageId } = await build(project.source(), {
    onOutput: (line) => {
      if (line.startsWith('Step 1')) void workshop.runtime.write('cu/new.py', '');
    },
    noCache: true,
  });

  await rm(path.join(workshop.runtime.root, 'cu/new.py'));
  expect(await pathsInImage(host, imageId, '/r')).not.toContain('cu/new.py');
});
