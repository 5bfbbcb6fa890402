import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../../core/error.ts';
import { backendName, partName, PROXY_DIRECTORY, PROXY_NAME } from '../../core/proxy.ts';
import type { ProxyPart } from '../../core/proxy.ts';
import type { Secret } from '../../core/secret.ts';
import { inspectContainer } from '../../observe/observe.ts';
import { readParts, writePart } from '../../observe/proxy.ts';
import { frontendName, needsReload, renderProxyConfig } from '../../plan/proxy/config.ts';
import { makeArchive, readArchive } from '../../transport/archive.ts';
import { containerTail } from '../../transport/container-log.ts';
import { runInContainer } from '../../transport/exec.ts';
import type { Host } from '../../transport/host.ts';
import type { LockOwner } from '../lock-channel.ts';
import { CONFIG_PATH, ensureLocked, LOADED_PATH, removeProxy } from './container.ts';
import { withProxyLock } from './lock.ts';
import { withMoved } from './moved-ports.ts';
import type { MovedPorts } from './moved-ports.ts';
import { proxyPid, proxyRows } from './socket.ts';

/** How long a reload may take until the new process serves. */
const RELOAD_MS = 10_000;

/** POSIX sh in the proxy's container: what is wrong never takes the place of what is right. */
const INSTALL = `set -e
cd ${PROXY_DIRECTORY}
haproxy -c -f haproxy.cfg.new
mv -f haproxy.cfg.new haproxy.cfg`;

/**
 * Only what the running process has taken counts as routed: a change that was cut off before is made again by the next
 * deploy, and one that was refused is in nobody's way.
 */
const COMMIT = `set -e
cd ${PROXY_DIRECTORY}
cp haproxy.cfg haproxy.cfg.loaded
if [ -n "$2" ]; then mv -f "routes/$1.json.new" "routes/$1.json"; else rm -f "routes/$1.json"; fi
shift 2
for file in certs/*.pem; do
  keep=; for name in "$@"; do [ "certs/$name" = "$file" ] && keep=1; done
  [ -n "$keep" ] || rm -f "$file"
done`;

export interface RouteChange {
  readonly host: Host;
  readonly socketGid: number;
  readonly signal: AbortSignal;
  /** For whoever has to wait until this change is done. */
  readonly locker: LockOwner;
  /** Of the proxy, for when another project took the container away after this run had seen it. */
  readonly imageId?: string | undefined;
  readonly certificates?: readonly { readonly name: string; readonly pem: Secret }[];
  readonly moved: MovedPorts;
}

/** What one environment routes becomes `part`; a part without routes is taken away, and with the last one the proxy. */
export async function applyPart(change: RouteChange, part: ProxyPart): Promise<void> {
  const { host, signal, imageId, socketGid } = change;
  await withProxyLock({ ...change, owner: change.locker }, async () => {
    if (part.routes.length > 0 && imageId !== undefined && !(await isThere(host, signal)))
      await ensureLocked(host, { imageId, socketGid, signal });
    const known = await readParts(host.docker(), signal);
    const others = known.filter((each) => partName(each) !== partName(part));
    const own = known.find((each) => partName(each) === partName(part));
    if (part.routes.length === 0 && others.every(({ routes }) => routes.length === 0)) {
      const drainMs = Math.max(0, ...(own?.routes ?? []).map((route) => route.drainMs));
      return removeProxy(host, drainMs, signal);
    }
    const next = part.routes.length === 0 ? undefined : withMoved(withLiveSlots(part, own), change.moved);
    return install(change, next, { others, name: partName(part) });
  });
}

async function isThere(host: Host, signal: AbortSignal): Promise<boolean> {
  return (await inspectContainer(host, PROXY_NAME, signal)) !== undefined;
}

/** Which slot serves is written down where a reboot finds it; the running process was told already. */
export async function writeSwitch(
  change: RouteChange,
  owner: Pick<ProxyPart, 'project' | 'environment'>,
  replace: (part: ProxyPart) => ProxyPart,
): Promise<void> {
  await withProxyLock({ ...change, owner: change.locker }, async () => {
    const known = await readParts(change.host.docker(), change.signal);
    const own = known.find((each) => partName(each) === partName(owner));
    if (own === undefined) return;
    const others = known.filter((each) => each !== own);
    await install(change, replace(own), { others, name: partName(owner) });
  });
}

/** A plan is older than the switches of its own run. */
function withLiveSlots(part: ProxyPart, own: ProxyPart | undefined): ProxyPart {
  const known = own?.routes.flatMap(({ service, containerPort, servers }) =>
    servers.map((server) => ({ key: `${service} ${containerPort} ${server.instance}`, live: server.live })),
  );
  return {
    ...part,
    routes: part.routes.map((route) => ({
      ...route,
      servers: route.servers.map((server) => ({
        ...server,
        live:
          known?.find(({ key }) => key === `${route.service} ${route.containerPort} ${server.instance}`)?.live ??
          server.live,
      })),
    })),
  };
}

