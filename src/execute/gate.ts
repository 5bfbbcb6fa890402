import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerSpec } from '../core/container.ts';
import { CuError } from '../core/error.ts';
import { inspectContainer } from '../observe/observe.ts';
import type { InspectedContainer } from '../observe/parse.ts';
import { containerTail } from '../transport/container-log.ts';
import type { Host } from '../transport/host.ts';
import { probe } from './probe.ts';

/** How often one that has passed its gate is looked at until its window ends. */
const WATCH_MS = 500;

/** How long a crashed container that runs again is watched for its next crash. */
const NEXT_CRASH_MS = 2000;

export interface GateOptions {
  /** How long it has to stay healthy; the health check's own window when left out. */
  readonly stableMs?: number;
  readonly now: () => number;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
  /** Told when it was found healthy, before its window. */
  readonly onHealthy?: () => void;
}

/**
 * Waits until a started container is healthy and has stayed so for its stability window.
 * A crash, an OOM kill, a restart by the engine and a passed deadline are UNHEALTHY, with the last log lines.
 */
export async function waitHealthy(host: Host, id: string, spec: ContainerSpec, options: GateOptions): Promise<void> {
  const { health } = spec;
  const { now, signal, stableMs = health.stableMs } = options;
  const startedAt = now();
  const first = await inspectContainer(host, id, signal);
  const restartsBefore = first?.observed.restartCount ?? 0;
  let healthyAt: number | undefined;
  let failures = 0;
  let seen = 'nothing yet';
  for (;;) {
    const container = await inspectContainer(host, id, signal);
    const crash = crashOf(container);
    if (container === undefined || crash !== undefined)
      throw await unhealthy(host, id, spec, crash ?? 'it was removed');
    if (container.observed.restartCount > restartsBefore || container.observed.state === 'restarting') {
      const exitCode = container.observed.exitCode ?? (await nextExitCode(host, id, signal));
      const how = exitCode === undefined ? '' : ` with exit code ${exitCode}`;
      throw await unhealthy(host, id, spec, `it crashed${how} and was restarted by the engine`);
    }
    const problem = await probe(host, container, health, { secret: spec.probeSecret, signal });
    signal.throwIfAborted();
    if (problem === undefined) {
      failures = 0;
      if (healthyAt === undefined) options.onHealthy?.();
      healthyAt ??= now();
      if (now() - healthyAt >= stableMs) return;
    } else {
      healthyAt = undefined;
      seen = problem;
      if (now() - startedAt > health.startPeriodMs) failures += 1;
      options.onProgress(problem);
      if (health.retries > 0 && failures >= health.retries) {
        throw await unhealthy(host, id, spec, `${failures} health checks in a row failed: ${seen}`);
      }
    }
    // A stability window that has begun may end after the deadline; a container that is not healthy may not.
    if (healthyAt === undefined && now() - startedAt > health.timeoutMs) {
      throw await unhealthy(host, id, spec, `not healthy after ${Math.round(health.timeoutMs / 1000)} s: ${seen}`);
    }
    const remaining = healthyAt === undefined ? health.intervalMs : stableMs - (now() - healthyAt);
    await sleep(Math.max(20, Math.min(health.intervalMs, remaining)), undefined, { signal });
  }
}

/** What a container was when its gate let it pass. */
export interface Passed {
  readonly at: number;
  readonly restarts: number;
}

/**
 * Waits until the stability window since a gate has passed, and fails as soon as the container crashes, is restarted, is
 * killed for lack of memory or is no longer healthy meanwhile; at the end of the window it has to be healthy.
 */
export async function waitStable(
  host: Host,
  spec: ContainerSpec,
  passed: Passed,
  { now, signal }: Pick<GateOptions, 'now' | 'signal'>,
): Promise<void> {
  let failures = 0;
  for (;;) {
    const container = await inspectContainer(host, spec.name, signal);
    if (container === undefined) throw await unhealthy(host, spec.name, spec, 'it was removed', NOT_STABLE);
    const restarts = container.observed.restartCount - passed.restarts;
    const crash = crashOf(container) ?? (restarts > 0 ? `it was restarted ${times(restarts)} since` : undefined);
    if (crash !== undefined) throw await unhealthy(host, spec.name, spec, crash, NOT_STABLE);
    const problem = await probe(host, container, spec.health, { secret: spec.probeSecret, signal });
    signal.throwIfAborted();
    failures = problem === undefined ? 0 : failures + 1;
    if (problem !== undefined && failures >= MOST_FAILURES)
      throw await unhealthy(host, spec.name, spec, problem, NOT_STABLE);
    const remaining = passed.at + spec.health.stableMs - now();
    if (remaining <= 0 && problem === undefined) return;
    await sleep(Math.min(WATCH_MS, Math.max(remaining, WATCH_MS / 2)), undefined, { signal });
  }
}

const NOT_STABLE = 'did not stay healthy';

/** Failed checks in a row of one that was healthy before. */
const MOST_FAILURES = 3;

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

function crashOf(container: InspectedContainer | undefined): string | undefined {
  if (container === undefined) return undefined;
  const { observed } = container;
  if (observed.isOomKilled) return 'it was killed for lack of memory';
  if (observed.state === 'running' || observed.state === 'restarting') return undefined;
  return observed.state === 'exited'
    ? `it exited with code ${observed.exitCode ?? 0}${container.error === '' ? '' : `: ${container.error}`}`
    : `it is ${observed.state}`;
}

/** The engine forgets the exit code as soon as it has restarted a container: the next crash tells it. */
async function nextExitCode(host: Host, id: string, signal: AbortSignal): Promise<number | undefined> {
  const deadline = AbortSignal.timeout(NEXT_CRASH_MS);
  while (!deadline.aborted) {
    const exitCode = (await inspectContainer(host, id, signal))?.observed.exitCode;
    if (exitCode !== undefined) return exitCode;
    await sleep(20, undefined, { signal });
  }
  return undefined;
}

async function unhealthy(
  host: Host,
  id: string,
  spec: ContainerSpec,
  why: string,
  verdict = 'did not become healthy',
): Promise<CuError> {
  const detail = await containerTail(host, id, 20);
  return new CuError('UNHEALTHY', `${spec.name} ${verdict}: ${why}`, {
    host: host.name,
    detail: detail === '' ? 'it logged nothing' : detail,
  });
}
