import { afterAll, beforeAll, expect, test } from 'vitest';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-history';
const CONFIG = `
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . } } }
services:
  tiles: { kind: container, image: app, command: [sh, /app.sh], drain: 1s, on: [host1, host2] }
`;
const HOSTS = ['host1', 'host2'];

let mine: Scenario;
/** The same project, deployed by somebody else from another folder, who logs in as another user. */
let theirs: Scenario;

beforeAll(async () => {
  mine = await startScenario({ project: PROJECT, config: CONFIG, files: SMALL_APP, hosts: HOSTS });
  theirs = await startScenario({ project: PROJECT, config: CONFIG, files: SMALL_APP, hosts: HOSTS, user: 'second' });
});

afterAll(async () => {
  await mine[Symbol.asyncDispose]();
  await theirs[Symbol.asyncDispose]();
});

test('a hold needs a reason', async () => {
  const result = await mine.cu('lock');

  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain('-m WHY');
});

test('a hold on hosts that nothing was deployed to keeps everybody away until it is lifted', async () => {
  const locked = await mine.cu('lock', '-m', 'measuring until six');
  const refused = await theirs.cu('deploy');

  expect(locked.exitCode, locked.all).toBe(0);
  expect(locked.stdout).toBe(`${PROJECT} dev is locked on host1, host2: measuring until six`);
  expect(refused.exitCode, refused.all).toBe(5);
  expect(refused.stderr).toMatch(
    new RegExp(`${PROJECT} dev is locked by \\S+@\\S+ since \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d: measuring until six`),
  );
  expect(refused.stderr).toContain('cu unlock');
  expect(await mine.containers('host1')).toEqual([]);

  const unlocked = await theirs.cu('unlock');
  const deployed = await theirs.cu('deploy');

  expect(unlocked.exitCode, unlocked.all).toBe(0);
  expect(unlocked.stdout).toMatch(/is unlocked: \S+@\S+ had locked it since .*: measuring until six/);
  expect(deployed.exitCode, deployed.all).toBe(0);
  expect(await mine.containers('host2')).toHaveLength(1);
});

test('what is held is neither stopped, started, restarted nor removed, but can be looked at', async () => {
  const before = await mine.containers('host1');
  await mine.cu('lock', '-m', 'measuring');

  for (const argv of [['stop'], ['start'], ['restart'], ['remove', '--yes'], ['deploy', 'host1']]) {
    const result = await theirs.cu(...argv);
    expect(result.exitCode, result.all).toBe(5);
  }
  expect((await theirs.cu('deploy', '--dry-run')).exitCode).toBe(0);
  expect((await theirs.cu('status')).exitCode).toBe(0);
  expect(await mine.containers('host1')).toEqual(before);
});

test('a hold outlives docker container prune', async () => {
  for (const host of HOSTS)
    await mine.docker(host, 'container', 'prune', '-f', '--filter', `label=cu.project=${PROJECT}`);

  const stopped = await theirs.cu('stop');
  const deployed = await theirs.cu('deploy');

  expect(stopped.exitCode, stopped.all).toBe(5);
  expect(deployed.exitCode, deployed.all).toBe(5);
});

test('lifting a hold twice is no error', async () => {
  const first = await mine.cu('unlock', '--json');
  const second = await mine.cu('unlock');

  expect(JSON.parse(first.stdout.split('\n').at(-1) ?? '')).toMatchObject({
    type: 'result',
    exitCode: 0,
    hosts: HOSTS,
    hold: { message: 'measuring' },
  });
  expect(second).toMatchObject({ exitCode: 0, stdout: `${PROJECT} dev was not locked` });
  expect((await mine.cu('deploy')).exitCode).toBe(0);
});

test('the history of a project that has none is empty, and one object as JSON', async () => {
  await using fresh = await startScenario({
    project: `${PROJECT}-fresh`,
    config: CONFIG,
    files: SMALL_APP,
    hosts: HOSTS,
  });

  const text = await fresh.cu('history');
  const json = await fresh.cu('history', '--json', '--limit', '3');

  expect(text).toMatchObject({ exitCode: 0, stdout: `no release of ${PROJECT}-fresh dev is known` });
  expect(JSON.parse(json.stdout)).toMatchObject({ project: `${PROJECT}-fresh`, environment: 'dev', releases: [] });
});
