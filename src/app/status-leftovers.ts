import type { InstanceSpec, ObservedContainer } from '../core/state.ts';
import { FINISHED, sortAll } from '../plan/containers.ts';

/** A container beside the one that stands for an instance. */
interface Leftover {
  readonly container: ObservedContainer;
  /** The instance with what the container's name has more, such as `1-old`. */
  readonly instance: string;
  readonly why: string;
}

/** Nobody who only looks holds the lock, by which one could tell an interrupted run from one that goes on. */
const REPLACED_NOW = 'left by a run that was interrupted or is under way';

/** Which container stands for an instance, and what is there of it besides, with the reason. */
export function sortInstance(
  { instance, containerName }: Pick<InstanceSpec, 'instance' | 'containerName'>,
  candidates: readonly ObservedContainer[],
): { readonly keeper: ObservedContainer | undefined; readonly leftovers: readonly Leftover[] } {
  const { keeper, leftovers, draining } = sortAll(containerName, candidates);
  const leftover = (container: ObservedContainer, why: string): Leftover => {
    const { name } = container;
    const more = name.startsWith(`${containerName}-`) ? name.slice(containerName.length) : ` (${name})`;
    return { container, instance: `${instance}${more}`, why };
  };
  return {
    keeper,
    leftovers: [
      ...leftovers.map((each) => leftover(each, REPLACED_NOW)),
      ...draining.map((each) => leftover(each, each.state === 'running' ? 'finishes its work' : FINISHED)),
    ],
  };
}
