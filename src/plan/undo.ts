import type { Action, Plan, PlanNode } from '../core/action.ts';
import type { ContainerSpec } from '../core/container.ts';
import { partName } from '../core/proxy.ts';
import type { ObservedLimits } from '../core/state.ts';
import { hostConfigOf } from './body.ts';
import { REPLACED } from './containers.ts';

/** A step of these failed: what the new version was to take over is not proven, so the run has failed. */
const GATES: readonly Action['type'][] = [
  'create-container',
  'replace-container',
  'start-container',
  'update-container',
  'verify-container',
  'stop-container',
  'apply-routes',
  'switch-proxy',
];

export function isGate({ action }: PlanNode): boolean {
  return GATES.includes(action.type);
}

/**
 * What puts back every host that a run has touched: the done steps in reverse, host by host, from the containers and
 * images that are still there. `touched` are the steps that were done, in the order of the plan.
 */
export function planUndo(touched: readonly PlanNode[]): Plan {
  const nodes: PlanNode[] = [];
  for (const node of touched.toReversed()) {
    const step = undoOf(node);
    if (step === undefined) continue;
    const isBefore = (other: PlanNode): boolean => other.host === node.host || isMove(other, step);
    const earlier = nodes.filter(isBefore).map(({ id }) => id);
    nodes.push({
      id: `${node.host}/${step.name}/undo`,
      host: node.host,
      cause: step.cause,
      action: step.action,
      after: earlier,
    });
  }
  return { nodes };
}

interface Undo {
  readonly name: string;
  readonly cause: string;
  readonly action: Action;
}

/** A singleton that was moved has one name on both hosts: it goes there before it comes back here. */
function isMove({ id, host, action }: PlanNode, { name, action: back }: Undo): boolean {
  return back.type === 'resume-container' && action.type === 'remove-container' && id === `${host}/${name}/undo`;
}

function undoOf({ action }: PlanNode): Undo | undefined {
  if (action.type === 'replace-container') {
    const { spec, oldId, strategy } = action;
    const back = { type: 'restore-container', spec, oldId, strategy } as const;
    return { name: spec.name, cause: 'back to what ran before', action: back };
  }
  if (action.type === 'create-container') {
    const { name, drainMs } = action.spec;
    return { name, cause: 'was not there before', action: { type: 'remove-container', name, id: name, drainMs } };
  }
  if (action.type === 'update-container' && action.previous !== undefined) {
    const { id, previous, spec } = action;
    const back = { ...spec, body: withLimits(spec.body, previous) };
    const update = { type: 'update-container', spec: back, id, previous: undefined } as const;
    return { name: spec.name, cause: 'limits as before', action: update };
  }
  if (action.type === 'apply-routes') {
    const { part, previous } = action;
    const { project, environment } = part;
    const back = {
      ...action,
      part: previous ?? { project, environment, routes: [] },
      previous: part,
      certificates: [],
      isFarewell: false,
    };
    // A host that gets one route and loses another is told twice.
    const name = action.isFarewell === true ? `${partName(part)}-farewell` : partName(part);
    return { name, cause: 'routes as before', action: back };
  }
  if (action.type === 'stop-container') {
    const { name, id } = action;
    return { name, cause: 'ran before', action: { type: 'resume-container', name, id } };
  }
  return undefined;
}

function withLimits(body: ContainerSpec['body'], limits: ObservedLimits): ContainerSpec['body'] {
  return {
    ...body,
    HostConfig: {
      ...hostConfigOf(body),
      Memory: limits.memoryBytes,
      NanoCpus: limits.nanoCpus,
      CpusetCpus: limits.cpuset,
      PidsLimit: limits.pids,
      RestartPolicy: { Name: limits.restart },
    },
  };
}

/** Old containers whose successors have taken over but which nobody has told to stop yet. */
export function pendingDrains(plan: Plan, done: readonly PlanNode[]): readonly PlanNode[] {
  const isDone = new Set(done.map(({ id }) => id));
  return plan.nodes.filter(
    (node) =>
      node.action.type === 'drain-container' &&
      !isDone.has(node.id) &&
      isDone.has(node.id.replace(/drain$/, 'replace')),
  );
}

/** The removal of what a `replace-container` keeps until the run has succeeded. */
export function retireNodes(containers: readonly PlanNode[], verified: readonly string[]): readonly PlanNode[] {
  return containers.flatMap((node) => {
    if (node.action.type !== 'replace-container') return [];
    const { spec, oldId } = node.action;
    const drain = containers.find(({ id }) => id === `${node.host}/${spec.name}/drain`);
    if (drain?.action.type === 'drain-container' && drain.action.isDetached) return [];
    return [
      {
        id: `${node.host}/${spec.name}/retire`,
        host: node.host,
        action: { type: 'remove-container', name: `${spec.name}${REPLACED}`, id: oldId, drainMs: spec.drainMs },
        cause: 'replaced',
        after: [...new Set([...verified, ...(drain === undefined ? [] : [drain.id])])],
      },
    ];
  });
}

/** What was made in this run is looked at again at its end: a crash loop that begins after the gate fails it too. */
export function verifyNodes(containers: readonly PlanNode[], routes: readonly PlanNode[]): readonly PlanNode[] {
  const gates = [...containers, ...routes].filter(isGate).map(({ id }) => id);
  return containers.flatMap((node) => {
    if (node.action.type !== 'create-container' && node.action.type !== 'replace-container') return [];
    const { spec } = node.action;
    return [
      {
        id: `${node.host}/${spec.name}/verify`,
        host: node.host,
        action: { type: 'verify-container', spec },
        cause: 'still well',
        after: gates,
      },
    ];
  });
}
