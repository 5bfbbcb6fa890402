import type { Action, PlanNode } from '../core/action.ts';
import { isAftermath } from '../core/describe.ts';
import { PROXY_NAME } from '../core/proxy.ts';
import type { InstanceSpec } from '../core/state.ts';
import { hasOtherRoutes, isProxied } from '../plan/proxy/routes.ts';

/** By `host/container`: what a plan would mend there, in words. The proxy of a host counts as one of its containers. */
export function driftOf(
  nodes: readonly PlanNode[],
  instances: readonly InstanceSpec[],
): ReadonlyMap<string, readonly string[]> {
  const drift = new Map<string, readonly string[]>();
  for (const node of nodes) {
    const here = instances.filter(({ host }) => host === node.host);
    for (const { container, text } of driftsIn(node, here)) {
      const key = `${node.host}/${container}`;
      drift.set(key, [...(drift.get(key) ?? []), text]);
    }
  }
  return drift;
}

interface Drift {
  readonly container: string;
  readonly text: string;
}

/** What is amiss with a proxy is so for the webservers behind it, of which people know the names. */
function driftsIn(node: PlanNode, here: readonly InstanceSpec[]): readonly Drift[] {
  const { action, cause } = node;
  const at = (concerned: readonly InstanceSpec[], text: string): readonly Drift[] =>
    concerned.map(({ containerName }) => ({ container: containerName, text: `proxy: ${text}` }));
  if (action.type === 'ensure-proxy')
    return [{ container: PROXY_NAME, text: cause }, ...at(here.filter(isProxied), cause)];
  if (action.type === 'apply-routes') {
    const concerned = here.filter(({ service }) => isRoutedAnew(service, action));
    // Routes may also be left of a service that is gone.
    return concerned.length > 0 ? at(concerned, cause) : [{ container: PROXY_NAME, text: cause }];
  }
  if (action.type === 'switch-proxy') {
    const { service, instance } = action.place;
    const concerned = here.filter((each) => each.service === service && each.instance === instance);
    return at(concerned, `requests go to another container, ${cause}`);
  }
  // That a new container is watched afterwards is no difference.
  return 'spec' in action && !isAftermath(node) ? [{ container: action.spec.name, text: cause }] : [];
}

function isRoutedAnew(service: string, { part, previous }: Extract<Action, { type: 'apply-routes' }>): boolean {
  const of = (whole: typeof part): typeof part => ({
    ...whole,
    routes: whole.routes.filter((route) => route.service === service),
  });
  return hasOtherRoutes(previous === undefined ? undefined : of(previous), of(part));
}
