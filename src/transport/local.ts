import { readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';
import { createDocker } from './docker.ts';
import { DEFAULT_SOCKET, engineMissing, socketDenied } from './engine-socket.ts';
import type { DialTarget, Host } from './host.ts';
import { runLocal } from './run-local.ts';

export interface LocalOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly username: string;
}

/** This machine: its engine at DOCKER_HOST, the docker CLI's current context, or the usual socket. */
export async function openLocal(target: Pick<HostTarget, 'name' | 'dockerSocket'>, options: LocalOptions): Promise<Host> {
  const described = { name: target.name, description: 'this machine' };
  const engine = await engineAddress(target, options);
  const docker = createDocker({
    host: target.name,
    open: () => dial(engine),
    maxSockets: 16,
    explain: (error, command) => explainEngine(error, { command, engine, described, options }),
  });
  return {
    ...described,
    run: (argv, runOptions = {}) => runLocal(argv, { ...runOptions, host: target.name }),
    dial,
    listen: listenLocal,
    docker: () => docker,
    [Symbol.asyncDispose]: async () => docker.close(),
  };
}

/** Where the local engine listens; a DOCKER_HOST of ssh:// is an error that says to name the host instead. */
export async function engineAddress(target: Pick<HostTarget, 'name' | 'dockerSocket'>, options: LocalOptions): Promise<DialTarget> {
  if (target.dockerSocket !== undefined) return { type: 'unix', path: target.dockerSocket };
  const url = options.env['DOCKER_HOST'] ?? (await contextHost(options));
  if (url === undefined || url === '') return { type: 'unix', path: DEFAULT_SOCKET };
  if (url.startsWith('unix://')) return { type: 'unix', path: url.slice('unix://'.length) };
  const tcp = /^(?:tcp|http):\/\/\[?([^\]/]+?)\]?:(\d+)\/?$/.exec(url);
  if (tcp?.[1] !== undefined) return { type: 'tcp', address: tcp[1], port: Number(tcp[2]) };
  throw new CuError('USAGE', `cu cannot use the engine at DOCKER_HOST=${url}`, {
    host: target.name,
    hint: url.startsWith('ssh://')
      ? 'give the host an `address` in the config instead of `connection: local`'
      : 'use unix:///path/to.sock or tcp://address:port',
  });
}

/** The endpoint of `docker context use`, as the docker CLI keeps it under ~/.docker. */
async function contextHost({ env, home }: LocalOptions): Promise<string | undefined> {
  const folder = env['DOCKER_CONFIG'] ?? `${home}/.docker`;
  const name = env['DOCKER_CONTEXT'] ?? textIn(await readJson(`${folder}/config.json`), 'currentContext');
  if (name === undefined || name === 'default' || name === '') return undefined;
  const id = createHash('sha256').update(name).digest('hex');
  const meta = await readJson(`${folder}/contexts/meta/${id}/meta.json`);
  const endpoints = recordIn(recordIn(meta, 'Endpoints'), 'docker');
  return textIn(endpoints, 'Host');
}

async function readJson(path: string): Promise<unknown> {
  try {
    const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
    return parsed;
  } catch {
    // No docker CLI was ever used here, or its file is broken: the usual socket is tried.
    return undefined;
  }
}

function recordIn(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Object.entries(value).find(([name]) => name === key)?.[1] : undefined;
}

function textIn(value: unknown, key: string): string | undefined {
  const found = recordIn(value, key);
  return typeof found === 'string' ? found : undefined;
}

export function dial(target: DialTarget, signal?: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = target.type === 'unix' ? connect(target.path) : connect(target.port, target.address);
    const abort = (): void => void socket.destroy(new Error('interrupted'));
    signal?.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => {
      signal?.removeEventListener('abort', abort);
      socket.removeListener('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

function listenLocal(onConnection: (stream: Duplex) => void): Promise<AsyncDisposable & { readonly port: number }> {
  return new Promise((resolve, reject) => {
    const server = createServer(onConnection);
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      resolve({ port, [Symbol.asyncDispose]: async () => void server.close() });
    });
  });
}

function explainEngine(
  error: unknown,
  at: {
    readonly command: string;
    readonly engine: DialTarget;
    readonly described: { readonly name: string; readonly description: string };
    readonly options: LocalOptions;
  },
): CuError {
  if (error instanceof CuError) return error;
  const { engine, described } = at;
  const path = engine.type === 'unix' ? engine.path : `${engine.address}:${engine.port}`;
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (code === 'EACCES') return socketDenied(described, path, at.options.username, error);
  if (code === 'ENOENT') return engineMissing(described, path, error);
  if (code === 'ECONNREFUSED') {
    return new CuError('DOCKER_UNAVAILABLE', `the Docker engine on this machine does not answer at ${path}`, {
      host: described.name,
      hint: 'start it, or set DOCKER_HOST to where it listens',
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new CuError('CONNECTION_LOST', `the Docker engine on this machine did not finish: ${message}`, {
    host: described.name,
    command: at.command,
    cause: error,
  });
}
