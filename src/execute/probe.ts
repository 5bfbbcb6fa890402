import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import { CuError } from '../core/error.ts';
import type { Secret } from '../core/secret.ts';
import type { Health } from '../core/health.ts';
import type { InspectedContainer } from '../observe/parse.ts';
import { orAborted, within } from '../transport/abort.ts';
import { asSocket } from '../transport/docker.ts';
import { isNotRunning, runInContainer } from '../transport/exec.ts';
import type { Host, RunResult } from '../transport/host.ts';

/** How long one question may take before it counts as a failure. */
const ASK_TIMEOUT_MS = 10_000;

/** undefined: healthy. Else what was seen instead, in a few words. */
export async function probe(
  host: Host,
  container: InspectedContainer,
  health: Health,
  options: { readonly secret: Secret | undefined; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const signal = within(ASK_TIMEOUT_MS, options.signal);
  switch (health.type) {
    case 'none':
      return undefined;
    case 'engine':
      return container.observed.health === 'healthy'
        ? undefined
        : `the image's health check says ${container.observed.health}`;
    case 'command':
      return probeCommand(host, container, health.command, signal);
    case 'tcp':
    case 'http':
    case 'redis':
      return probeNetwork(host, container, { health, secret: options.secret, signal });
  }
}

async function probeCommand(
  host: Host,
  container: InspectedContainer,
  command: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  let result: RunResult;
  try {
    result = await runInContainer(host, container.observed.id, command, { signal });
  } catch (error) {
    // The next look tells how it ended.
    if (isNotRunning(error)) return 'it does not run';
    throw error;
  }
  if (result.exitCode === 0) return undefined;
  const said = (result.stderr || result.stdout).trim().split('\n').at(-1) ?? '';
  return `the command exits with ${result.exitCode}${said === '' ? '' : `: ${said.slice(0, 200)}`}`;
}

type NetworkHealth = Extract<Health, { type: 'tcp' | 'http' | 'redis' }>;

async function probeNetwork(
  host: Host,
  container: InspectedContainer,
  question: { readonly health: NetworkHealth; readonly secret: Secret | undefined; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const { health, secret, signal } = question;
  let stream: Duplex | undefined;
  try {
    stream = await dialContainer(host, container, health.port, signal);
    const socket = stream;
    const abort = (): void => void socket.destroy();
    signal.addEventListener('abort', abort, { once: true });
    try {
      // A channel to a frozen host does not close when it is destroyed, so its end cannot be waited for.
      if (health.type === 'http') return await orAborted(askHttp(socket, health), signal);
      return health.type === 'redis' ? await orAborted(askRedis(socket, secret), signal) : undefined;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  } catch (error) {
    if (error instanceof CuError && ['CONNECTION_LOST', 'HOST_UNREACHABLE'].includes(error.code)) throw error;
    if (signal.aborted) return `port ${health.port}: no answer within ${ASK_TIMEOUT_MS / 1000} s`;
    return `port ${health.port}: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    stream?.destroy();
  }
}

/** The container's own address first; its published port where the engine lies in a machine of its own. */
export async function dialContainer(
  host: Host,
  container: InspectedContainer,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  const address =
    container.networkMode === 'host' ? '127.0.0.1' : Object.values(container.addresses).find((each) => each !== '');
  const published = container.published[port];
  try {
    if (address === undefined) throw new Error('the container has no address');
    return await host.dial({ type: 'tcp', address, port }, signal);
  } catch (error) {
    if (published === undefined) throw error;
    const at = ['', '0.0.0.0', '::'].includes(published.address) ? '127.0.0.1' : published.address;
    return host.dial({ type: 'tcp', address: at, port: published.port }, signal);
  }
}

function askHttp(socket: Duplex, health: Extract<Health, { type: 'http' }>): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        path: health.path,
        headers: { host: 'localhost', 'user-agent': 'cu-health', connection: 'close' },
        createConnection: () => asSocket(socket),
      },
      (answer) => {
        answer.resume();
        const status = answer.statusCode ?? 0;
        const isFine = health.status === undefined ? status >= 200 && status < 400 : status === health.status;
        resolve(isFine ? undefined : `GET ${health.path} answers ${status}`);
      },
    );
    asked.on('error', reject);
    asked.end();
  });
}

/** Authenticated PING; a server that still loads its append-only file answers -LOADING. */
async function askRedis(socket: Duplex, secret: Secret | undefined): Promise<string | undefined> {
  const password = secret?.reveal() ?? '';
  const auth = `*3\r\n$4\r\nAUTH\r\n$5\r\nadmin\r\n$${Buffer.byteLength(password)}\r\n${password}\r\n`;
  socket.write(`${password === '' ? '' : auth}*1\r\n$4\r\nPING\r\n`);
  let said = '';
  for await (const chunk of socket) {
    said += String(chunk);
    if (said.includes('+PONG')) return undefined;
    const error = /^-(.*)\r\n/m.exec(said);
    if (error !== null) return `redis says ${error[1] ?? ''}`;
  }
  return 'redis closed the connection';
}
