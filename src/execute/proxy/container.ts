import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../../core/error.ts';
import { PROXY_DIRECTORY, PROXY_NAME, PROXY_SOCKET_DIRECTORY } from '../../core/proxy.ts';
import { LABELS } from '../../core/state.ts';
import { inspectContainer } from '../../observe/observe.ts';
import { readParts } from '../../observe/proxy.ts';
import { renderProxyConfig } from '../../plan/proxy/config.ts';
import { PROXY_SPEC } from '../../plan/proxy/nodes.ts';
import { makeArchive } from '../../transport/archive.ts';
import { within } from '../../transport/abort.ts';
import { containerTail } from '../../transport/container-log.ts';
import type { Host } from '../../transport/host.ts';
import { removeContainer, startContainer, stopContainer } from '../engine.ts';
import type { LockOwner } from '../lock-channel.ts';
import { withProxyLock } from './lock.ts';
import { proxyPid, proxyRows, setFrontends } from './socket.ts';

export const CONFIG_PATH = `${PROXY_DIRECTORY}/haproxy.cfg`;
/** A copy of what the running process has read. */
export const LOADED_PATH = `${CONFIG_PATH}.loaded`;

/** How long the proxy may take to answer on its socket. */
const START_MS = 20_000;
/** How long an interrupt may wait until it takes connections again. */
const REOPEN_MS = 2000;
/** For its connections, when it is made anew. */
const STOP_MS = 5000;

/** The proxy's container runs and answers; a stopped one is started, one that another cu made is made anew. */
export async function ensureProxy(
  host: Host,
  options: {
    readonly imageId: string;
    readonly socketGid: number;
    readonly locker: LockOwner;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  await withProxyLock({ ...options, host, owner: options.locker }, () => ensureLocked(host, options));
}

/** For whoever holds the lock of the proxy already. */
export async function ensureLocked(
  host: Host,
  options: Omit<Parameters<typeof ensureProxy>[1], 'locker'>,
): Promise<void> {
  const { signal } = options;
  const found = await inspectContainer(host, PROXY_NAME, signal);
  const isOld = found !== undefined && found.labels[LABELS.spec] !== PROXY_SPEC;
  if (isOld) {
    await stopContainer(host, PROXY_NAME, STOP_MS, signal);
    await removeContainer(host, PROXY_NAME, signal);
  }
  if (found === undefined || isOld) await createProxy(host, options);
  await startContainer(host, PROXY_NAME, signal);
  await waitForSocket(host, signal);
}

async function createProxy(
  host: Host,
  { imageId, socketGid, signal }: Parameters<typeof ensureLocked>[1],
): Promise<void> {
  const docker = host.docker();
  const body = {
    Image: imageId,
    Entrypoint: [],
    Cmd: ['haproxy', '-W', '-db', '-f', CONFIG_PATH],
    // It binds ports below 1024 and its socket, then goes on as haproxy, as its config says.
    User: '0',
    StopSignal: 'SIGUSR1',
    StopTimeout: STOP_MS / 1000,
    Labels: { [LABELS.role]: 'proxy', [LABELS.spec]: PROXY_SPEC },
    HostConfig: {
      NetworkMode: 'host',
      RestartPolicy: { Name: 'always' },
      Mounts: [{ Type: 'volume', Source: PROXY_NAME, Target: PROXY_DIRECTORY }],
      // Of this form the engine makes the folder at every start, so also after a reboot.
      Binds: [`${PROXY_SOCKET_DIRECTORY}:${PROXY_SOCKET_DIRECTORY}`],
      LogConfig: { Type: 'json-file', Config: { 'max-size': '40m', 'max-file': '4' } },
    },
  };
  await docker.json({ method: 'POST', path: '/volumes/create', body: volumeOf(), signal });
  await docker.json({
    method: 'POST',
    path: '/containers/create',
    query: { name: PROXY_NAME },
    body,
    signal,
    allow: [409],
  });
  // What an earlier one left in the volume is routed again at once.
  const text = renderProxyConfig(await readParts(docker, signal), { socketGid });
  const archive = await makeArchive([
    { path: 'haproxy.cfg', mode: 0o644, content: text },
    { path: 'haproxy.cfg.loaded', mode: 0o644, content: text },
    { path: 'routes/.keep', mode: 0o644, content: '' },
    { path: 'certs/.keep', mode: 0o600, content: '' },
  ]);
  await docker.json({
    method: 'PUT',
    path: `/containers/${PROXY_NAME}/archive`,
    query: { path: PROXY_DIRECTORY },
    body: archive,
    signal,
  });
}

function volumeOf(): object {
  return { Name: PROXY_NAME, Labels: { [LABELS.role]: 'proxy' } };
}

async function waitForSocket(host: Host, signal: AbortSignal): Promise<void> {
  const deadline = AbortSignal.timeout(START_MS);
  let last: unknown;
  while (!deadline.aborted) {
    signal.throwIfAborted();
    try {
      if ((await proxyPid(host, signal)) !== undefined) return;
    } catch (error) {
      last = error;
    }
    await sleep(100, undefined, { signal });
  }
  const detail = await containerTail(host, PROXY_NAME, 10);
  throw new CuError('STEP_FAILED', `the proxy does not answer on its socket after ${START_MS / 1000} s`, {
    host: host.name,
    detail: detail === '' ? (last instanceof Error ? last.message : 'it logged nothing') : detail,
    hint: 'its socket is reached through SSH: AllowStreamLocalForwarding has to be allowed there; or set `rollout: recreate`',
    cause: last,
  });
}

/** With its volume, once nobody routes anything any more; requests under way have `drainMs` to end. */
export async function removeProxy(host: Host, drainMs: number, signal: AbortSignal): Promise<void> {
  await emptyProxy(host, drainMs, signal);
  await stopContainer(host, PROXY_NAME, STOP_MS, signal);
  await removeContainer(host, PROXY_NAME, signal);
  await host.docker().json({ method: 'DELETE', path: `/volumes/${PROXY_NAME}`, signal, allow: [404, 409] });
}

/** It takes no connection any more and waits for the requests it has; one that does not answer has none to wait for. */
async function emptyProxy(host: Host, drainMs: number, signal: AbortSignal): Promise<void> {
  const deadline = within(drainMs, signal);
  try {
    await setFrontends(host, 'disable', deadline);
    while ((await proxyRows(host, deadline)).some(({ server, sessions }) => server === 'BACKEND' && sessions > 0))
      await sleep(100, undefined, { signal: deadline });
  } catch {
    if (!signal.aborted) return;
    // Interrupted: it stays, so it has to be as it was.
    await setFrontends(host, 'enable', AbortSignal.timeout(REOPEN_MS)).catch(() => undefined);
    signal.throwIfAborted();
  }
}
