import { CuError } from '../core/error.ts';
import { LABELS } from '../core/state.ts';
import type { Desired, InstanceSpec } from '../core/state.ts';
import { parseContainer } from '../observe/parse.ts';
import { selectInstances } from '../plan/targets.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';
import { openProject } from './project.ts';
import { openSession } from './session.ts';
import type { Session } from './session.ts';

/** A container of this environment that is on a host now, found by its labels. */
export interface RunningContainer {
  readonly host: Host;
  readonly id: string;
  readonly name: string;
  readonly service: string;
  readonly instance: string;
  readonly isRunning: boolean;
  readonly createdAt: number;
}

export async function listContainers(
  host: Host,
  desired: Desired,
  signal: AbortSignal,
): Promise<readonly RunningContainer[]> {
  const filters = JSON.stringify({
    label: [`${LABELS.project}=${desired.project}`, `${LABELS.environment}=${desired.environment}`, LABELS.service],
  });
  const answer = await host
    .docker()
    .json({ method: 'GET', path: '/containers/json', query: { all: true, filters }, signal });
  return (Array.isArray(answer) ? answer : []).map(parseContainer).map((container) => ({
    host,
    id: container.id,
    name: container.name,
    service: container.labels[LABELS.service] ?? '',
    instance: container.labels[LABELS.instance] ?? '',
    isRunning: container.state === 'running',
    createdAt: container.createdAt,
  }));
}

/** The one running container that a TARGET names; the first of several replicas of one service. */
export async function findRunning(
  context: Context,
  target: string,
): Promise<{ readonly session: Session; readonly container: RunningContainer }> {
  const { desired } = await openProject(context);
  const instances = selectInstances(desired, [target]);
  const services = new Set(instances.map((instance) => instance.service));
  if (services.size > 1) {
    throw new CuError('USAGE', `${target} names ${services.size} services: ${[...services].join(', ')}`, {
      hint: `name one: ${idOf(instances[0])}`,
    });
  }
  const session = openSession(context, desired);
  try {
    for (const instance of instances) {
      const at = desired.hosts.find((host) => host.name === instance.host);
      if (at === undefined) continue;
      const containers = await listContainers(await session.open(at), desired, context.signal);
      const found = containers.find(
        (each) => each.isRunning && each.service === instance.service && each.instance === instance.instance,
      );
      if (found !== undefined) return { session, container: found };
    }
    throw new CuError('STEP_FAILED', `nothing of ${target} runs`, { hint: '`cu status` shows what does' });
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

function idOf(instance: InstanceSpec | undefined): string {
  return instance === undefined ? '' : `${instance.host}/${instance.service}/${instance.instance}`;
}
