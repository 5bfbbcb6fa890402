import { CuError, CuErrors } from '../core/error.ts';
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
  /** undefined: of an image that cu did not build. */
  readonly version: string | undefined;
  readonly isRunning: boolean;
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
    version: container.labels[LABELS.version],
    isRunning: container.state === 'running',
  }));
}

/** The container of an instance that runs: in a rollout the one that carries its name, which was proven. */
export async function runningInstance(
  session: Session,
  { desired, instance }: { readonly desired: Desired; readonly instance: InstanceSpec },
  signal: AbortSignal,
): Promise<RunningContainer | CuError> {
  const target = desired.hosts.find((host) => host.name === instance.host);
  if (target === undefined) throw new Error(`host ${instance.host} is not in the config`);
  const containers = await listContainers(await session.open(target), desired, signal);
  const own = containers.filter(
    (each) => each.isRunning && each.service === instance.service && each.instance === instance.instance,
  );
  const found = own.find((each) => each.name === instance.containerName) ?? own[0];
  if (found !== undefined) return found;
  return new CuError('STEP_FAILED', `${instance.service} does not run`, {
    host: instance.host,
    hint: '`cu deploy` starts it; `cu status` shows what runs',
  });
}

/** Asks one instance after the other, until one gives what is wanted; what others lack matters only when none does. */
export async function firstInstance<T>(
  instances: readonly InstanceSpec[],
  signal: AbortSignal,
  attempt: (instance: InstanceSpec) => Promise<T | CuError>,
): Promise<T> {
  const errors: CuError[] = [];
  for (const instance of instances) {
    signal.throwIfAborted();
    try {
      const found = await attempt(instance);
      if (!(found instanceof CuError)) return found;
      errors.push(found);
    } catch (error) {
      if (signal.aborted || !(error instanceof CuError)) throw error;
      errors.push(error);
    }
  }
  const [only, ...others] = errors.toSorted((one, other) => one.exitCode - other.exitCode);
  throw only !== undefined && others.length === 0 ? only : new CuErrors(only === undefined ? [] : [only, ...others]);
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
