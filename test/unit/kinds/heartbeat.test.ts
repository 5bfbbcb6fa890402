import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { beforeEach, expect, test } from 'vitest';
import { HEARTBEAT } from '../../../src/kinds/heartbeat.ts';

let file: string;

beforeEach(async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'cu-heartbeat-'));
  file = path.join(folder, 'beat');
  return () => rm(folder, { recursive: true });
});

function ask() {
  const [command, ...argv] = HEARTBEAT.command;
  return execa(command, argv, { env: { CU_HEARTBEAT: file, LC_ALL: 'C' }, reject: false });
}

async function beatBefore(seconds: number): Promise<void> {
  await writeFile(file, '');
  const at = Date.now() / 1000 - seconds;
  await utimes(file, at, at);
}

test('a file that was just written is a heartbeat', async () => {
  await beatBefore(5);

  expect(await ask()).toMatchObject({ exitCode: 0, stderr: '' });
});

test('an old one says how old', async () => {
  await beatBefore(3600);

  expect(await ask()).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/^the last heartbeat is 360\d s old$/),
  });
});

test('none at all names the file', async () => {
  expect(await ask()).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(file) });
});
