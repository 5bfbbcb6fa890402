import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkTarget, takeResult } from '../../../src/app/call-result.ts';
import { CuError } from '../../../src/core/error.ts';
import { answerOf, fakeContext } from './call-parts.ts';

const PICTURE = Buffer.from([0x89, 0x50, 0x00, 0xff]);

let cwd: string;

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'cu-call-'));
});

afterEach(() => rm(cwd, { recursive: true, force: true }));

const nowhere = { target: undefined, name: 'tiles' };

test.each([
  ['{"a": 1}', 'application/json', '{"a": 1}\n'],
  ['{}\n', 'application/geo+json; charset=utf-8', '{}\n'],
  ['a;b', 'text/csv', 'a;b'],
  [PICTURE, 'image/png', PICTURE.toString('latin1')],
])('through a pipe %s goes as it is', async (body, type, printed) => {
  const context = fakeContext({});

  const taken = await takeResult(context, answerOf(body, { type }), nowhere);

  expect(taken).toEqual({ type: 'written' });
  expect(context.printed()).toBe(printed);
});

test.each([
  ['{"a": 1}', 'application/json', { a: 1 }],
  ['{"a": 1', 'application/json', '{"a": 1'],
  ['a;b', 'text/csv', 'a;b'],
])('with --json %s is a value', async (body, type, value) => {
  const context = fakeContext({ json: true });

  const taken = await takeResult(context, answerOf(body, { type }), nowhere);

  expect(taken).toEqual({ type: 'value', text: body, value });
  expect(context.printed()).toBe('');
});

test.each([{ json: true }, { isStdoutTty: true }])('bytes are nothing for %j', async (changes) => {
  const context = fakeContext(changes);

  await expect(takeResult(context, answerOf(PICTURE, { type: 'image/png' }), nowhere)).rejects.toMatchObject({
    exitCode: 2,
    hint: 'write it to a file with -o FILE',
  });
  expect(context.printed()).toBe('');
});

test('a file takes whatever comes, in place of what it held', async () => {
  const context = fakeContext({ cwd });
  await writeFile(join(cwd, 'picture.png'), 'the one before');
  const target = await checkTarget(context, 'picture.png');

  const taken = await takeResult(context, answerOf(PICTURE, { type: 'image/png' }), { target, name: 'tiles' });

  expect(taken).toEqual({ type: 'file', file: 'picture.png', bytes: 4 });
  expect(await readFile(join(cwd, 'picture.png'))).toEqual(PICTURE);
  expect(await readdir(cwd)).toEqual(['picture.png']);
});

test('a result that breaks off leaves the file as it was and nothing beside it', async () => {
  const context = fakeContext({ cwd });
  await writeFile(join(cwd, 'picture.png'), 'the one before');
  const target = await checkTarget(context, 'picture.png');
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield PICTURE;
    throw new CuError('CONNECTION_LOST', 'cut');
  };

  const taking = takeResult(context, answerOf(broken()), { target, name: 'tiles' });

  await expect(taking).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
  expect(await readFile(join(cwd, 'picture.png'), 'utf8')).toBe('the one before');
  expect(await readdir(cwd)).toEqual(['picture.png']);
});

test.each([
  ['.', 'cannot write .: it is a folder'],
  ['none/picture.png', 'cannot write none/picture.png: there is no folder none'],
])('%s is refused before anything is called', async (shown, message) => {
  await expect(checkTarget(fakeContext({ cwd }), shown)).rejects.toMatchObject({ exitCode: 2, message });
});
