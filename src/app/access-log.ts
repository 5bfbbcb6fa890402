import { CuError } from '../core/error.ts';
import { backendName, PROXY_NAME } from '../core/proxy.ts';
import type { Desired, InstanceSpec } from '../core/state.ts';
import { inspectContainer } from '../observe/observe.ts';
import { isProxied } from '../plan/proxy/routes.ts';
import type { Host } from '../transport/host.ts';
import type { LogLine } from './log-merge.ts';
import type { RunningContainer } from './running.ts';

/** Those of the instances that a proxy leads to; none is an error, for then there is no access log. */
export function proxiedInstances(instances: readonly InstanceSpec[]): readonly InstanceSpec[] {
  const found = instances.filter(isProxied);
  if (found.length > 0) return found;
  throw new CuError('USAGE', 'no proxy leads to any of these, so there is no access log', {
    hint: 'one leads to services of kind webserver with `ports`; `cu logs` without --access reads what they say themselves',
  });
}

/** The proxies of hosts, as something whose log is read. */
export async function listProxies(hosts: readonly Host[], signal: AbortSignal): Promise<readonly RunningContainer[]> {
  const found = await Promise.all(
    hosts.map(async (host): Promise<readonly RunningContainer[]> => {
      const container = await inspectContainer(host, PROXY_NAME, signal);
      if (container === undefined) return [];
      const { id, name, state } = container.observed;
      const as = { service: 'proxy', instance: 'access', version: undefined };
      return [{ ...as, host, id, name, isRunning: state === 'running' }];
    }),
  );
  return found.flat();
}

/**
 * Of a proxy's log the requests to these instances, each as a line of the instance that got it. Other projects' lines,
 * and what the proxy says of itself, are left out. A request that nobody could take is the service's own: `host1/web/-`.
 */
export async function* accessLines(
  lines: AsyncIterable<LogLine>,
  at: { readonly host: string; readonly desired: Desired; readonly instances: readonly InstanceSpec[] },
): AsyncGenerator<LogLine> {
  const services = new Map(
    at.instances
      .filter(({ host }) => host === at.host)
      .flatMap(({ service, ports }) =>
        ports.map(({ containerPort }) => [backendName(at.desired, { service, containerPort }), service] as const),
      ),
  );
  const instances = new Set(at.instances.map(({ host, service, instance }) => `${host}/${service}/${instance}`));
  for await (const line of lines) {
    const { backend, server } = parseRequest(line.text);
    const service = services.get(backend);
    if (service === undefined) continue;
    const instance = /^(.+)-[ab]$/.exec(server)?.[1];
    const source = `${at.host}/${service}/${instance ?? '-'}`;
    if (instance === undefined || instances.has(source)) yield { ...line, source };
  }
}

/** `client [time] frontend backend/server timers status ...` (https://docs.haproxy.org/3.0/configuration.html, section 8.2.3). */
function parseRequest(text: string): { readonly backend: string; readonly server: string } {
  const [, backend = '', server = ''] = /^\S+ \[[^\]]*\] \S+ ([^\s/]+)\/(\S+) /.exec(text) ?? [];
  return { backend, server };
}
