import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { followCu } from '../support/follow.ts';
import type { FollowedCu } from '../support/follow.ts';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-fail-away';
const CONFIG = `
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . } } }
services:
  jobs: { kind: container, image: app, command: [sh, /app.sh], on: [host1, host2, host3], rollout: start-first, drain: 1s }
  late: { kind: webserver, image: app, command: [sh, /late.sh], on: [host3], ports: ["*:8621"], drain: 1s, dependsOn: [jobs], health: { stable: 300ms } }
`;
const APP = SMALL_APP['app.sh'] ?? '';
/** Slow enough to be away in the middle of. */
const LATE = APP.replace('if [ -n', 'sleep 3\nif [ -n');
const HOSTS = ['host1', 'host2', 'host3'];

let scenario: Scenario;
let config: string;

beforeAll(async () => {
  const files = {
    ...SMALL_APP,
    Dockerfile: 'FROM busybox\nCOPY app.sh late.sh /\n',
    '.dockerignore': '*\n!*.sh\n!Dockerfile\n',
    'late.sh': LATE,
  };
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files });
  config = await scenario.read('cu.config.yaml');
  const first = await scenario.cu('deploy');
  expect(first.exitCode, first.all).toBe(0);
});

afterEach(() => scenario.write('cu.config.yaml', config));

afterAll(() => scenario[Symbol.asyncDispose]());

async function changeCode(): Promise<void> {
  const version = randomBytes(6).toString('hex');
  for (const [name, text] of Object.entries({ 'app.sh': APP, 'late.sh': LATE }))
    await scenario.write(name, text.replace('one', version));
}

/** Ids, names and states, and the project's images. */
async function stateOf(hosts: readonly string[]): Promise<unknown> {
  return Promise.all(
    hosts.map(async (host) => [await scenario.containers(host), await scenario.docker(host, 'images', '-q', PROJECT)]),
  );
}

/** Ends the run itself when it takes longer than any fault may hold it up, so that the host gets well again. */
async function endOf(running: FollowedCu): Promise<{ readonly exitCode: number | undefined; readonly all: string }> {
  const limit = setTimeout(() => running.kill('SIGKILL'), 90_000);
  try {
    return await running.ended;
  } finally {
    clearTimeout(limit);
  }
}

/** A deploy that is about to replace the slow webserver of host3. */
async function deployUntilLate(): Promise<FollowedCu> {
  await changeCode();
  const running = followCu(scenario, {}, 'deploy');
  await running.until((line) => line.type === 'step-started' && line.step === `host3/${PROJECT}-dev-late-1/replace`);
  return running;
}

async function expectToConverge(): Promise<void> {
  const next = await scenario.cu('deploy');

  expect(next.exitCode, next.all).toBe(0);
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
  const found = await Promise.all(
    HOSTS.map(async (host) => (await scenario.containers(host)).map(({ name, state }) => `${host} ${name} ${state}`)),
  );
  expect(found.flat().toSorted()).toEqual([
    `host1 ${PROJECT}-dev-jobs-1 running`,
    `host2 ${PROJECT}-dev-jobs-1 running`,
    `host3 ${PROJECT}-dev-jobs-1 running`,
    `host3 ${PROJECT}-dev-late-1 running`,
  ]);
}

test('a host that is down at the start stops a deploy before anything changes, or is left out when asked', async () => {
  await changeCode();
  const before = await stateOf(['host1', 'host2']);
  await scenario.testbed.kill('host3');
  try {
    const refused = await scenario.cu('deploy');

    expect(refused.exitCode, refused.all).toBe(3);
    expect(await stateOf(['host1', 'host2'])).toEqual(before);
    expect(refused.stderr).toMatch(/host3: .* cannot be reached/);

    const skipping = await scenario.cu('deploy', '--skip-unreachable');

    expect(skipping.exitCode, skipping.all).toBe(3);
    expect((await scenario.containers('host1'))[0]?.id).not.toBe(idIn(before));
    expect(skipping.stdout).toMatch(/^host3 +unreachable, left out$/m);
    expect(skipping.stdout).toMatch(/^host1 .*replaced/m);
    expect(skipping.stdout).toMatch(/^host2 .*replaced/m);
  } finally {
    await scenario.testbed.start('host3');
  }

  await expectToConverge();
});

test('a host that dies midway ends the deploy in bounded time and is named, and the next one converges', async () => {
  const running = await deployUntilLate();

  await scenario.testbed.kill('host3');
  try {
    const { exitCode, all } = await endOf(running);

    expect(exitCode, all).toBe(3);
    expect(all).toMatch(/cu: host3: /);
  } finally {
    await scenario.testbed.start('host3');
  }
  await expectToConverge();
});

test('a host that freezes midway ends the deploy in bounded time and is named, and the next one converges', async () => {
  const running = await deployUntilLate();

  await scenario.testbed.pause('host3');
  try {
    const { exitCode, all } = await endOf(running);

    expect(exitCode, all).toBe(3);
    expect(all).toMatch(/cu: host3: /);
  } finally {
    await scenario.testbed.unpause('host3');
  }
  await expectToConverge();
});

