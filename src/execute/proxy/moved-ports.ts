import type { ProxyPart, ProxyPlace } from '../../core/proxy.ts';

/** Ports of the loopback that places behind the proxy have got in this run instead of those of its plan. */
export type MovedPorts = Map<string, number>;

/** A plan is older than what its run had to move. */
export function withMoved(part: ProxyPart, moved: MovedPorts): ProxyPart {
  if (moved.size === 0) return part;
  return {
    ...part,
    routes: part.routes.map((route) => ({
      ...route,
      servers: route.servers.map((server) => {
        const portIn = (slot: 'a' | 'b'): number =>
          moved.get(keyOf(part, { ...route, instance: server.instance, slot }, route.containerPort)) ??
          server.ports[slot];
        return { ...server, ports: { a: portIn('a'), b: portIn('b') } };
      }),
    })),
  };
}

export function keyOf(
  { project, environment }: Pick<ProxyPart, 'project' | 'environment'>,
  { service, instance, slot }: ProxyPlace,
  containerPort: number,
): string {
  return [project, environment, service, instance, slot, containerPort].join(' ');
}
