import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-purge-cache';
const TEMPLATE = fileURLToPath(new URL('../../templates/app', import.meta.url));
const CONFIG = `
secrets: { files: [.cu/secrets.env] }
users: { app: { uid: 1000, gid: 1000 } }
images:
  app:
    repository: ${PROJECT}
    build: { context: ., args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null, PIP_TRUSTED_HOST: null } }
services:
  broker: { kind: redis, on: [host1] }
  worker: { kind: worker, image: app, user: app, concurrency: 2, offers: { light: 2 }, drain: 5s, on: [host1], health: { stable: 300ms } }
  site: { kind: webserver, image: app, user: app, secrets: [API_TOKEN], ports: ["127.0.0.1:8541:8123"], on: [host1], health: { stable: 300ms } }
`;
const ROOT = `/var/lib/cu/storage/${PROJECT}-dev`;
const NO_HOST = 'address: 127.0.0.1, port: 1,';

let scenario: Scenario;
let config: string;

beforeAll(async () => {
  scenario = await startScenario({
    project: PROJECT,
    config: CONFIG,
    template: TEMPLATE,
    files: { '.cu/secrets.env': `API_TOKEN=${randomBytes(16).toString('hex')}\n` },
    hosts: ['host1'],
  });
  config = await scenario.read('cu.config.yaml');
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
});

beforeEach(() => scenario.write('cu.config.yaml', config));

afterAll(() => scenario[Symbol.asyncDispose]());

/** Results of this size and of those before it are there. */
async function compute(size: number): Promise<string> {
  const called = await scenario.cu('call', 'tasks.relief', `size=${size}`, '--wait');
  expect(called.exitCode, called.all).toBe(0);
  return called.stdout;
}

function inSite(...argv: readonly string[]): Promise<string> {
  return scenario.docker('host1', 'exec', `${PROJECT}-dev-site-1`, ...argv);
}

/** As if what lies there had been used last long ago. */
async function age(days: number, ...patterns: readonly string[]): Promise<void> {
  const paths = patterns.flatMap((pattern, at) => [...(at === 0 ? [] : ['-o']), '-path', `${ROOT}/${pattern}`]);
  await inSite('find', ROOT, '-type', 'f', '(', ...paths, ')', '-exec', 'touch', '-d', `${days} days ago`, '{}', '+');
}

const CACHE = ['index/*', 'blobs/*', 'used/*'];

async function filesIn(folder: string): Promise<number> {
  const script = `if [ -d ${ROOT}/${folder} ]; then find ${ROOT}/${folder} -type f | wc -l; else echo 0; fi`;
  return Number(await inSite('sh', '-c', script));
}

interface PurgeLine {
  readonly plan: {
    readonly id: string;
    readonly count: number;
    readonly bytes: number;
    readonly needsConfirm: boolean;
  };
  readonly moved?: { readonly count: number; readonly left: number };
}

async function plan(...argv: readonly string[]): Promise<PurgeLine> {
  const { stdout, all } = await scenario.cu('purge', ...argv, '--json');
  const last = stdout.split('\n').at(-1) ?? '';
  expect(last.startsWith('{'), all).toBe(true);
  return JSON.parse(last);
}

test('what is in use is not shown, what was not used for long is, and nothing is removed by showing it', async () => {
  await compute(256);
  expect((await scenario.cu('purge', 'cache', '--unused-for', '30d')).stdout).toBe('nothing of the cache can go');
  await age(40, ...CACHE);
  const before = await filesIn('index');

  const shown = await scenario.cu('purge', 'cache', '--unused-for', '30d');

  expect(shown.exitCode, shown.all).toBe(0);
  expect(shown.stdout).toMatch(/^host1 {2}\d+ files, .*100% of the cache, the oldest last used \d{4}-\d\d-\d\dT/);
  expect(shown.stdout).toMatch(/^unused +\d+ /m);
  expect(shown.stdout).toContain('nothing was moved; the same command with `--yes --confirm');
  expect(await filesIn('index')).toBe(before);
});