async function install(
  { host, signal, socketGid, certificates = [] }: RouteChange,
  part: ProxyPart | undefined,
  { others, name }: { readonly others: readonly ProxyPart[]; readonly name: string },
): Promise<void> {
  const before = await readConfig(host, CONFIG_PATH, signal);
  // What the running process has read may be older than the file, where a change was cut off in between.
  const loaded = (await readConfig(host, LOADED_PATH, signal)) ?? before ?? '';
  const parts = part === undefined ? others : [...others, part];
  const text = renderProxyConfig(parts, { socketGid });
  const pid = await proxyPid(host, signal);
  const kept = parts.flatMap((each) =>
    each.routes.flatMap(({ certificate }) => (certificate === undefined ? [] : [`${partName(each)}-${certificate}`])),
  );
  const files = [
    { path: 'haproxy.cfg.new', mode: 0o644, content: text },
    ...(part === undefined ? [] : [{ path: `routes/${name}.json.new`, mode: 0o644, content: writePart(part) }]),
    ...certificates.map((each) => ({ path: `certs/${each.name}`, mode: 0o600, content: each.pem.reveal() })),
  ];
  await put(host, files, signal);
  const mustReload = needsReload(loaded, text);
  // A certificate is kept until nobody reads it any more.
  const keep = mustReload ? await certificatesOn(host, signal) : kept;
  await runInProxy(host, INSTALL, [], signal);
  if (mustReload) {
    try {
      await reload(host, { parts, pid, signal });
    } catch (error) {
      await put(
        host,
        [{ path: 'haproxy.cfg', mode: 0o644, content: before ?? loaded }],
        AbortSignal.timeout(RELOAD_MS),
      );
      await kill(host, AbortSignal.timeout(RELOAD_MS));
      throw error;
    }
  }
  await runInProxy(host, COMMIT, [name, part === undefined ? '' : '1', ...keep], signal);
}

async function certificatesOn(host: Host, signal: AbortSignal): Promise<readonly string[]> {
  const { stdout } = await runInContainer(host, PROXY_NAME, ['ls', `${PROXY_DIRECTORY}/certs`], { signal });
  return stdout.split('\n').filter((file) => file !== '');
}

async function runInProxy(host: Host, script: string, words: readonly string[], signal: AbortSignal): Promise<void> {
  const result = await runInContainer(host, PROXY_NAME, ['sh', '-c', script, 'sh', ...words], { signal });
  if (result.exitCode === 0) return;
  throw new CuError('STEP_FAILED', 'the proxy refuses its new config; the old one stays', {
    host: host.name,
    detail: (result.stderr || result.stdout).trim().slice(-2000),
    hint: 'if a certificate is named there, look whether its file has a certificate and its key',
  });
}

async function readConfig(host: Host, path: string, signal: AbortSignal): Promise<string | undefined> {
  const answer = await host.docker().stream({
    method: 'GET',
    path: `/containers/${PROXY_NAME}/archive`,
    query: { path },
    signal,
    allow: [404],
  });
  if (answer.statusCode !== 404) return [...(await readArchive(answer.body)).values()][0];
  answer.body.resume();
  return undefined;
}

async function put(host: Host, files: Parameters<typeof makeArchive>[0], signal: AbortSignal): Promise<void> {
  const body = await makeArchive(files);
  const path = `/containers/${PROXY_NAME}/archive`;
  await host.docker().json({ method: 'PUT', path, query: { path: PROXY_DIRECTORY }, body, signal });
}

async function kill(host: Host, signal: AbortSignal): Promise<void> {
  const path = `/containers/${PROXY_NAME}/kill`;
  await host.docker().json({ method: 'POST', path, query: { signal: 'SIGUSR2' }, signal });
}

/** The new process takes the sockets over from the old one, which ends with its last connection. */
async function reload(
  host: Host,
  at: { readonly parts: readonly ProxyPart[]; readonly pid: number | undefined; readonly signal: AbortSignal },
): Promise<void> {
  await kill(host, at.signal);
  const deadline = AbortSignal.timeout(RELOAD_MS);
  const wanted = at.parts.flatMap((part) =>
    part.routes.flatMap((route) => [backendName(part, route), frontendName(route)]),
  );
  while (!deadline.aborted) {
    at.signal.throwIfAborted();
    const isNew = await proxyPid(host, at.signal).then(
      (pid) => pid !== undefined && pid !== at.pid,
      () => false,
    );
    if (isNew) {
      const known = new Set((await proxyRows(host, at.signal)).map(({ backend }) => backend));
      if (wanted.every((name) => known.has(name))) return;
    }
    await sleep(50, undefined, { signal: at.signal });
  }
  const detail = (await containerTail(host, PROXY_NAME, 20)).split('\n').filter((line) => /ALERT|WARNING/.test(line));
  const port = /cannot bind socket.*\[(.*?)\]/i.exec(detail.join('\n'))?.[1];
  throw new CuError(
    'STEP_FAILED',
    port === undefined ? 'the proxy did not take its new config' : `the proxy cannot listen on ${port}`,
    {
      host: host.name,
      detail: detail.slice(-8).join('\n'),
      hint: 'free the port, or choose another one in `ports`; the routes are as they were',
    },
  );
}
