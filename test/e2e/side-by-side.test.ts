import { afterAll, beforeAll, expect, test } from 'vitest';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const CONFIG = `
environments:
  dev: { tag: dev, default: true }
  stable: { tag: stable, services: { site: { ports: ["*:8532"] } } }
storage: none
images: { app: { repository: e2e-main-pair, build: { context: . }, keep: 1 } }
services:
  broker: { kind: redis, on: [host1] }
  site: { kind: webserver, image: app, command: [sh, /app.sh], on: [host1], ports: ["*:8531"], health: { stable: 300ms } }
  loop: { kind: container, image: app, replicas: 2, on: [host2] }
`;

const OTHER = `
storage: none
images: { app: { repository: e2e-main-other, build: { context: . } } }
services:
  site: { kind: webserver, image: app, command: [sh, /app.sh], on: [host1], ports: ["*:8531"], health: { stable: 300ms } }
`;

let pair: Scenario;
let other: Scenario;

beforeAll(async () => {
  pair = await startScenario({ project: 'e2e-main-pair', config: CONFIG, files: SMALL_APP });
  other = await startScenario({ project: 'e2e-main-other', config: OTHER, files: SMALL_APP });
});

afterAll(async () => {
  await pair[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

test('dev and stable of one project live on the same hosts', async () => {
  expect((await pair.cu('deploy')).exitCode).toBe(0);
  const dev = await pair.containers('host1');

  expect((await pair.cu('deploy', '--env', 'stable')).exitCode).toBe(0);

  expect(await pair.containers('host1')).toEqual(expect.arrayContaining([...dev]));
  expect(await answerOf(8531)).toBe('one');
  expect(await answerOf(8532)).toBe('one');
});

test('a port that another project holds is found before anything changes', async () => {
  const result = await other.cu('deploy');

  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain('port 8531 for site leads to project e2e-main-pair, environment dev already');
  expect(await other.containers('host1')).toEqual([]);
  expect(await other.docker('host1', 'images', '-q', 'e2e-main-other')).toBe('');
});

test('a second project with a port of its own touches neither', async () => {
  const before = await pair.containers('host1');
  await other.write('cu.config.yaml', (await other.read('cu.config.yaml')).replace('8531', '8533'));

  expect((await other.cu('deploy')).exitCode).toBe(0);

  expect(await answerOf(8533)).toBe('one');
  expect(await pair.containers('host1')).toEqual(before);
});

test('purge prints and removes only with --yes, and never what runs, is kept or is foreign', async () => {
  for (const version of ['two', 'three']) {
    await pair.write('app.sh', `${await pair.read('app.sh')}# ${version}\n`);
    const deployed = await pair.cu('deploy');
    expect(deployed.exitCode, deployed.all).toBe(0);
  }
  const images = async (): Promise<readonly string[]> =>
    (await pair.docker('host1', 'images', '--format', '{{.Repository}}:{{.Tag}}'))
      .split('\n')
      // Other files of tests work on the same host.
      .filter((image) => /^e2e-main-(pair|other):/.test(image))
      .toSorted((a, b) => a.localeCompare(b));
  const before = await images();

  const listed = await pair.cu('purge', 'images');
  expect(listed.exitCode, listed.all).toBe(0);
  expect(await images()).toEqual(before);
  // The first version runs in stable, the third is kept and runs in dev: only the second is free.
  expect(listed.stdout.split('\n').filter((line) => line.startsWith('host1'))).toHaveLength(1);
  const removed = await pair.cu('purge', 'images', '--yes');

  expect(removed.exitCode, removed.all).toBe(0);
  const gone = before.filter((name) => !removedNames(listed.stdout).every((each) => each !== name));
  expect(gone).toHaveLength(1);
  expect(await images()).toEqual(before.filter((name) => !gone.includes(name)));
  expect((await pair.cu('purge')).stdout).toBe('nothing to purge');
});

test('a replica less is removed like any other change', async () => {
  await pair.write('cu.config.yaml', (await pair.read('cu.config.yaml')).replace('replicas: 2', 'replicas: 1'));

  expect((await pair.cu('deploy')).exitCode).toBe(0);

  const dev = (await pair.containers('host2')).filter((each) => each.name.includes('-dev-'));
  expect(dev.map((each) => each.name)).toEqual(['e2e-main-pair-dev-loop-1']);
});

test('a service that the config no longer has goes only when somebody says so', async () => {
  const text = await pair.read('cu.config.yaml');
  await pair.write('cu.config.yaml', text.replace(/^ {2}loop:.*$/m, ''));
  // host2 is out of use then; the service stays on a host that the config still uses.
  await pair.write('cu.config.yaml', text.replace(/^ {2}loop:/m, '  spin:'));

  const refused = await pair.cu('deploy');
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain('--prune');

  expect((await pair.cu('deploy', '--prune')).exitCode).toBe(0);

  const dev = (await pair.containers('host2')).filter((each) => each.name.includes('-dev-'));
  expect(dev.map((each) => each.name)).toEqual(['e2e-main-pair-dev-spin-1']);
});

test('remove takes one environment away and leaves its data until told otherwise', async () => {
  expect((await pair.cu('remove')).exitCode).toBe(2);

  const removed = await pair.cu('remove', '--yes');

  expect(removed.exitCode, removed.all).toBe(0);
  expect((await pair.containers('host1')).map((each) => each.name).toSorted((a, b) => a.localeCompare(b))).toEqual([
    'e2e-main-pair-stable-broker-1',
    'e2e-main-pair-stable-site-1',
  ]);
  expect(await volumes()).toContain('e2e-main-pair-dev-broker');
  expect((await pair.cu('remove', '--yes', '--volumes')).exitCode).toBe(0);
  expect(await volumes()).not.toContain('e2e-main-pair-dev-broker');
  expect(await volumes()).toContain('e2e-main-pair-stable-broker');
  expect(await answerOf(8532)).toBe('one');
  expect(await answerOf(8533)).toBe('one');
});

async function answerOf(port: number): Promise<string> {
  const answer = await fetch(`http://${pair.testbed.hosts[0]?.address}:${port}/`);
  return (await answer.text()).trim();
}

async function volumes(): Promise<string> {
  return pair.docker('host1', 'volume', 'ls', '-q');
}

function removedNames(listing: string): readonly string[] {
  return listing.split('\n').flatMap((line) => /e2e-main-pair:\S+/.exec(line)?.[0] ?? []);
}
