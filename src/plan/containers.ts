import type { Action, PlanNode } from '../core/action.ts';
import type { ContainerSpec } from '../core/container.ts';
import { LABELS } from '../core/state.ts';
import type { InstanceSpec, ObservedContainer, RolloutStrategy } from '../core/state.ts';
import { compare } from './compare.ts';
import type { CompareScope } from './compare.ts';

/** Suffix of a container that has not proven itself yet, and of one that has been replaced. */
export const UNPROVEN = '-new';
export const REPLACED = '-old';

/** Steps for one instance, in order, with nothing in `after` but each other. */
export function containerNodes(
  instance: InstanceSpec,
  spec: ContainerSpec,
  candidates: readonly ObservedContainer[],
  scope: CompareScope,
): readonly PlanNode[] {
  const { keeper, leftovers } = sortOut(spec.name, candidates);
  const node = (verb: string, name: string, action: Action, cause: string): PlanNode => ({
    id: `${instance.host}/${name}/${verb}`,
    host: instance.host,
    action,
    cause,
    after: [],
  });
  const cleanup = leftovers.map((leftover) =>
    node(
      'remove',
      // Two leftovers may carry one name only when a person renamed one; the id keeps their steps apart.
      leftover.name,
      { type: 'remove-container', name: leftover.name, id: leftover.id, drainMs: instance.drainMs },
      'left by an interrupted run',
    ),
  );
  if (keeper === undefined)
    return [...cleanup, node('create', spec.name, { type: 'create-container', spec }, 'not found')];
  const verdict = compare(spec, keeper, scope);
  switch (verdict.type) {
    case 'same':
      return cleanup;
    case 'update':
      return [...cleanup, node('update', spec.name, { type: 'update-container', spec, id: keeper.id }, verdict.cause)];
    case 'stopped':
      return [...cleanup, node('start', spec.name, { type: 'start-container', spec, id: keeper.id }, verdict.cause)];
    case 'replace': {
      const strategy = strategyOf(instance);
      const action = { type: 'replace-container', spec, oldId: keeper.id, strategy } as const;
      return [...cleanup, node('replace', spec.name, action, `${verdict.cause}${gapOf(instance, strategy)}`)];
    }
  }
}

/**
 * Which container stands for the instance, and which are left from a run that was cut off. A new one is called
 * NAME-new until it has proven itself, then the old becomes NAME-old and the new takes the name:
 * so NAME alone is proven, and NAME-old beside NAME-new without NAME was cut between the two renames.
 */
function sortOut(
  name: string,
  candidates: readonly ObservedContainer[],
): { readonly keeper: ObservedContainer | undefined; readonly leftovers: readonly ObservedContainer[] } {
  const named = (wanted: string): ObservedContainer | undefined =>
    candidates.find((candidate) => candidate.name === wanted);
  const others = candidates.filter(
    (candidate) => ![`${name}${UNPROVEN}`, `${name}${REPLACED}`].includes(candidate.name),
  );
  const newest = others.toSorted((a, b) => b.createdAt - a.createdAt)[0];
  const keeper =
    named(name) ??
    newest ??
    (named(`${name}${REPLACED}`) === undefined
      ? undefined
      : (named(`${name}${UNPROVEN}`) ?? named(`${name}${REPLACED}`)));
  return { keeper, leftovers: candidates.filter((candidate) => candidate !== keeper) };
}

/** Stop-first wherever two of them cannot live side by side, whatever the config prefers. */
function strategyOf(instance: InstanceSpec): RolloutStrategy {
  if (instance.ports.length > 0 || instance.network === 'host' || instance.singleton) return 'recreate';
  return instance.rollout === 'proxy' ? 'start-first' : instance.rollout;
}

function gapOf(instance: InstanceSpec, strategy: RolloutStrategy): string {
  const port = instance.ports[0];
  if (strategy !== 'recreate') return '';
  return port === undefined ? ', stop first' : `, stop first: holds port ${port.port}`;
}

export function isOfInstance(container: ObservedContainer, instance: InstanceSpec): boolean {
  return (
    container.labels[LABELS.service] === instance.service && container.labels[LABELS.instance] === instance.instance
  );
}
