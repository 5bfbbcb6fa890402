import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CuError } from '../../../src/core/error.ts';
import type { HostTarget } from '../../../src/core/state.ts';
import type { Host } from '../../../src/transport/host.ts';
import { createPool } from '../../../src/transport/pool.ts';
import type { Pool, PoolOptions } from '../../../src/transport/pool.ts';
import type { TestHost, Testbed } from '../../support/hosts.ts';

export const execute = promisify(execFile);

/** A home of its own, so that nothing of the developer's ~/.ssh takes part. */
export interface Home extends AsyncDisposable {
  readonly path: string;
  write(name: string, content: string): Promise<string>;
  /** A copy of a private key, under a name below .ssh, with a passphrase when one is given. */
  copyKey(from: string, name: string, passphrase?: string): Promise<string>;
}

export async function createHome(): Promise<Home> {
  const home = await mkdtemp(path.join(tmpdir(), 'cu-home-'));
  const folder = path.join(home, '.ssh');
  await mkdir(folder, { mode: 0o700 });
  return {
    path: home,
    write: async (name, content) => {
      const file = path.join(folder, name);
      await writeFile(file, content, { mode: 0o600 });
      return file;
    },
    copyKey: async (from, name, passphrase) => {
      const file = path.join(folder, name);
      await cp(from, file);
      if (passphrase !== undefined) await execute('ssh-keygen', ['-p', '-q', '-P', '', '-N', passphrase, '-f', file]);
      return file;
    },
    [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }),
  };
}

export function poolIn(home: Home, options: Partial<PoolOptions> = {}): Pool {
  return createPool({
    env: { PATH: process.env['PATH'], HOME: home.path },
    home: home.path,
    username: 'nobody-here',
    tmp: tmpdir(),
    connectTimeoutMs: 10_000,
    interactive: false,
    ask: () => Promise.reject(new Error('nothing may be asked here')),
    confirm: () => Promise.reject(new Error('nothing may be asked here')),
    emit: () => undefined,
    signal: new AbortController().signal,
    targets: [],
    ...options,
  });
}

export function targetOf(host: TestHost, bed: Testbed, settings: Partial<HostTarget> = {}): HostTarget {
  return {
    name: host.name,
    connection: 'ssh',
    address: host.address,
    user: 'deploy',
    port: host.port,
    identity: bed.identity,
    proxyJump: [],
    knownHosts: host.hostKeyLines,
    advertise: undefined,
    client: 'ssh2',
    dockerSocket: undefined,
    ...settings,
  };
}

export function hostOf(bed: Testbed, name: string): TestHost {
  const found = bed.hosts.find((host) => host.name === name);
  if (found === undefined) throw new Error(`these tests need ${name}: npm run hosts -- up 3`);
  return found;
}

/** What went wrong, as a person would see it; a success or an error of another kind fails the test. */
export async function failureOf(promise: Promise<unknown>): Promise<CuError> {
  const result = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (result instanceof CuError) return result;
  throw new Error(`expected a CuError, got ${String(result)}`, { cause: result });
}

/** Another sshd on a test host, with settings of its own, on a port of its own. */
export interface ExtraSshd extends AsyncDisposable {
  readonly port: number;
  readonly hostKeyLines: readonly string[];
  /** Connections that sshd has now. */
  connections(): Promise<number>;
  /** Stops sshd and all its sessions without closing anything, as a host that hangs; and lets them go on. */
  signal(name: 'STOP' | 'CONT'): Promise<void>;
}

export async function startSshd(
  bed: Testbed,
  host: TestHost,
  { port, settings = [] }: { readonly port: number; readonly settings?: readonly string[] },
): Promise<ExtraSshd> {
  const shell = async (script: string): Promise<string> => {
    const result = await bed.exec(host.name, ['sh', '-c', script]);
    if (result.exitCode !== 0) throw new Error(`${script}: ${result.stderr}`);
    return result.stdout.trim();
  };
  const pidFile = `/run/sshd-${port}.pid`;
  const options = [`Port=${port}`, `PidFile=${pidFile}`, ...settings].map((each) => `-o ${each}`).join(' ');
  const all = `$(cat ${pidFile}) $(for p in $(pgrep -P $(cat ${pidFile})); do echo $p; pgrep -P $p -x sshd; done)`;
  await shell(`[ -e ${pidFile} ] && kill -KILL $(cat ${pidFile}); rm -f ${pidFile}; /usr/sbin/sshd ${options}`);
  await eventually(() => shell(`cat ${pidFile}`));
  return {
    port,
    hostKeyLines: host.hostKeyLines.map((line) => line.replace(host.address, `[${host.address}]:${port}`)),
    connections: async () => Number(await shell(`ss -Htn state established '( sport = :${port} )' | wc -l`)),
    signal: async (name) => void (await shell(`kill -${name} ${all}; true`)),
    [Symbol.asyncDispose]: async () =>
      void (await shell(`kill -CONT ${all}; kill -KILL ${all}; rm -f ${pidFile}; true`)),
  };
}

export async function eventually<T>(probe: () => Promise<T>, withinMs = 5000): Promise<T> {
  const startedAt = performance.now();
  for (;;) {
    try {
      return await probe();
    } catch (error) {
      if (performance.now() - startedAt > withinMs) throw error;
      await sleep(50);
    }
  }
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** All that a stream says until it ends. */
export async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

export type { Host };
