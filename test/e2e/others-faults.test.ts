import { afterAll, beforeAll, expect, test } from 'vitest';
import { followCu } from '../support/follow.ts';
import { eventually, SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

/**
 * Faults that were seen in other tools, each as a user would meet it here. docs/reliability.md lists all of them, with
 * the tests of those that stand elsewhere.
 */
const PROJECT = 'e2e-others';
const CONFIG = `
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . } } }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:8671:6379"] }
  clock: { kind: beat, image: app, command: [sh, /app.sh], on: [host1], drain: 3s, health: { type: none, stable: 300ms } }
  loop: { kind: container, image: app, on: [host1, host2], drain: 2s, health: { type: none, stable: 300ms } }
`;

let scenario: Scenario;
let config = '';

beforeAll(async () => {
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files: SMALL_APP, hosts: ['host1', 'host2'] });
  config = await scenario.read('cu.config.yaml');
  await deploy();
});

afterAll(() => scenario[Symbol.asyncDispose]());

async function deploy(...options: readonly string[]): Promise<string> {
  const deployed = await scenario.cu('deploy', ...options);
  expect(deployed.exitCode, deployed.all).toBe(0);
  return deployed.all;
}

async function writeApp(version: string): Promise<void> {
  await scenario.write('app.sh', (SMALL_APP['app.sh'] ?? '').replace('VERSION=one', `VERSION=${version}`));
}

async function ids(): Promise<ReadonlyMap<string, string>> {
  const hosts = ['host1', 'host2'];
  const lists = await Promise.all(hosts.map((host) => scenario.containers(host)));
  return new Map(lists.flatMap((list, at) => list.map(({ name, id }) => [`${hosts[at]}/${name}`, id])));
}

test('a choice of targets goes round no lock: whoever has a host has it against all', async () => {
  await writeApp('locked');
  // It rests between its hosts for as long as the other one may take to be refused.
  const whole = followCu(scenario, {}, 'deploy', '--pause', '15s');
  await whole.until(({ type }) => type === 'plan');

  const part = await scenario.cu('deploy', 'host2/loop');

  const ended = await whole.ended;
  expect(part.exitCode, part.all).toBe(5);
  expect(part.stderr).toMatch(/is being changed by \S+@\S+ since .*cu deploy/);
  expect(ended.exitCode, ended.all).toBe(0);
});

test('a release task that a signal killed is a failure, and nothing is switched', async () => {
  const before = await ids();
  await writeApp('killed');
  // Not the first process of the container: that one hears no signal of its own.
  const command = `[sh, -c, "sh -c 'kill -9 $$'; exit $?"]`;
  const task = `tasks: { beforeSwitch: [{ service: loop, command: ${command} }] }`;
  await scenario.write('cu.config.yaml', `${config}${task}\n`);

  const failed = await scenario.cu('deploy');

  await scenario.write('cu.config.yaml', config);
  expect(failed.exitCode, failed.all).toBe(4);
  expect(failed.stderr).toMatch(/137|SIGKILL/);
  expect(await ids()).toEqual(before);
});

test('of a singleton there are never two: the old one has ended before the new one starts, also on another host', async () => {
  const since = Math.floor(Date.now() / 1000);
  await writeApp('alone');
  await deploy();
  await scenario.write('cu.config.yaml', config.replace(/^( {2}clock: .*)on: \[host1\]/m, '$1on: [host2]'));
  await deploy('--prune');

  const lives = await livesOfClock(since);

  // Ended on host1 (replaced), begun on host1, ended there (moved), begun on host2.
  expect(lives.map(({ host, event }) => `${event} ${host}`)).toEqual([
    'die host1',
    'start host1',
    'die host1',
    'start host2',
  ]);
  await scenario.write('cu.config.yaml', config);
  await deploy('--prune');
});

/** Starts and ends of the singleton's containers on all hosts, in the order in which they happened. */
async function livesOfClock(since: number): Promise<readonly { readonly host: string; readonly event: string }[]> {
  const filters = [
    'type=container',
    'event=start',
    'event=die',
    `label=cu.project=${PROJECT}`,
    'label=cu.service=clock',
  ];
  const argv = ['events', '--since', `${since}`, '--until', `${Math.ceil(Date.now() / 1000)}`];
  const all = await Promise.all(
    ['host1', 'host2'].map(async (host) => {
      const text = await scenario.docker(
        host,
        ...argv,
        ...filters.flatMap((filter) => ['--filter', filter]),
        '--format',
        '{{.TimeNano}} {{.Action}}',
      );
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => ({ host, time: BigInt(line.split(' ')[0] ?? '0'), event: line.split(' ')[1] ?? '' }));
    }),
  );
  return all.flat().toSorted((one, other) => (one.time < other.time ? -1 : 1));
}

test('a rollback needs no old container: it makes it again from its image, and with the settings of then', async () => {
  await scenario.write('cu.config.yaml', config.replace('  loop: {', '  loop: { env: { COLOUR: blue },'));
  await writeApp('later');
  await deploy();
  const logs = await scenario.cu('logs', 'host2/loop', '--tail', '5');
  expect(logs.stdout).toContain('version later');
  await scenario.docker('host2', 'container', 'prune', '-f', '--filter', `label=cu.project=${PROJECT}`);

  const back = await scenario.cu('rollback');

  expect(back.exitCode, back.all).toBe(0);
  await eventually(async () =>
    expect((await scenario.cu('logs', 'host2/loop', '--tail', '5')).stdout).toContain('version alone'),
  );
  const colour = await scenario.docker('host2', 'exec', `${PROJECT}-dev-loop-1`, 'sh', '-c', 'echo "[$COLOUR]"');
  expect(colour).toBe('[]');
  await scenario.write('cu.config.yaml', config);
});

test('an option that does not exist is refused with what was meant, and no host is asked', async () => {
  await scenario.write('cu.config.yaml', config.replace('  loop: {', '  loop: { memry: 2g,'));

  const refused = await scenario.cu('deploy');

  await scenario.write('cu.config.yaml', config);
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toMatch(/cu\.config\.yaml:\d+:\d+ services\.loop\.memry: .*[\s\S]*did you mean memory\?/);
});

test('what a failed container said last is shown once, with its name and what runs now on each host', async () => {
  await scenario.write('app.sh', 'echo "no licence found for $CU_HOST"; exit 3\n');

  const failed = await scenario.cu('deploy', 'loop');

  expect(failed.exitCode, failed.all).toBe(4);
  // The engine starts it again before it is given up: it may have said so twice, but that is shown in one place.
  expect(failed.stderr).toMatch(/^(?:(?!no licence).)*(?:\n.*no licence found for host1)+(?:(?!no licence)[\s\S])*$/s);
  expect(failed.stderr).toContain(`${PROJECT}-dev-loop-1 did not become healthy`);
  expect(failed.stdout).toMatch(
    /What runs now:\nhost1 +.*loop\/1 \S+ \(as before\).*\nhost2 +loop\/1 \S+ \(as before\)/,
  );
});
