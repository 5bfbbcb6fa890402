import { appendFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { randomOf, startLoad } from '../chaos/load.ts';
import { eventually, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const APP = fileURLToPath(new URL('../chaos/app', import.meta.url));
const PROJECT = 'e2e-chaos';
const TOKEN = 'e2e-token-0123456789abcdef';
const SEEDS = (process.env['CU_CHAOS_SEEDS'] ?? '1').split(',').map(Number);
/** How often each event happens for each seed; `npm run chaos` sets more. */
const TIMES = Number(process.env['CU_CHAOS_TIMES'] ?? '1');
const REPORT = process.env['CU_CHAOS_REPORT'];
const WORKERS = ['host1', 'host2', 'host3'] as const;

const CONFIG = `
storage: { root: "file:///mnt/shared" }
secrets: { files: [.cu/secrets.env], required: [API_TOKEN] }
images:
  app: { repository: e2e-chaos, build: { context: ., args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null, PIP_TRUSTED_HOST: null } } }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6511:6379"] }
  worker:
    kind: worker
    image: app
    drain: 15s
    concurrency: 2
    env: { CU_LEASE: "3", CU_MAX_LOST: "50" }
    mounts: ["/mnt/shared/e2e-chaos-marks:/marks"]
    on: [host1, host2, host3]
  webserver: { kind: webserver, image: app, secrets: [API_TOKEN], on: [host1], ports: ["*:8511"], health: { stable: 300ms } }
`;

let scenario: Scenario;
let url = '';
let version = 0;

beforeAll(async () => {
  scenario = await startScenario({
    project: PROJECT,
    config: CONFIG,
    template: APP,
    files: { '.cu/secrets.env': `API_TOKEN=${TOKEN}\n` },
  });
  await scenario.testbed.exec('host1', ['mkdir', '-p', '-m', '1777', '/mnt/shared/e2e-chaos-marks']);
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
  url = `http://${scenario.testbed.hosts[0]?.address}:8511`;
});

afterAll(async () => {
  for (const host of WORKERS) {
    await scenario.testbed.connect(host);
  }
  await scenario.testbed.exec('host1', ['rm', '-rf', '/mnt/shared/e2e-chaos-marks', '/mnt/shared/e2e-chaos-dev']);
  await scenario[Symbol.asyncDispose]();
});

type Random = () => number;

const EVENTS: readonly (readonly [string, (random: Random) => Promise<void>])[] = [
  ['TERM of a worker', (random) => signalWorker(random, 'TERM')],
  ['TERM, then KILL of a worker', termThenKill],
  ['KILL of a worker', (random) => signalWorker(random, 'KILL')],
  ['KILL of one child', killChild],
  ['TERM of Redis', () => restartBroker('TERM')],
  ['KILL of Redis', () => restartBroker('KILL')],
  ['a Redis that is frozen for 10 s', freezeBroker],
  ['a host that is cut off for 8 s', cutOff],
  ['a rolling deploy of three hosts', rollingDeploy],
  ['two versions at once', twoVersions],
];

test.each(EVENTS)('%s loses no task and does none twice', async (name, event) => {
  for (const seed of SEEDS) {
    const random = randomOf(seed * 7919);
    const before = await audit();
    const load = startLoad({
      url,
      token: TOKEN,
      prefix: `${name.replaceAll(/\W+/g, '-')}-${seed}-${Date.now()}`,
      random,
    });
    for (let time = 0; time < TIMES; time += 1) {
      await startsGrowBy(8);
      await event(random);
    }
    await startsGrowBy(8);
    await load.stop();

    const after = await eventually(async () => {
      const now = await audit();
      expect(now.queued + now.running + now.waiting).toBe(0);
      return now;
    }, 90_000);
    const marks = await readMarks();
    const done = new Set(marks.filter((mark) => mark.startsWith('D ')).map((mark) => mark.slice(2)));
    const missing = load.accepted.filter((id) => !done.has(id));
    const starts = marks.filter((mark) => mark.startsWith('S ') && load.accepted.includes(mark.slice(2))).length;
    const doubled = after.finished - before.finished - (after.entries - before.entries);
    await report(
      `| ${name} | ${seed} | ${load.accepted.length} | ${load.refused} | ${starts} | ${missing.length} | ${doubled} |`,
    );
    expect(after.problems, `${name}, seed ${seed}`).toEqual([]);
    expect(missing, `${name}, seed ${seed}`).toEqual([]);
    expect(doubled, `${name}, seed ${seed}`).toBe(0);
  }
});

interface Audit {
  readonly queued: number;
  readonly running: number;
  readonly waiting: number;
  readonly dead: number;
  readonly failed: number;
  /** What failed and why: nothing should, whatever dies. */
  readonly problems: readonly unknown[];
  /** How often a job was committed. */
  readonly finished: number;
  /** How many jobs were. */
  readonly entries: number;
}

async function audit(): Promise<Audit> {
  return eventually(async () => {
    const text = await scenario.docker('host1', 'exec', `${PROJECT}-dev-worker-1`, 'python', 'audit.py');
    const found: Audit = JSON.parse(text);
    return found;
  });
}

async function readMarks(): Promise<readonly string[]> {
  const { stdout } = await scenario.testbed.exec('host1', [
    'sh',
    '-c',
    'cat /mnt/shared/e2e-chaos-marks/marks 2>/dev/null || true',
  ]);
  return stdout.split('\n');
}

/** Events come after progress that was seen: by the clock, nothing might be running. */
async function startsGrowBy(count: number): Promise<void> {
  const started = async (): Promise<number> => (await readMarks()).filter((mark) => mark.startsWith('S ')).length;
  const before = await started();
  await eventually(async () => expect(await started()).toBeGreaterThanOrEqual(before + count), 90_000);
}

function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

/** From outside its container, so that the engine starts it again as after any crash. */
async function signalWorker(random: Random, signal: string): Promise<void> {
  const host = pick(random, WORKERS);
  await scenario.testbed.exec(host, ['sh', '-c', `kill -${signal} ${await processOf(host)}`]);
}

async function processOf(host: string): Promise<string> {
  return (await scenario.docker(host, 'inspect', '--format', '{{.State.Pid}}', `${PROJECT}-dev-worker-1`)).trim();
}

async function termThenKill(random: Random): Promise<void> {
  const host = pick(random, WORKERS);
  const pid = await processOf(host);
  await scenario.testbed.exec(host, ['sh', '-c', `kill -TERM ${pid}; sleep 0.2; kill -KILL ${pid} 2>/dev/null`]);
}

async function killChild(random: Random): Promise<void> {
  const host = pick(random, WORKERS);
  const script = `pids=$(pgrep -P ${await processOf(host)}); set -- $pids; [ $# -eq 0 ] || kill -KILL $1`;
  await scenario.testbed.exec(host, ['sh', '-c', script]);
}

async function restartBroker(signal: string): Promise<void> {
  const pid = (
    await scenario.docker('host1', 'inspect', '--format', '{{.State.Pid}}', `${PROJECT}-dev-broker-1`)
  ).trim();
  await scenario.testbed.exec('host1', ['sh', '-c', `kill -${signal} ${pid}`]);
}

async function freezeBroker(): Promise<void> {
  await scenario.docker('host1', 'pause', `${PROJECT}-dev-broker-1`);
  await sleep(10_000);
  await scenario.docker('host1', 'unpause', `${PROJECT}-dev-broker-1`);
}

async function cutOff(random: Random): Promise<void> {
  const host = pick(random, ['host2', 'host3']);
  await scenario.testbed.disconnect(host);
  await sleep(8000);
  await scenario.testbed.connect(host);
}

async function rollingDeploy(): Promise<void> {
  await deployNext();
}

async function twoVersions(): Promise<void> {
  await deployNext('host2/worker');
  await startsGrowBy(20);
  const deployed = await scenario.cu('deploy', '--yes');
  expect(deployed.exitCode, deployed.all).toBe(0);
}

/** New code: the text of the task changes, and with it its version. */
async function deployNext(...target: readonly string[]): Promise<void> {
  version += 1;
  await scenario.write('version.txt', `${version}\n`);
  const tasks = await scenario.read('tasks.py');
  await scenario.write(
    'tasks.py',
    tasks.replace(/ {4}mark\(f"S \{id\}"\)( or \d+)?/, `    mark(f"S {id}") or ${version}`),
  );
  const deployed = await scenario.cu('deploy', '--yes', ...target);
  expect(deployed.exitCode, deployed.all).toBe(0);
}

async function report(line: string): Promise<void> {
  if (REPORT !== undefined) await appendFile(REPORT, `${line}\n`);
}
