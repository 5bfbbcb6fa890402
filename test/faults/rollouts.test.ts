import { afterAll, beforeAll, expect, test } from 'vitest';
import { followCu } from '../support/follow.ts';
import type { CuLine, PlannedStep } from '../support/follow.ts';
import { leftovers } from './leftovers.ts';
import { describeFailures, startLoad } from './load.ts';
import { startRecorder } from './recorder.ts';
import { FIRST, HOSTS, openScene, VICTIM } from './scene.ts';
import type { Scene } from './scene.ts';

/** Fewer for a short try: `CU_ROLLOUTS=3`. */
const ROLLOUTS = Number(process.env['CU_ROLLOUTS'] ?? '24');
const WORKER_ROLLOUTS = Math.min(ROLLOUTS, 10);
const MINUTE = 60_000;

let scene: Scene;

beforeAll(async () => {
  scene = await openScene({
    project: 'rollouts',
    port: 8651,
    workers: [...HOSTS],
    webDrain: '20s',
    workerDrain: '60s',
  });
  await deployAll();
}, 5 * MINUTE);

afterAll(() => scene[Symbol.asyncDispose]());

async function deployAll(...targets: readonly string[]): Promise<string> {
  await scene.clearKnobs();
  await scene.configure({});
  const version = await scene.nextVersion();
  const deployed = await scene.scenario.cu('deploy', '--yes', ...targets);
  expect(deployed.exitCode, deployed.all).toBe(0);
  return version;
}

/** Containers by id and start: another number means that somebody touched it. */
async function brokerLife(): Promise<string> {
  const name = `${scene.scenario.project}-dev-broker-1`;
  return scene.scenario.docker(FIRST, 'inspect', '--format', '{{.Id}} {{.State.StartedAt}} {{.RestartCount}}', name);
}

test(
  `${ROLLOUTS} rolling deploys under load fail no request and leave Redis alone`,
  async () => {
    const broker = await brokerLife();
    const load = startLoad({ targets: scene.targets, clients: 40, withStreams: true });
    const deployed: string[] = [];
    try {
      for (let number = 0; number < ROLLOUTS; number += 1) {
        const version = await deployAll();
        deployed.push(version);
        expect(await scene.versions()).toEqual([version, version, version]);
      }
    } finally {
      const loads = await load.stop();

      expect(describeFailures(loads)).toEqual([]);
      expect(loads[0]?.downloads, 'whole downloads').toBeGreaterThan(0);
      expect(loads[0]?.echoes, 'echoes of the websocket').toBeGreaterThan(0);
      for (const { versions } of loads) for (const version of deployed) expect(versions).toContain(version);
    }
    expect(await brokerLife()).toBe(broker);
    expect(await leftovers(scene)).toEqual([]);
  },
  (2 + ROLLOUTS * 1.5) * MINUTE,
);

test(
  `${WORKER_ROLLOUTS} rolling deploys of three worker hosts lose no task of 0.1 to 20 s`,
  async () => {
    // Short ones are many and long ones few, as in life; two at once on each host keep up with it.
    const seconds = (): number => 0.1 * 200 ** (Math.random() ** 3);
    const tasks = scene.startTasks(seconds, 700);
    const deployed: string[] = [];
    for (let number = 0; number < WORKER_ROLLOUTS; number += 1) deployed.push(await deployAll('worker'));

    const report = await tasks?.stop(2 * MINUTE);

    expect(report?.lost).toEqual([]);
    expect(report?.accepted).toBeGreaterThan(WORKER_ROLLOUTS);
    expect(report?.versions).toContain(deployed.at(-1));
    expect(await leftovers(scene)).toEqual([]);
  },
  (3 + WORKER_ROLLOUTS * 2) * MINUTE,
);

/** With host3 bad: what each host answers afterwards, `old` or `new`. */
const POLICIES = [
  { onFailure: 'rollback', after: ['old', 'old', 'old'] },
  { onFailure: 'stop', after: ['new', 'new', 'old'] },
  { onFailure: 'continue', after: ['new', 'new', 'old'] },
] as const;

test.each(POLICIES)('one bad host of three, onFailure $onFailure: $after', async ({ onFailure, after }) => {
  const old = await deployAll('web');
  await scene.configure({ onFailure });
  const fresh = await scene.nextVersion();
  await scene.setKnob(`${fresh} ${VICTIM} sick`);

  const failed = await scene.scenario.cu('deploy', 'web');

  expect(failed.exitCode, failed.all).toBe(4);
  expect((await scene.versions()).map((version) => (version === fresh ? 'new' : 'old'))).toEqual(after);
  expect(await scene.versions()).toContain(old);
  await scene.clearKnobs();
  const next = await scene.scenario.cu('deploy', 'web');
  expect(next.exitCode, next.all).toBe(0);
  expect(await scene.versions()).toEqual([fresh, fresh, fresh]);
});

test('`cu plan` asks the engines with GET alone', async () => {
  await deployAll();
  await using recorder = await startRecorder(scene.scenario.testbed, scene.hosts);
  await scene.configure({ dockerSocket: recorder.socket });
  await scene.nextVersion();

  const planned = await scene.scenario.cu('plan');

  expect(planned.exitCode, planned.all).toBe(0);
  expect(planned.stdout).toContain(`replace ${scene.scenario.project}-dev-web-1`);
  for (const host of scene.hosts) {
    const calls = await recorder.calls(host);
    expect(calls.length, host).toBeGreaterThan(3);
    expect(calls.filter((call) => !/^(GET|HEAD) /.test(call))).toEqual([]);
  }
});

test('a deploy does exactly the steps of the plan that it showed, in an order that the plan allows', async () => {
  await deployAll();
  await scene.nextVersion();
  const planned = await scene.scenario.cu('plan', '--json');
  const shown = stepsOf(JSON.parse(planned.stdout.split('\n').at(-1) ?? '{}'));

  const running = followCu(scene.scenario, {}, 'deploy');
  const { exitCode, all } = await running.ended;

  expect(exitCode, all).toBe(0);
  expect(shown.length).toBeGreaterThan(3);
  expect(stepsOf(running.lines.find(({ type }) => type === 'plan') ?? { type: 'none' })).toEqual(shown);
  const begun = running.lines.filter(({ type }) => type === 'step-started').map(({ step }) => step ?? '');
  expect(begun.toSorted()).toEqual(shown.map(({ step }) => step).toSorted());
  expect(tooEarly(running.lines, shown)).toEqual([]);
});

function stepsOf(line: CuLine): readonly PlannedStep[] {
  return line.steps ?? [];
}

/** Steps that began before all that they wait for had ended. */
function tooEarly(lines: readonly CuLine[], steps: readonly PlannedStep[]): readonly string[] {
  const done = new Set<string>();
  const early: string[] = [];
  for (const { type, step = '' } of lines) {
    if (type === 'step-done') done.add(step);
    const waits = type === 'step-started' ? (steps.find((each) => each.step === step)?.after ?? []) : [];
    for (const wait of waits) if (!done.has(wait)) early.push(`${step} before ${wait}`);
  }
  return early;
}
