import type { Duplex } from 'node:stream';
import type { AcceptConnection, ClientChannel, TcpConnectionDetails } from 'ssh2';
import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';
import { within } from './abort.ts';
import { createDocker } from './docker.ts';
import { DEFAULT_SOCKET, socketError, socketState } from './engine-socket.ts';
import { dialError, listenError, lostConnection } from './errors.ts';
import type { Described } from './errors.ts';
import type { DialTarget, Host, RunOptions, RunResult } from './host.ts';
import { quote } from './quote.ts';
import { createSessions, openChannel, runChannel } from './ssh2-channel.ts';
import type { Sessions } from './ssh2-channel.ts';
import { connectSsh2 } from './ssh2-connect.ts';
import type { Ssh2Connection, Ssh2Options } from './ssh2-connect.ts';
import type { SshSettings } from './ssh-config.ts';

/** Channels for sockets are not counted by sshd; this bounds what one call of `Promise.all` can open. */
const MAX_SOCKETS = 64;
/** Sessions are: these leave room for commands below MaxSessions. */
const MAX_STDIO_SOCKETS = 5;
const DIAL_TIMEOUT_MS = 15_000;
const ENDING_MS = 300;

/** A host over one connection of the ssh2 library. */
export async function openSsh2(target: HostTarget, settings: SshSettings, options: Ssh2Options): Promise<Host> {
  const described = {
    name: target.name,
    description: `${settings.user}@${settings.hostname}:${settings.port}`,
  };
  const connection = await connectSsh2(target, settings, { ...options, described });
  const sessions = createSessions(connection.client, target.name);
  const explain = (error: unknown): CuError =>
    error instanceof CuError ? error : lostConnection(described, connection.lost() ?? error);
  const run = async (argv: readonly string[], runOptions: RunOptions = {}): Promise<RunResult> => {
    try {
      return await runChannel(sessions, argv, { ...runOptions, host: target.name });
    } catch (error) {
      throw explain(error);
    }
  };
  const path = target.dockerSocket ?? DEFAULT_SOCKET;
  const engine = createEngine({ connection, sessions, path, run, described });
  const docker = createDocker({ host: target.name, ...engine });
  return {
    ...described,
    run,
    converse: async (argv, signal) => {
      try {
        const channel = await sessions.exec(quote(argv), signal);
        channel.stderr.resume();
        return channel;
      } catch (error) {
        throw explain(error);
      }
    },
    dial: (to, signal) => dialThrough(connection, to, { described, signal }),
    listen: (onConnection) => listenThrough(connection, onConnection, described),
    docker: () => docker,
    [Symbol.asyncDispose]: async () => {
      docker.close();
      await sessions.ending.settle(ENDING_MS);
      await connection.close();
    },
  };
}

interface EngineOptions {
  readonly connection: Ssh2Connection;
  readonly sessions: Sessions;
  readonly path: string;
  readonly run: Host['run'];
  readonly described: Described;
}

/** Sockets to the engine: forwarded by sshd, or where it does not, carried by `docker system dial-stdio`. */
function createEngine({
  connection,
  sessions,
  path,
  run,
  described,
}: EngineOptions): Pick<Parameters<typeof createDocker>[0], 'open' | 'maxSockets' | 'explain'> {
  const { client, lost, endWith } = connection;
  const forward = async (): Promise<Duplex> => {
    const limit = AbortSignal.timeout(DIAL_TIMEOUT_MS);
    return endWith(await openChannel((done) => client.openssh_forwardOutStreamLocal(path, done), limit));
  };
  let first: Duplex | undefined;
  let isForwarded = true;
  let complaint = '';

  const stdio = async (): Promise<Duplex> => {
    const command = quote(['docker', '--host', `unix://${path}`, 'system', 'dial-stdio']);
    const channel = await sessions.exec(command, AbortSignal.timeout(DIAL_TIMEOUT_MS));
    channel.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = text.trim().slice(0, 500)));
    return endWith(channel);
  };
  const explain = async (error: unknown): Promise<CuError> => {
    if (error instanceof CuError) return error;
    if (lost() !== undefined) return lostConnection(described, lost());
    const state = await socketState(run, path);
    if (lost() !== undefined) return lostConnection(described, lost());
    return socketError(described, path, {
      state,
      cause: complaint === '' ? error : new Error(complaint, { cause: error }),
    });
  };
  return {
    explain,
    open: async () => {
      const ready = first;
      first = undefined;
      if (ready !== undefined && !ready.destroyed) return ready;
      return isForwarded ? forward() : stdio();
    },
    // The first socket tells whether sshd forwards sockets, and is then used.
    maxSockets: async () => {
      try {
        first = await forward();
        return MAX_SOCKETS;
      } catch (error) {
        if (lost() !== undefined) throw lostConnection(described, lost());
        const state = await socketState(run, path);
        if (state.type !== 'open') throw socketError(described, path, { state, cause: error });
        isForwarded = false;
        return MAX_STDIO_SOCKETS;
      }
    },
  };
}

async function dialThrough(
  { client, lost, endWith }: Ssh2Connection,
  to: DialTarget,
  { described, signal }: { readonly described: Described; readonly signal: AbortSignal | undefined },
): Promise<Duplex> {
  const limit = within(DIAL_TIMEOUT_MS, signal);
  try {
    const channel = await openChannel((done) => {
      if (to.type === 'unix') client.openssh_forwardOutStreamLocal(to.path, done);
      else client.forwardOut('127.0.0.1', 0, to.address, to.port, done);
    }, limit);
    return endWith(channel);
  } catch (error) {
    if (signal?.aborted === true) throw new CuError('CANCELLED', 'interrupted', { host: described.name, cause: error });
    if (lost() !== undefined) throw lostConnection(described, lost());
    throw dialError(described, to.type === 'unix' ? to.path : `${to.address}:${to.port}`, error);
  }
}

async function listenThrough(
  { client, lost }: Ssh2Connection,
  onConnection: (stream: Duplex) => void,
  described: Described,
): Promise<AsyncDisposable & { readonly port: number }> {
  const port = await new Promise<number>((resolve, reject) => {
    client.forwardIn('127.0.0.1', 0, (error, chosen) => (error === undefined ? resolve(chosen) : reject(error)));
  }).catch((error: unknown) => {
    if (lost() !== undefined) throw lostConnection(described, lost());
    throw listenError(described, error);
  });
  const accept = (details: TcpConnectionDetails, take: AcceptConnection<ClientChannel>): void => {
    if (details.destPort !== port) return;
    const stream = take();
    stream.on('error', () => undefined);
    onConnection(stream);
  };
  client.on('tcp connection', accept);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      client.removeListener('tcp connection', accept);
      // Nobody is left to hear that the host had stopped listening already.
      client.unforwardIn('127.0.0.1', port, () => undefined);
    },
  };
}
