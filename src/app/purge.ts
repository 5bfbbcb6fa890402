import { CuErrors } from '../core/error.ts';
import { purgeContainers, purgeImages } from '../plan/purge.ts';
import type { PurgeItem } from '../render/purge-text.ts';
import type { Context } from './context.ts';
import { changedHosts, lockFurther } from './locks.ts';
import { prepareRunning } from './prepare.ts';
import { runPlan } from './run-plan.ts';

export interface PurgeResult {
  readonly items: readonly PurgeItem[];
  readonly isRemoved: boolean;
  readonly failures: { readonly error?: CuErrors; readonly exitCode?: number };
}

/** Lists what would be freed; removes just that list, and only with `--yes`. */
export async function purge(context: Context, what: readonly ('containers' | 'images')[]): Promise<PurgeResult> {
  await using prepared = await prepareRunning(context, [], context.options.yes ? 'purge' : undefined);
  const { desired, observed } = prepared;
  const candidates = observed.flatMap((host) => [
    ...(what.includes('containers') ? purgeContainers(desired, host) : []),
    ...(what.includes('images') ? purgeImages(desired, host) : []),
  ]);
  const items = candidates.map(({ node, name, bytes, what: type }) => ({
    host: node.host,
    type,
    name,
    why: node.cause,
    bytes,
  }));
  if (!context.options.yes || candidates.length === 0) return { items, isRemoved: false, failures: {} };
  const plan = { nodes: candidates.map(({ node }) => node) };
  context.emit({ type: 'plan-ready', plan });
  await lockFurther(prepared, changedHosts(plan));
  const outcome = await runPlan(context, prepared, plan);
  const done = new Set(outcome.done.map((node) => node.id));
  const removed = items.filter((_, index) => done.has(candidates[index]?.node.id ?? ''));
  if (outcome.failed.length === 0) return { items: removed, isRemoved: true, failures: {} };
  const error = new CuErrors(outcome.failed.map((each) => each.error));
  return { items: removed, isRemoved: true, failures: { error, exitCode: error.exitCode } };
}
