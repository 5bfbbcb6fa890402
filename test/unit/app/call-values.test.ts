import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { callBody, readValues, uploadFiles } from '../../../src/app/call-values.ts';
import { answerOf, fakeContext, fakeWeb } from './call-parts.ts';

const CONTENT = 'tile '.repeat(100_000);
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');
const FILE = `/v1/files/${SHA256}`;
const MISSING = answerOf('', { statusCode: 404 });

let cwd: string;

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'cu-call-'));
  await writeFile(join(cwd, 'tile.tif'), CONTENT);
  await writeFile(join(cwd, 'same.tif'), CONTENT);
});

afterEach(() => rm(cwd, { recursive: true, force: true }));

const file = (name: string, path: string) => ({ name, type: 'file', path }) as const;

test('the body has JSON as it was written, and files by their content', async () => {
  const values = await readValues(fakeContext({ cwd, stdin: '[1, 2.0]\n' }), [
    { name: 'zoom', type: 'json', text: '3.0' },
    { name: 'a "name"', type: 'json', text: '"x"' },
    file('tile', 'tile.tif'),
    { name: 'points', type: 'stdin' },
  ]);

  expect(callBody(values)).toBe(
    `{"zoom":3.0,"a \\"name\\"":"x","tile":{"$file":"${SHA256}","size":500000,"name":"tile.tif"},"points":[1, 2.0]}`,
  );
});

test('equal files are sent once, with their length', async () => {
  const context = fakeContext({ cwd });
  const web = fakeWeb({ [`HEAD ${FILE}`]: [MISSING], [`PUT ${FILE}`]: [answerOf('{}', { statusCode: 201 })] });
  const values = await readValues(context, [file('one', 'tile.tif'), file('two', 'same.tif')]);

  await uploadFiles(context, web, values);

  expect(web.asked).toEqual([`HEAD ${FILE}`, `PUT ${FILE}`]);
  expect(context.events.at(-1)).toMatchObject({ type: 'transfer', bytes: 500_000, totalBytes: 500_000, isDone: true });
});

test('a file that is there already is not sent', async () => {
  const context = fakeContext({ cwd });
  const web = fakeWeb({ [`HEAD ${FILE}`]: [answerOf('')] });

  await uploadFiles(context, web, await readValues(context, [file('one', 'tile.tif')]));

  expect(web.asked).toEqual([`HEAD ${FILE}`]);
});

test.each(['more', ''])('a file that changed since it was read is an error: %j', async (content) => {
  const context = fakeContext({ cwd });
  const web = fakeWeb({ [`HEAD ${FILE}`]: [MISSING], [`PUT ${FILE}`]: [answerOf('{}')] });
  const values = await readValues(context, [file('one', 'tile.tif')]);
  await writeFile(join(cwd, 'tile.tif'), content === '' ? '' : CONTENT + content);

  await expect(uploadFiles(context, web, values)).rejects.toMatchObject({
    exitCode: 4,
    message: 'tile.tif changed while it was being sent',
  });
});

test.each([
  [file('tile', 'none.tif'), 'cannot read tile=@none.tif: no such file or directory'],
  [file('tile', '.'), 'tile=@. is no regular file'],
  [{ name: 'points', type: 'stdin' } as const, 'what stdin gives for points is not JSON'],
])('%j cannot be read: exit 2', async (argument, message) => {
  await expect(readValues(fakeContext({ cwd, stdin: 'x y' }), [argument])).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining(message),
  });
});
