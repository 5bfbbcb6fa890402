import type { PlanNode } from '../core/action.ts';
import type { ObservedContainer } from '../core/state.ts';
import type { ExecutionResult } from '../execute/execute.ts';
import { DRAINING, REPLACED, UNPROVEN } from '../plan/containers.ts';
import type { RunsOn } from '../render/outcome-text.ts';
import type { Context } from './context.ts';
import type { Prepared } from './prepare.ts';
import { listContainers } from './running.ts';
import type { RunningContainer } from './running.ts';

/** One that was interrupted has to end in time for its lock and its record. */
const HURRY_MS = 1500;
const ASK_MS = 10_000;

type Scene = Pick<Prepared, 'desired' | 'session' | 'observed'>;

/**
 * What runs on the hosts after a rollout that did not succeed, asked of them and not concluded from its steps; nothing
 * where no container was touched. A host that does not answer has no instances.
 */
export async function whatRunsNow(
  { signal }: Pick<Context, 'signal'>,
  { desired, session, observed }: Scene,
  outcome: ExecutionResult,
): Promise<readonly RunsOn[]> {
  const tried = [...outcome.done, ...outcome.failed.map(({ node }) => node)];
  const isWell = outcome.failed.length === 0 && !outcome.cancelled;
  if (isWell || !tried.some(({ action }) => action.type.endsWith('-container'))) return [];
  const deadline = AbortSignal.timeout(signal.aborted ? HURRY_MS : ASK_MS);
  return Promise.all(
    observed.map(async ({ name, containers }): Promise<RunsOn> => {
      const host = session.hosts.get(name);
      const found =
        host === undefined ? undefined : await listContainers(host, desired, deadline).catch(() => undefined);
      const instances = found
        ?.filter(isInUse)
        .toSorted((one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }))
        .map((each) => runsAs(each, containers, wasAway(outcome, name, each.id)));
      return { host: name, instances };
    }),
  );
}

/** Not what is being replaced or finishes its work: that is told by the steps. */
function isInUse({ name, isRunning }: RunningContainer): boolean {
  return isRunning && !name.endsWith(UNPROVEN) && !name.endsWith(REPLACED) && !name.includes(DRAINING);
}

function runsAs(
  { id, service, instance, version }: RunningContainer,
  before: readonly ObservedContainer[],
  hasComeBack: boolean,
): NonNullable<RunsOn['instances']>[number] {
  const isOld = before.some((container) => container.id === id);
  return { service, instance, version, why: isOld ? (hasComeBack ? 'put back' : 'as before') : 'new' };
}

/** Whether another container had its place for a while, or it was stopped to make room for one. */
function wasAway({ done, failed }: ExecutionResult, host: string, id: string): boolean {
  const isOf = ({ host: at, action }: PlanNode): boolean => at === host && 'oldId' in action && action.oldId === id;
  return (
    done.some(isOf) ||
    failed.some(({ node }) => isOf(node) && 'strategy' in node.action && node.action.strategy === 'recreate')
  );
}
