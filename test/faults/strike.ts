import { setTimeout as sleep } from 'node:timers/promises';
import { followCu } from '../support/follow.ts';
import type { FollowedCu } from '../support/follow.ts';
import type { Fault, Hit } from './faults.ts';
import { leftovers } from './leftovers.ts';
import { describeFailures, startLoad } from './load.ts';
import type { HostLoad } from './load.ts';
import { hasSwitched } from './points.ts';
import type { Point } from './points.ts';
import { VICTIM } from './scene.ts';
import type { Scene } from './scene.ts';

export interface Strike {
  /** What did not hold, in words; empty when the deploy survived. */
  readonly problems: readonly string[];
  readonly exitCode: number | undefined;
  readonly seconds: number;
}

/** Within this a deploy has to end by itself, also while its host is away. */
const END_WITHIN_MS = 120_000;

const TASKS_WITHIN_MS = 60_000;
const CLIENTS = 12;
const TAIL_LINES = 12;
const TAIL_COLUMNS = 400;

/** Deploys a new version under load, gives it a fault at a point, heals, deploys again and looks at everything. */
export async function strike(scene: Scene, fault: Fault, point: Point): Promise<Strike> {
  await settle(scene, fault);
  const startedAt = performance.now();
  const version = await scene.nextVersion();
  const load = startLoad({ targets: scene.targets, clients: CLIENTS });
  const tasks = scene.startTasks();
  const running = followCu(scene.scenario, {}, 'deploy');
  const problems: string[] = [];
  let hit: Outcome | undefined;
  try {
    hit = await hitAt(point, fault, { scene, running, version });
    problems.push(...hit.problems);
    problems.push(...(await converge(scene, version)));
  } catch (error) {
    problems.push(tail(error instanceof Error ? error.message : String(error)));
  } finally {
    running.kill('SIGKILL');
    await fault.heal(scene);
    const loads = await load.stop();
    problems.push(...failuresOf(loads, isExcused(fault, hit?.wasSwitched === true)));
    const report = await tasks?.stop(TASKS_WITHIN_MS);
    if (report !== undefined && report.lost.length > 0)
      problems.push(`${report.lost.length} of ${report.accepted} accepted tasks are lost: ${report.lost.join(', ')}`);
  }
  if (hit !== undefined) problems.push(...(await leftovers(scene)));
  return { problems, exitCode: hit?.exitCode, seconds: Math.round((performance.now() - startedAt) / 1000) };
}

/** A fleet that is well and runs one version, whatever the strike before has left. */
async function settle(scene: Scene, fault: Fault): Promise<void> {
  await fault.heal(scene);
  await scene.clearKnobs();
  await scene.configure(fault.settings ?? {});
  for (let attempt = 1; ; attempt += 1) {
    const settled = await scene.scenario.cu('deploy', '--yes');
    if (settled.exitCode === 0) return;
    if (attempt === 2) throw new Error(`nothing to start from: ${tail(settled.all)}`);
  }
}

interface Outcome {
  readonly exitCode: number | undefined;
  readonly wasSwitched: boolean;
  readonly problems: readonly string[];
}

async function hitAt(point: Point, fault: Fault, hit: Hit): Promise<Outcome> {
  const { scene, running } = hit;
  const problems: string[] = [];
  try {
    await within(END_WITHIN_MS, `the point "${point.name}"`, reach(point, running));
    const wasSwitched = hasSwitched(running.lines, VICTIM);
    const verdict = await fault.inject(hit);
    const ended = await endOf(running);
    if (ended.hung) problems.push(`cu hung for more than ${END_WITHIN_MS / 1000} s: ${tail(ended.all)}`);
    else if (!fault.exits.includes(ended.exitCode))
      problems.push(`cu exited ${ended.exitCode}, not ${fault.exits.join(' or ')}: ${tail(ended.all)}`);
    if (verdict !== undefined) problems.push(...(await verdict(ended.exitCode)));
    return { exitCode: ended.exitCode, wasSwitched, problems };
  } finally {
    await fault.heal(scene);
  }
}

function reach(point: Point, running: FollowedCu): Promise<void> {
  return running.until(() => point.isReached(running.lines, VICTIM));
}

async function endOf(running: FollowedCu) {
  let hung = false;
  const guard = setTimeout(() => {
    hung = true;
    running.kill('SIGKILL');
  }, END_WITHIN_MS);
  try {
    const ended = await running.ended;
    return { ...ended, hung };
  } finally {
    clearTimeout(guard);
  }
}

/** One run must be enough, whatever happened; the one after it finds nothing to do. */
async function converge(scene: Scene, version: string): Promise<readonly string[]> {
  const next = await scene.scenario.cu('deploy');
  if (next.exitCode !== 0) return [`the next deploy exited ${next.exitCode}: ${tail(next.all)}`];
  const problems: string[] = [];
  const versions = await scene.versions();
  if (versions.some((each) => each !== version))
    problems.push(`after the next deploy the hosts answer ${versions.join(', ')} instead of ${version}`);
  const third = await scene.scenario.cu('deploy');
  if (third.exitCode !== 0 || third.stdout !== 'nothing to do')
    problems.push(`the deploy after the next one did something: ${tail(third.all)}`);
  return problems;
}

function isExcused(fault: Fault, wasSwitched: boolean): (host: string) => boolean {
  return (host) =>
    host === VICTIM && (fault.excuses === 'victim' || (fault.excuses === 'victim-once-switched' && wasSwitched));
}

function failuresOf(loads: readonly HostLoad[], isExcusedHost: (host: string) => boolean): readonly string[] {
  return describeFailures(loads.filter(({ host }) => !isExcusedHost(host)));
}

async function within<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  const over = new AbortController();
  const limit = async (): Promise<never> => {
    await sleep(timeoutMs, undefined, { signal: over.signal });
    throw new Error(`${what} did not come within ${timeoutMs / 1000} s`);
  };
  try {
    return await Promise.race([work, limit()]);
  } finally {
    over.abort();
  }
}

/** The end of what cu said, which is where it tells why. */
function tail(text: string): string {
  const lines = text.trimEnd().split('\n');
  return lines
    .slice(-TAIL_LINES)
    .map((line) => line.slice(0, TAIL_COLUMNS))
    .join('\n');
}