test('Ctrl-C ends a deploy in time although a host froze midway, and the next one converges', async () => {
  const running = await deployUntilLate();

  await scenario.testbed.pause('host3');
  try {
    const asked = performance.now();
    running.kill('SIGINT');
    const { exitCode, all } = await endOf(running);

    expect(exitCode, all).toBe(130);
    // Seven seconds, and what a busy machine of two cores adds.
    expect(performance.now() - asked, all).toBeLessThan(12_000);
    expect(all).toContain('host3');
  } finally {
    await scenario.testbed.unpause('host3');
  }
  await expectToConverge();
});

test('an SSH session that is cut midway is named, and the next deploy converges', async () => {
  const running = await deployUntilLate();

  await scenario.testbed.killSessions('host3');
  const { exitCode, all } = await endOf(running);

  expect(exitCode, all).toBe(3);
  expect(all).toMatch(/cu: host3: the connection to .* was lost/);
  await expectToConverge();
});

test('a singleton is not started elsewhere while the host that it ran on does not answer, unless that host is given up', async () => {
  const withClock = (host: string): Promise<void> =>
    scenario.write(
      'cu.config.yaml',
      `${config}  broker: { kind: redis, on: [host1], ports: ["eth0:8626:6379"] }\n  clock: { kind: beat, image: app, command: [sh, /app.sh], on: [${host}], drain: 1s }\n`,
    );
  const clocks = async (host: string): Promise<readonly string[]> =>
    (await scenario.containers(host)).filter(({ name }) => name.includes('-clock-')).map(({ state }) => state);
  await withClock('host3');
  const first = await scenario.cu('deploy');
  expect(first.exitCode, first.all).toBe(0);
  await withClock('host1');
  await scenario.testbed.kill('host3');
  try {
    const refused = await scenario.cu('deploy', 'host1');

    expect(refused.exitCode, refused.all).toBe(3);
    expect(refused.stderr).toContain('clock may still run on host3, which was not reached');
    expect(await clocks('host1')).toEqual([]);

    const given = await scenario.cu('deploy', 'host1', '--skip-unreachable');

    expect([0, 3], given.all).toContain(given.exitCode);
    expect(await clocks('host1')).toEqual(['running']);
  } finally {
    await scenario.testbed.start('host3');
  }

  const healed = await scenario.cu('deploy');

  expect(healed.exitCode, healed.all).toBe(0);
  expect([await clocks('host1'), await clocks('host3')]).toEqual([['running'], []]);
  await scenario.write('cu.config.yaml', config);
  expect(await scenario.cu('deploy', '--prune')).toMatchObject({ exitCode: 0 });
});

test('an engine that does not run is told apart from a host that is away', async () => {
  const before = await stateOf(HOSTS);
  await scenario.write(
    'cu.config.yaml',
    config.replace('host3: { ', 'host3: { dockerSocket: /run/no-engine-here.sock, '),
  );

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(3);
  expect(await stateOf(HOSTS)).toEqual(before);
  expect(result.stderr).toMatch(/cu: host3: .*\/run\/no-engine-here\.sock/);
  expect(result.stderr).toContain('hint:');
});

test('a user who may not use Docker is told so, with what to do', async () => {
  const before = await stateOf(HOSTS);
  await scenario.write('cu.config.yaml', config.replace('user: deploy', 'user: plain'));

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(3);
  expect(await stateOf(HOSTS)).toEqual(before);
  for (const host of HOSTS) expect(result.stderr).toMatch(new RegExp(`cu: ${host}: plain may not use Docker`));
  expect(result.stderr).toMatch(/hint: .*docker/);
});

test('a host whose key is not known is refused where nobody can be asked', async () => {
  const before = await stateOf(HOSTS);
  await scenario.write('cu.config.yaml', config.replace(/knownHosts: \[.*?\] /, 'knownHosts: [] '));

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(3);
  expect(await stateOf(HOSTS)).toEqual(before);
  expect(result.stderr).toMatch(/key .*not known|unknown/i);
  expect(result.stderr).toMatch(/SHA256:/);
});

test('a host whose key has changed is refused, with both fingerprints', async () => {
  const before = await stateOf(HOSTS);
  const [host1, , host3] = scenario.testbed.hosts;
  const foreign = (host1?.hostKeyLines ?? []).map((line) => line.replace(host1?.address ?? '', host3?.address ?? ''));
  const lines = scenario.testbed.hosts.flatMap((host) => (host === host3 ? foreign : host.hostKeyLines));
  await scenario.write(
    'cu.config.yaml',
    config.replace(/knownHosts: \[.*?\] /, `knownHosts: ${JSON.stringify(lines)} `),
  );

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(3);
  expect(await stateOf(HOSTS)).toEqual(before);
  expect(result.stderr).toMatch(/host3/);
  expect(new Set(result.stderr.match(/SHA256:\S{40,}/g)).size).toBe(2);
});

function idIn(state: unknown): string | undefined {
  return /"id":"([0-9a-f]+)"/.exec(JSON.stringify(state))?.[1];
}
