import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';
import { childStream } from './child-stream.ts';
import { createDocker } from './docker.ts';
import { DEFAULT_SOCKET, engineMissing, engineSilent, socketDenied } from './engine-socket.ts';
import { asSshError } from './errors.ts';
import type { Described } from './errors.ts';
import type { DialTarget, Host } from './host.ts';
import { runLocal } from './run-local.ts';
import { connectSocket } from './socket.ts';

export interface LocalOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly username: string;
}

const MAX_SOCKETS = 64;

/** This machine: its engine at DOCKER_HOST, the docker CLI's current context, or the usual socket. */
export async function openLocal(
  target: Pick<HostTarget, 'name' | 'dockerSocket'>,
  options: LocalOptions,
): Promise<Host> {
  const described = { name: target.name, description: 'this machine' };
  const engine = await engineAddress(target, options);
  const docker = createDocker({
    host: target.name,
    open: () => openEngine(engine, options),
    maxSockets: MAX_SOCKETS,
    explain: (error) => explainEngine(error, { engine, described, username: options.username }),
  });
  return {
    ...described,
    run: (argv, runOptions = {}) => runLocal(argv, { ...runOptions, host: target.name }),
    converse: converseLocal,
    dial: connectSocket,
    listen: listenLocal,
    docker: () => docker,
    [Symbol.asyncDispose]: async () => docker.close(),
  };
}

/** It ends with its input, which closes with cu itself, whatever ends cu. */
async function converseLocal([file = '', ...args]: readonly string[], signal: AbortSignal): Promise<Duplex> {
  signal.throwIfAborted();
  const child = spawn(file, args, { detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
  return childStream(child, () => void child.stdin.destroy());
}

/** Where the local engine listens; a DOCKER_HOST of ssh:// is an error that says to name the host instead. */
export async function engineAddress(
  target: Pick<HostTarget, 'name' | 'dockerSocket'>,
  options: LocalOptions,
): Promise<DialTarget> {
  if (target.dockerSocket !== undefined) return { type: 'unix', path: target.dockerSocket };
  const url = options.env['DOCKER_HOST'] ?? (await contextHost(options));
  if (url === undefined || url === '') return { type: 'unix', path: DEFAULT_SOCKET };
  if (url.startsWith('unix://')) return { type: 'unix', path: url.slice('unix://'.length) || DEFAULT_SOCKET };
  const tcp = /^(?:tcp|http):\/\/\[?([^\]/]+?)\]?:(\d+)\/?$/.exec(url);
  if (tcp?.[1] !== undefined) return { type: 'tcp', address: tcp[1], port: Number(tcp[2]) };
  throw new CuError('USAGE', `cu cannot use the engine at DOCKER_HOST=${url}`, {
    host: target.name,
    hint: url.startsWith('ssh://')
      ? 'give the host an `address` in the config instead of `connection: local`'
      : 'use unix:///path/to.sock or tcp://address:port',
  });
}

/** The engine's socket on a host; undefined where the engine is on another machine than commands run on. */
export async function engineSocket(
  target: Pick<HostTarget, 'name' | 'connection' | 'dockerSocket'>,
  options: LocalOptions,
): Promise<string | undefined> {
  if (target.connection === 'ssh') return target.dockerSocket ?? DEFAULT_SOCKET;
  const engine = await engineAddress(target, options);
  return engine.type === 'unix' ? engine.path : undefined;
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
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([name]) => name === key)?.[1]
    : undefined;
}

function textIn(value: unknown, key: string): string | undefined {
  const found = recordIn(value, key);
  return typeof found === 'string' ? found : undefined;
}

/** Plain, or as DOCKER_TLS_VERIFY and DOCKER_CERT_PATH ask for. */
async function openEngine(engine: DialTarget, { env, home }: LocalOptions): Promise<Duplex> {
  if (engine.type === 'unix' || (env['DOCKER_TLS_VERIFY'] ?? '') === '') return connectSocket(engine);
  const folder = env['DOCKER_CERT_PATH'] ?? `${home}/.docker`;
  const [ca, cert, key] = await Promise.all(
    ['ca.pem', 'cert.pem', 'key.pem'].map((name) => readFile(`${folder}/${name}`)),
  );
  const { connect } = await import('node:tls');
  return new Promise((resolve, reject) => {
    const socket = connect({ host: engine.address, port: engine.port, ca, cert, key }, () => resolve(socket));
    socket.on('error', reject);
  });
}

function listenLocal(onConnection: (stream: Duplex) => void): Promise<AsyncDisposable & { readonly port: number }> {
  return new Promise((resolve, reject) => {
    const open = new Set<Socket>();
    // As with SSH: who ends its side early still gets the answer.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => open.delete(socket));
      onConnection(socket);
    });
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const close = async (): Promise<void> => {
        server.close();
        for (const socket of open) socket.destroy();
      };
      resolve({ port, [Symbol.asyncDispose]: close });
    });
  });
}

function explainEngine(
  error: unknown,
  at: { readonly engine: DialTarget; readonly described: Described; readonly username: string },
): CuError {
  if (error instanceof CuError) return error;
  const { engine, described } = at;
  const path = engine.type === 'unix' ? engine.path : `${engine.address}:${engine.port}`;
  const { code } = asSshError(error);
  if (code === 'EACCES') return socketDenied(described, path, { user: at.username, cause: error });
  if (code === 'ENOENT') return engineMissing(described, path, error);
  return engineSilent(described, path, error);
}
