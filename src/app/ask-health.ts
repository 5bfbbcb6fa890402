import type { ContainerSpec } from '../core/container.ts';
import type { ObservedContainer } from '../core/state.ts';
import { probe } from '../execute/probe.ts';
import { inspectContainer } from '../observe/observe.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';

/** Asks a running container the question that its deploy asked: `healthy`, or in a few words what it is instead. */
export async function askHealth(
  context: Context,
  host: Host,
  { container, spec }: { readonly container: ObservedContainer; readonly spec: ContainerSpec | undefined },
): Promise<string> {
  if (spec === undefined || spec.health.type === 'none') return container.health;
  const found = await inspectContainer(host, container.id, context.signal);
  if (found === undefined) return container.health;
  const problem = await probe(host, found, spec.health, { secret: spec.probeSecret, signal: context.signal });
  return problem === undefined ? 'healthy' : 'unhealthy';
}
