import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../../core/error.ts';
import { PROXY_SOCKET, serverName } from '../../core/proxy.ts';
import type { Slot } from '../../core/proxy.ts';
import { orAborted, within } from '../../transport/abort.ts';
import type { Host } from '../../transport/host.ts';

/** What the proxy says of one server of a backend, or of a frontend or backend as a whole (`server` is FRONTEND or BACKEND). */
export interface ProxyRow {
  readonly backend: string;
  readonly server: string;
  /** `UP`, `DOWN`, `MAINT`, `DRAIN`, with details such as `UP 1/3`. */
  readonly status: string;
  /** Sessions it has now, websockets and downloads included. */
  readonly sessions: number;
  readonly queued: number;
  /** `L7OK`, `L4CON`...; empty where it was not checked yet. */
  readonly check: string;
}

const ASK_MS = 10_000;
const BACK_MS = 4000;
const AGAIN_MS = 100;

/**
 * One command to the runtime socket of a host's proxy (https://docs.haproxy.org/2.6/management.html, section 9.3),
 * through the connection to the host; the proxy closes the stream after its answer.
 */
async function askProxy(host: Host, command: string, signal: AbortSignal): Promise<string> {
  const deadline = within(ASK_MS, signal);
  const stream = await dialProxy(host, deadline);
  try {
    stream.write(`${command}\n`);
    const chunks: Uint8Array[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk);
    };
    await orAborted(read(), deadline);
    return Buffer.concat(chunks).toString('utf8');
  } catch (error) {
    if (signal.aborted || error instanceof CuError || !deadline.aborted) throw error;
    throw new CuError('TIMEOUT', `the proxy gave no answer to "${command}" within ${ASK_MS / 1000} s`, {
      host: host.name,
      hint: 'look at it: `docker logs cu-proxy` on the host',
    });
  } finally {
    stream.destroy();
  }
}

/** A proxy that is being restarted, by a reboot or for another project, is back in a moment. */
async function dialProxy(host: Host, signal: AbortSignal): Promise<Duplex> {
  const startedAt = performance.now();
  for (;;) {
    try {
      return await host.dial({ type: 'unix', path: PROXY_SOCKET }, signal);
    } catch (error) {
      const isAway = error instanceof CuError && error.code === 'COMMAND_FAILED' && error.hint === undefined;
      if (!isAway || performance.now() - startedAt > BACK_MS) throw error;
      await sleep(AGAIN_MS, undefined, { signal });
    }
  }
}

export async function proxyRows(host: Host, signal: AbortSignal): Promise<readonly ProxyRow[]> {
  return parseStat(await askProxy(host, 'show stat', signal));
}

/** The CSV of `show stat`: the first line names the columns. */
export function parseStat(text: string): readonly ProxyRow[] {
  const [header = '', ...lines] = text.split('\n').filter((line) => line.trim() !== '');
  const columns = header.replace(/^# /, '').split(',');
  return lines.map((line) => {
    const cells = line.split(',');
    const cell = (name: string): string => cells[columns.indexOf(name)] ?? '';
    return {
      backend: cell('pxname'),
      server: cell('svname'),
      status: cell('status'),
      sessions: Number(cell('scur')),
      queued: Number(cell('qcur')),
      check: cell('check_status'),
    };
  });
}

/** The process that serves now; another one after every reload. */
export async function proxyPid(host: Host, signal: AbortSignal): Promise<number | undefined> {
  const found = /^Pid: (\d+)$/m.exec(await askProxy(host, 'show info', signal));
  return found === null ? undefined : Number(found[1]);
}

/** `disable`: nobody new comes in on any port. */
export async function setFrontends(host: Host, verb: 'disable' | 'enable', signal: AbortSignal): Promise<void> {
  const frontends = (await proxyRows(host, signal)).filter(({ server }) => server === 'FRONTEND');
  for (const { backend: name } of frontends) await askProxy(host, `${verb} frontend ${name}`, signal);
}

export async function setState(
  host: Host,
  at: { readonly backend: string; readonly instance: string; readonly slot: Slot },
  state: 'ready' | 'drain' | 'maint',
  signal: AbortSignal,
): Promise<void> {
  const server = `${at.backend}/${serverName(at.instance, at.slot)}`;
  const said = (await askProxy(host, `set server ${server} state ${state}`, signal)).trim();
  if (said === '') return;
  throw new CuError('STEP_FAILED', `the proxy did not set ${server} to ${state}: ${said.slice(0, 200)}`, {
    host: host.name,
    hint: 'run `cu deploy` again; `cu status` shows what the proxy sees',
  });
}