describe('a large part', () => {
  test('is not taken by --yes alone, nor with another number than the one shown', async () => {
    await age(40, ...CACHE);
    const before = await filesIn('index');
    const { plan: shown } = await plan('cache', '--unused-for', '30d');
    expect(shown.needsConfirm).toBe(true);

    const unconfirmed = await scenario.cu('purge', 'cache', '--unused-for', '30d', '--yes');
    const wrong = await scenario.cu('purge', 'cache', '--unused-for', '30d', '--yes', '--confirm', '1');

    expect(unconfirmed.exitCode, unconfirmed.all).toBe(2);
    expect(unconfirmed.stderr).toContain('the plan takes 100% of the cache, which --yes alone does not allow');
    expect(unconfirmed.stderr).toContain(`--confirm ${shown.count}`);
    expect(wrong.exitCode, wrong.all).toBe(2);
    expect(wrong.stderr).toContain(`the plan names ${shown.count} files by now, not 1`);
    expect(await filesIn('index')).toBe(before);
  });

  test('goes to the trash once its number is confirmed, and comes back whole', async () => {
    const result = await compute(256);
    await age(40, ...CACHE);
    const before = [await filesIn('index'), await filesIn('blobs')];
    const { plan: shown } = await plan('cache', '--unused-for', '30d');

    const moved = await plan('cache', '--unused-for', '30d', '--yes', '--confirm', String(shown.count));

    expect(moved.moved).toMatchObject({ count: shown.count, left: 0 });
    expect(await filesIn('index')).toBe(0);
    expect((await scenario.cu('purge', '--empty')).stdout).toContain(moved.plan.id);
    const restored = await scenario.cu('purge', 'cache', '--restore', moved.plan.id);
    expect(restored.exitCode, restored.all).toBe(0);
    expect(restored.stdout).toContain(`brought back ${shown.count} files`);
    expect([await filesIn('index'), await filesIn('blobs')]).toEqual(before);
    const again = await scenario.cu('call', 'tasks.relief', 'size=256', '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({ cached: true, value: JSON.parse(result) });
    expect(await inSite('sh', '-c', 'ls /tmp | grep -c cu-purge || true')).toBe('0');
  });
});

test('a small part goes with --yes alone, and what was moved is computed anew', async () => {
  const result = await compute(288);
  await age(1, ...CACHE);
  const entries = (await inSite('find', `${ROOT}/index`, '-type', 'f')).split('\n').toSorted();
  const keys = entries.slice(0, Math.floor(entries.length / 10)).map((path) => path.slice(-64));
  expect(keys).not.toEqual([]);
  await age(40, ...keys.flatMap((key) => [`index/*/${key}`, `used/index/*/${key}`]));

  const done = await scenario.cu('purge', 'cache', '--unused-for', '30d', '--yes');

  expect(done.exitCode, done.all).toBe(0);
  expect(done.stdout).toMatch(/moved \d+ files to the trash/);
  expect(await compute(288)).toBe(result);
});

test('uploads are purged by themselves, and the trash is emptied only with --yes', async () => {
  await scenario.write('some.bin', 'not a heightmap');
  // The file is sent before its method says that it takes no such argument: so no job ever needs it.
  expect((await scenario.cu('call', 'tasks.picture', 'heightmap=@some.bin', 'nonsense=1')).exitCode).toBe(2);
  expect(await filesIn('uploads')).toBe(1);
  await age(40, 'uploads/*', 'blobs/*', 'used/blobs/*');
  const { plan: shown } = await plan('uploads');

  const moved = await plan('uploads', '--yes', '--confirm', String(shown.count));

  expect(moved.moved).toMatchObject({ count: 2, left: 0 });
  expect(await filesIn('uploads')).toBe(0);
  const listed = await scenario.cu('purge', 'uploads', '--empty');
  expect(listed.stdout).toContain(moved.plan.id);
  expect(await filesIn('trash')).toBeGreaterThan(0);
  expect((await scenario.cu('purge', '--empty', '--yes')).stdout).toContain('removed 0 files for good');
  await eventually(async () => {
    const emptied = await scenario.cu('purge', '--empty', '--yes', '--older-than', '1s');
    expect(emptied.exitCode, emptied.all).toBe(0);
    expect(emptied.stdout).toMatch(/removed [1-9]\d* files for good/);
  });
  expect((await scenario.cu('purge', '--empty')).stdout).toBe('the trash is empty');
});

describe('a purge that cannot be says why', () => {
  test.each([
    [['cache', 'uploads'], 2, 'cache and uploads cannot be purged in one go'],
    [['images', '--unused-for', '3d'], 2, '--unused-for is for cache and uploads'],
    [['uploads', '--old-code'], 2, '--old-code is for cache'],
    [['cache', '--max-size', 'much'], 2, '--max-size much is no size'],
    [['cache', '--confirm', '3'], 2, '--confirm is for --yes'],
    [['cahce'], 2, 'did you mean cache?'],
    [['--restore', 'x'], 2, 'names no plan'],
    [['--restore', '20260101T000000-00000000'], 4, 'there is nothing of a plan'],
  ])('%j', async (argv, exitCode, message) => {
    const result = await scenario.cu('purge', ...argv);

    expect(result).toMatchObject({ exitCode, stdout: '' });
    expect(result.stderr).toContain(message);
  });

  test('where there is no storage', async () => {
    await scenario.write('cu.config.yaml', `${config}storage: none\n`);

    const result = await scenario.cu('purge', 'cache');

    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toContain('has no storage to purge');
  });

  test('where no host can be reached', async () => {
    await scenario.write('cu.config.yaml', config.replaceAll(/address: [\d.]+, port: \d+,/g, NO_HOST));

    expect((await scenario.cu('purge', 'cache')).exitCode).toBe(3);
  });

  test('where neither webserver nor worker runs', async () => {
    await scenario.docker('host1', 'stop', '-t', '1', `${PROJECT}-dev-site-1`, `${PROJECT}-dev-worker-1`);

    const result = await scenario.cu('purge', 'cache');

    expect(result).toMatchObject({ exitCode: 4, stdout: '' });
    expect(result.stderr).toContain('cu deploy');
  });
});
