import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig, loadSecrets } from '../../../src/config/load.ts';
import { ConfigError } from '../../../src/config/problem.ts';
import { withServices } from './read.ts';

const valid = withServices(
  'tiles: { kind: container, image: app, on: [host1] }',
  'secrets: { files: [.cu/secrets.env, ~/none.env] }',
);

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'cu-load-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

function load(config?: string, cwd = folder): ReturnType<typeof loadConfig> {
  return loadConfig({ cwd, config, env: {} });
}

test('the config is found in a folder above, and secrets below it', async () => {
  await mkdir(path.join(folder, 'a', 'b'), { recursive: true });
  await mkdir(path.join(folder, '.cu'));
  await writeFile(path.join(folder, 'cu.config.yaml'), valid);
  await writeFile(path.join(folder, '.cu', 'secrets.env'), 'TOKEN=t\n');

  const loaded = await load(undefined, path.join(folder, 'a', 'b'));
  const [environment] = loaded.environments;
  if (environment === undefined) throw new Error('no environment');
  const store = await loadSecrets(loaded, environment, { HOME: folder });

  expect(loaded).toMatchObject({ directory: folder, project: 'shop' });
  expect(store.find('TOKEN')?.reveal()).toBe('t');
  expect(store.searched).toBe('.cu/secrets.env, then ~/none.env (no such file), then the environment');
});

test('no config, a folder, a missing one and what is not text are told in one line', async () => {
  const binary = path.join(folder, 'binary');
  const utf16 = path.join(folder, 'utf16');
  const large = path.join(folder, 'large');
  await writeFile(binary, Buffer.from([0x70, 0xff, 0xfe, 0x00]));
  await writeFile(utf16, Buffer.from('\uFEFFproject: x', 'utf16le'));
  await writeFile(large, Buffer.alloc(50 * 1024 * 1024, '#'));

  await expect(load()).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: `no cu.config.yaml in ${folder} or a folder above`,
  });
  await expect(load('none.yaml')).rejects.toMatchObject({ message: 'none.yaml does not exist' });
  await expect(load('.')).rejects.toMatchObject({ message: `${folder} cannot be read: it is a directory` });
  await expect(load('binary')).rejects.toMatchObject({ message: 'binary is not UTF-8 text' });
  await expect(load('utf16')).rejects.toMatchObject({ message: 'utf16 is UTF-16 text' });
  await expect(load('large')).rejects.toMatchObject({ message: 'large has 50.0 MiB: at most 1 MiB is read' });
  await expect(load('/dev/zero')).rejects.toMatchObject({ message: '/dev/zero has no end: at most 1 MiB is read' });
});

test('all problems are one error, with the place of each', async () => {
  await writeFile(path.join(folder, 'cu.config.yaml'), `${valid}extra: 1\nmore: 2\n`);

  const error: unknown = await load().catch((caught: unknown) => caught);

  expect(error).toBeInstanceOf(ConfigError);
  expect(error).toMatchObject({
    exitCode: 2,
    problems: [
      { line: 8, column: 1, path: 'extra' },
      { line: 9, column: 1, path: 'more' },
    ],
  });
});
