import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';
import { within } from './abort.ts';
import { createDocker } from './docker.ts';
import type { DockerOptions } from './docker.ts';
import { DEFAULT_SOCKET, socketError, socketState } from './engine-socket.ts';
import { dialError, listenError, lostConnection } from './errors.ts';
import type { Described } from './errors.ts';
import type { DialTarget, Host } from './host.ts';
import { startMaster } from './openssh-master.ts';
import type { Master, OpensshOptions } from './openssh-master.ts';
import { createMux } from './openssh-mux.ts';
import type { Mux } from './openssh-mux.ts';
import { quote } from './quote.ts';
import { connectSocket } from './socket.ts';
import type { SshSettings } from './ssh-config.ts';

/** A host over the system's ssh; `proxyCommand` lets another one go through its connection. */
export interface OpensshHost extends Host {
  proxyCommand(address: string, port: number): string;
}

const MAX_SOCKETS = 64;
const MAX_STDIO_SOCKETS = 5;
const DIAL_TIMEOUT_MS = 15_000;
const ENDING_MS = 300;

/** A host over one connection of the system's ssh, for settings that the ssh2 library does not know. */
export async function openOpenssh(
  target: HostTarget,
  settings: SshSettings,
  options: OpensshOptions,
): Promise<OpensshHost> {
  const described = { name: target.name, description: `${settings.user}@${settings.hostname}:${settings.port}` };
  const master = await startMaster(target, settings, { ...options, described });
  const mux = createMux(master, { env: options.env, described });
  const run: Host['run'] = (argv, runOptions = {}) => mux.run(argv, runOptions);
  const sockets = createSockets(master, mux);
  const path = target.dockerSocket ?? DEFAULT_SOCKET;
  const docker = createDocker({ host: target.name, ...createEngine({ master, mux, sockets, path, run, described }) });
  return {
    ...described,
    run,
    converse: (argv, signal) => mux.open(argv, signal),
    dial: (to, signal) => dial(to, { master, mux, sockets, run, described, signal }),
    listen: (onConnection) => listen(onConnection, { master, mux, described }),
    docker: () => docker,
    proxyCommand: (address, port) =>
      quote([
        'ssh',
        '-F',
        'none',
        '-S',
        master.controlPath,
        '-o',
        'ProxyCommand=false',
        '-W',
        `[${address}]:${port}`,
        'cu',
      ]).replaceAll('%', '%%'),
    [Symbol.asyncDispose]: async () => {
      docker.close();
      await mux.ending.settle(ENDING_MS);
      await master.close();
    },
  };
}

/** Local sockets that ssh forwards to sockets of the host, each made once. */
interface Sockets {
  connect(path: string, signal?: AbortSignal): Promise<Duplex>;
}

function createSockets(master: Master, mux: Mux): Sockets {
  const forwarded = new Map<string, Promise<string>>();
  const forward = async (path: string): Promise<string> => {
    const local = join(master.folder, `s${forwarded.size}`);
    await mux.control('forward', ['-L', `${local}:${path}`]);
    return local;
  };
  return {
    connect: async (path, signal) => {
      const known = forwarded.get(path) ?? forward(path);
      forwarded.set(path, known);
      return connectSocket({ type: 'unix', path: await known }, signal);
    },
  };
}

interface EngineOptions {
  readonly master: Master;
  readonly mux: Mux;
  readonly sockets: Sockets;
  readonly path: string;
  readonly run: Host['run'];
  readonly described: Described;
}

function createEngine({
  master,
  mux,
  sockets,
  path,
  run,
  described,
}: EngineOptions): Pick<DockerOptions, 'open' | 'maxSockets' | 'explain'> {
  let isForwarded = true;
  let complaint = (): string => '';
  const explain = async (error: unknown): Promise<CuError> => {
    if (error instanceof CuError) return error;
    if (master.lost() !== undefined) return lostConnection(described, master.lost());
    const state = await socketState(run, path);
    if (master.lost() !== undefined) return lostConnection(described, master.lost());
    return socketError(described, path, {
      state,
      cause: complaint() === '' ? error : new Error(complaint(), { cause: error }),
    });
  };
  return {
    explain,
    open: async () => {
      if (isForwarded) return sockets.connect(path);
      const stream = await mux.open(
        ['docker', '--host', `unix://${path}`, 'system', 'dial-stdio'],
        AbortSignal.timeout(DIAL_TIMEOUT_MS),
      );
      complaint = stream.complaint;
      return stream;
    },
    // ssh accepts a forwarded connection before the host does: whether it leads anywhere shows only in use.
    maxSockets: async () => {
      try {
        await ping(await sockets.connect(path));
        return MAX_SOCKETS;
      } catch (error) {
        if (master.lost() !== undefined) throw lostConnection(described, master.lost());
        const state = await socketState(run, path);
        if (state.type !== 'open') throw socketError(described, path, { state, cause: error });
        isForwarded = false;
        return MAX_STDIO_SOCKETS;
      }
    },
  };
}

/** Any answer will do: it came from the other end. */
async function ping(stream: Duplex): Promise<void> {
  try {
    stream.write('GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n');
    const signal = AbortSignal.timeout(DIAL_TIMEOUT_MS);
    const isEnded = once(stream, 'close', { signal }).then(() => {
      throw new Error('the forwarded socket was closed');
    });
    await Promise.race([once(stream, 'data', { signal }), isEnded]);
  } finally {
    stream.destroy();
  }
}

interface DialOptions {
  readonly master: Master;
  readonly mux: Mux;
  readonly sockets: Sockets;
  readonly run: Host['run'];
  readonly described: Described;
  readonly signal: AbortSignal | undefined;
}

async function dial(to: DialTarget, { master, mux, sockets, run, described, signal }: DialOptions): Promise<Duplex> {
  const either = within(DIAL_TIMEOUT_MS, signal);
  try {
    if (to.type === 'tcp') return await mux.dialTcp(to.address, to.port, either);
    const state = await socketState(run, to.path);
    if (state.type === 'missing' || state.type === 'denied')
      throw new Error(state.type === 'missing' ? 'there is no such socket' : 'permission denied');
    return await sockets.connect(to.path, either);
  } catch (error) {
    if (signal?.aborted === true) throw new CuError('CANCELLED', 'interrupted', { host: described.name, cause: error });
    if (master.lost() !== undefined) throw lostConnection(described, master.lost());
    throw dialError(described, to.type === 'unix' ? to.path : `${to.address}:${to.port}`, error);
  }
}

async function listen(
  onConnection: (stream: Duplex) => void,
  { master, mux, described }: { readonly master: Master; readonly mux: Mux; readonly described: Described },
): Promise<AsyncDisposable & { readonly port: number }> {
  const open = new Set<Socket>();
  // As ssh2's channels: who ends its side early still gets the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
    onConnection(socket);
  });
  const local = join(master.folder, `l${randomBytes(4).toString('hex')}`);
  server.listen(local);
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  try {
    const said = await mux.control('forward', ['-R', `127.0.0.1:0:${local}`]);
    const port = Number(/\d+/.exec(said)?.[0]);
    return {
      port,
      [Symbol.asyncDispose]: async () => {
        close();
        await mux.control('cancel', ['-R', `127.0.0.1:${port}:${local}`]).catch(() => undefined);
      },
    };
  } catch (error) {
    close();
    throw error instanceof CuError ? error : listenError(described, error);
  }
}
