import type { PlanNode } from '../core/action.ts';
import type { InstanceSpec } from '../core/state.ts';

interface InstanceSteps {
  readonly instance: InstanceSpec;
  readonly nodes: readonly PlanNode[];
}

/**
 * Orders what happens to containers: phase after phase (broker, workers, webservers), one instance of a service
 * at a time on a host, and where running ones are stopped before they are replaced, one host first as a canary.
 */
export function orderRollout(steps: readonly InstanceSteps[], before: readonly PlanNode[]): readonly PlanNode[] {
  const busy = steps.filter((step) => step.nodes.length > 0).toSorted(compareSteps);
  const ordered: PlanNode[] = [];
  const done = new Map<InstanceSteps, readonly string[]>();
  for (const step of busy) {
    const waits = new Set(preparations(step, before));
    for (const [other, ids] of done) {
      if (mustWait(step, other, busy)) for (const id of ids) waits.add(id);
    }
    const ids: string[] = [];
    for (const node of step.nodes) {
      ordered.push({ ...node, after: [...waits, ...ids] });
      ids.push(node.id);
    }
    done.set(step, ids);
  }
  return ordered;
}

function compareSteps(a: InstanceSteps, b: InstanceSteps): number {
  return (
    a.instance.phase - b.instance.phase ||
    dependency(a, b) ||
    a.instance.service.localeCompare(b.instance.service) ||
    a.instance.host.localeCompare(b.instance.host) ||
    a.instance.instance.localeCompare(b.instance.instance, 'en', { numeric: true })
  );
}

function dependency(a: InstanceSteps, b: InstanceSteps): number {
  if (a.instance.dependsOn.includes(b.instance.service)) return 1;
  return b.instance.dependsOn.includes(a.instance.service) ? -1 : 0;
}

/** Images everywhere, but networks, volumes and state only of the step's own host. */
function preparations(step: InstanceSteps, before: readonly PlanNode[]): readonly string[] {
  const isImage = (node: PlanNode): boolean => node.action.type.endsWith('-image');
  return before.filter((node) => isImage(node) || node.host === step.instance.host).map((node) => node.id);
}

function mustWait(step: InstanceSteps, other: InstanceSteps, all: readonly InstanceSteps[]): boolean {
  if (other.instance.phase < step.instance.phase) return true;
  if (step.instance.dependsOn.includes(other.instance.service)) return true;
  if (step.instance.service !== other.instance.service) return false;
  if (step.instance.host === other.instance.host) return true;
  // Start-first keeps every old one until its successor has proven itself; stop-first risks one host before the rest.
  const replaced = all.filter(
    (each) =>
      each.instance.service === step.instance.service &&
      each.nodes.some(({ action }) => action.type === 'replace-container' && action.strategy === 'recreate'),
  );
  return replaced[0]?.instance.host === other.instance.host;
}
