import { spawn } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const bin = resolve(import.meta.dirname, '../../bin/cu.js');

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cu-template-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

test('what cu init writes is valid as it is, in both environments', async () => {
  await cu('init');

  const result = await cu('validate');

  expect(result).toMatchObject({ code: 0 });
  for (const environment of ['dev', 'stable'])
    expect(await cu('config', '--env', environment)).toMatchObject({ code: 0 });
});

test('the four commented lines for hosts are valid once uncommented', async () => {
  await cu('init');
  const file = join(folder, 'cu.config.yaml');
  await writeFile(file, withHosts(await readFile(file, 'utf8')));

  const result = await cu('config', '--env', 'stable', '--json');

  expect(result).toMatchObject({ code: 0 });
  for (const host of ['host1', 'host2']) expect(result.stdout).toContain(host);
  expect(await cu('validate')).toMatchObject({ code: 0 });
});

test('cu init writes everything that the image needs, and keeps secrets out of git', async () => {
  await cu('init');

  const names = await readdir(folder);

  expect(names).toEqual(
    expect.arrayContaining([
      '.dockerignore',
      '.gitignore',
      'Dockerfile',
      'cu.config.yaml',
      'requirements.txt',
      'tasks.py',
      'test_tasks.py',
      '.cu',
    ]),
  );
  expect(names).not.toContain('gitignore');
  expect(await readFile(join(folder, '.gitignore'), 'utf8')).toContain('.cu/');
});

test('cu init never overwrites', async () => {
  await writeFile(join(folder, 'tasks.py'), '# mine\n');

  await cu('init');
  await cu('init');

  expect(await readFile(join(folder, 'tasks.py'), 'utf8')).toBe('# mine\n');
});

/** Takes the `#` off the four lines and leaves out the line that they replace. */
function withHosts(config: string): string {
  const lines = config.split('\n');
  const replaced = lines.findIndex((line) => line.includes('127.0.0.1:8124'));
  const first = lines.findIndex((line) => /^ +# hosts:/.test(line));
  expect(replaced).toBeGreaterThan(0);
  expect(first).toBeGreaterThan(replaced);
  return lines
    .map((line, index) => (index >= first && index < first + 4 ? line.replace('# ', '') : line))
    .filter((_, index) => index !== replaced)
    .join('\n');
}

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function cu(...args: readonly string[]): Promise<Result> {
  const child = spawn(process.execPath, [bin, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  return { code, ...output };
}
