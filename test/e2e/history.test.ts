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

  const hidden = await theirs.cu('history');
  const stopped = await theirs.cu('stop');
  const deployed = await theirs.cu('deploy');

  expect(hidden.exitCode, hidden.all).toBe(0);
  expect(hidden.stderr).toMatch(/host1.*the next deploy makes it anew/);
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

test('a hold on a host that left the config is lifted with the others', async () => {
  const config = await mine.read('cu.config.yaml');
  await mine.cu('lock', '-m', 'host2 moves out');
  try {
    await mine.write('cu.config.yaml', config.replace(/^ {2}host2: .*\n/m, '').replace('[host1, host2]', '[host1]'));
    const unlocked = await mine.cu('unlock', '--json');

    expect(JSON.parse(unlocked.stdout.split('\n').at(-1) ?? '')).toMatchObject({ exitCode: 0, hosts: HOSTS });
  } finally {
    await mine.write('cu.config.yaml', config);
  }
  expect((await mine.cu('unlock')).stdout).toBe(`${PROJECT} dev was not locked`);
});

test("somebody else's hold has to be lifted before one can leave one's own", async () => {
  await writeHold('host2', { message: 'demo at noon', who: 'ana@laptop', since: 1_795_428_720_000 });

  const refused = await mine.cu('lock', '-m', 'mine now');
  const unlocked = await mine.cu('unlock');

  expect(refused.exitCode, refused.all).toBe(5);
  expect(refused.stderr).toContain('is locked by ana@laptop since');
  expect(refused.stderr).toContain('demo at noon');
  expect(unlocked.stdout).toContain('ana@laptop had locked it since');
  expect((await mine.cu('unlock')).stdout).toBe(`${PROJECT} dev was not locked`);
});

test('a host that does not answer is a warning, and none that does an error', async () => {
  const config = await mine.read('cu.config.yaml');
  const away = config.replace(/host2: \{ address: [^,]+,/, 'host2: { address: 127.0.0.2,');
  try {
    await mine.write('cu.config.yaml', away);
    const partly = await mine.cu('history');
    const held = await mine.cu('lock', '-m', 'too far away');
    await mine.write('cu.config.yaml', away.replace(/host1: \{ address: [^,]+,/, 'host1: { address: 127.0.0.2,'));
    const none = await mine.cu('history');

    expect(partly.exitCode, partly.all).toBe(0);
    expect(partly.stderr).toMatch(/host2.*what it remembers is left out/);
    expect(held.exitCode, held.all).toBe(3);
    expect(none.exitCode, none.all).toBe(3);
  } finally {
    await mine.write('cu.config.yaml', config);
  }
  expect((await mine.cu('unlock')).stdout).toBe(`${PROJECT} dev was not locked`);
});

/** As another person's cu does it. */
async function writeHold(host: string, hold: object): Promise<void> {
  const script = `cd $(mktemp -d) && mkdir now && printf %s '${JSON.stringify(hold)}' > now/hold && tar -c now | docker cp - ${PROJECT}-dev-state:/state`;
  const result = await mine.testbed.exec(host, ['sh', '-c', script]);
  if (result.exitCode !== 0) throw new Error(result.stderr);
}

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
