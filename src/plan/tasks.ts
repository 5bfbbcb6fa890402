import type { Action, PlanNode } from '../core/action.ts';
import { LABELS } from '../core/state.ts';
import type { TaskSpec } from '../core/rollout.ts';
import type { Bound, PlanInput } from './input.ts';
import { oneOffSpec, TASK_ROLE } from './one-off.ts';

const DOCTOR = ['python', '-m', 'cu', 'doctor'];
const CAUSE = 'before the switch';

/**
 * What runs once before anything is switched: workers' hosts ask whether broker and storage can be used from there,
 * then each release task runs on the first host of its service. Also takes away what interrupted runs left of these.
 * `containers` are the ordered steps of the rollout, `prepared` those for images, networks, volumes and state.
 */
export function taskNodes(
  input: PlanInput,
  bound: readonly Bound[],
  containers: readonly PlanNode[],
  prepared: readonly PlanNode[],
): readonly PlanNode[] {
  const leftovers = leftoverNodes(input);
  const broker = containers.filter(({ action }) => 'spec' in action && action.spec.kind === 'redis');
  const ready = (host: string): readonly string[] => [
    ...prepared.filter((node) => node.action.type.endsWith('-image') || node.host === host).map(({ id }) => id),
    ...broker.map(({ id }) => id),
    ...leftovers.filter((node) => node.host === host).map(({ id }) => id),
  ];
  const checks = checkNodes(input, bound, containers).map((node) => ({ ...node, after: ready(node.host) }));
  const runs: PlanNode[] = [];
  for (const [index, task] of input.desired.tasks.entries()) {
    const node = runNode(task, index, { input, bound, containers });
    if (node === undefined) continue;
    runs.push({ ...node, after: [...ready(node.host), ...[...checks, ...runs].map(({ id }) => id)] });
  }
  return [...leftovers, ...checks, ...runs];
}

/**
 * The whole plan with these steps in their place: every step about a container waits for the checks and tasks, but
 * for what they themselves wait for.
 */
export function holdForTasks(nodes: readonly PlanNode[], tasks: readonly PlanNode[]): readonly PlanNode[] {
  const gates = tasks.filter(({ action }) => isGate(action)).map(({ id }) => id);
  if (gates.length === 0) return [...tasks, ...nodes];
  const before = ancestorsOf(tasks, nodes);
  const later = new Set<string>();
  for (const node of nodes) {
    if (before.has(node.id)) continue;
    if (isSwitch(node.action) || node.after.some((id) => later.has(id))) later.add(node.id);
  }
  return [
    ...nodes.filter(({ id }) => !later.has(id)),
    ...tasks,
    ...nodes
      .filter(({ id }) => later.has(id))
      .map((node) => (isSwitch(node.action) ? { ...node, after: [...node.after, ...gates] } : node)),
  ];
}

/** What a user may notice. */
function isSwitch({ type }: Action): boolean {
  return type.endsWith('-container') || type === 'apply-routes';
}

function isGate({ type }: Action): boolean {
  return type === 'run-task' || type === 'check-broker';
}

/** Everything that has to be done before one of the tasks. */
function ancestorsOf(tasks: readonly PlanNode[], nodes: readonly PlanNode[]): ReadonlySet<string> {
  const found = new Set(tasks.flatMap(({ after }) => after));
  // What a step waits for stands before it, so that one look from the end finds all.
  for (const node of nodes.toReversed()) if (found.has(node.id)) for (const id of node.after) found.add(id);
  return found;
}

function leftoverNodes({ desired, hosts }: PlanInput): readonly PlanNode[] {
  return hosts.flatMap((host) =>
    host.containers
      .filter(
        ({ labels }) =>
          labels[LABELS.project] === desired.project &&
          labels[LABELS.environment] === desired.environment &&
          labels[LABELS.role] === TASK_ROLE,
      )
      .map(({ id, name }) => ({
        id: `${host.name}/${name}/remove`,
        host: host.name,
        action: { type: 'remove-container', name, id, drainMs: 0 },
        cause: 'left by an interrupted run',
        after: [],
      })),
  );
}

/**
 * One for each host on which a worker of the runtime is new. The broker runs, or is brought by this very plan: then
 * its own host has nothing to find out.
 */
function checkNodes(input: PlanInput, bound: readonly Bound[], containers: readonly PlanNode[]): readonly PlanNode[] {
  const isUp = isBrokerUp(input);
  if (!isUp && !containers.some((node) => specOf(node)?.kind === 'redis')) return [];
  const isNew = ({ host, spec }: Bound): boolean =>
    containers.some((node) => node.host === host.name && isChange(node) && specOf(node)?.name === spec.name);
  const hosts = input.hosts.filter(({ name }) => isUp || name !== input.desired.broker?.host);
  return hosts.flatMap((host): readonly PlanNode[] => {
    // A worker with a command of its own logs in as another user.
    const worker = bound.find(
      (each) =>
        each.host === host && each.instance.kind === 'worker' && each.instance.brokerUser === 'worker' && isNew(each),
    );
    if (worker === undefined) return [];
    const spec = oneOffSpec(worker.spec, input.desired, { instance: 'task-doctor', command: DOCTOR });
    const action = { type: 'check-broker', spec } as const;
    return [{ id: `${host.name}/${spec.name}/check`, host: host.name, action, cause: CAUSE, after: [] }];
  });
}

function isBrokerUp({ desired, hosts }: PlanInput): boolean {
  const { broker } = desired;
  return hosts.some(
    ({ name, containers }) =>
      name === broker?.host &&
      containers.some(
        ({ labels, state }) =>
          labels[LABELS.project] === desired.project &&
          labels[LABELS.environment] === desired.environment &&
          labels[LABELS.service] === broker.service &&
          state === 'running',
      ),
  );
}

function runNode(
  task: TaskSpec,
  index: number,
  at: { readonly input: PlanInput; readonly bound: readonly Bound[]; readonly containers: readonly PlanNode[] },
): PlanNode | undefined {
  const [first] = at.bound
    .filter(({ instance }) => instance.service === task.service)
    .toSorted((a, b) => (a.host.name < b.host.name ? -1 : a.host.name > b.host.name ? 1 : 0));
  const isNew = at.containers.some((node) => isChange(node) && specOf(node)?.image === first?.spec.image);
  if (first === undefined || !isNew) return undefined;
  const { command, timeoutMs } = task;
  const spec = oneOffSpec(first.spec, at.input.desired, { instance: `task-${index + 1}`, command });
  return {
    id: `${first.host.name}/${spec.name}/run`,
    host: first.host.name,
    action: { type: 'run-task', name: command.join(' '), spec, timeoutMs },
    cause: CAUSE,
    after: [],
  };
}

function isChange({ action }: PlanNode): boolean {
  return action.type === 'create-container' || action.type === 'replace-container';
}

function specOf({ action }: PlanNode): Bound['spec'] | undefined {
  return 'spec' in action ? action.spec : undefined;
}
