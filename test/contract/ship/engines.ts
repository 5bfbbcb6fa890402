import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Docker, DockerRequest } from '../../../src/transport/docker.ts';
import type { DialTarget, Host } from '../../../src/transport/host.ts';
import { openLocal } from '../../../src/transport/local.ts';

/** A real engine with an empty store of its own, so that a test may prune it and count what is there. */
export interface TestEngine extends AsyncDisposable {
  readonly host: Host;
  readonly engine: DialTarget;
  readonly store: 'classic' | 'containerd';
}

/** `CU_TEST_ENGINE_TARGET=/path/docker.sock` and the like put another engine, such as a newer version, in place of the one started here. */
export async function startEngine(name: string): Promise<TestEngine> {
  const given = process.env[`CU_TEST_ENGINE_${name.toUpperCase()}`];
  if (given !== undefined) {
    const host = await hostAt(name, given);
    return {
      host,
      engine: { type: 'unix', path: given },
      store: await storeOf(host.docker()),
      [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
    };
  }
  const folder = await mkdtemp(path.join(tmpdir(), `cu-engine-${name}-`));
  const socket = path.join(folder, 'docker.sock');
  const argv = [
    '--data-root',
    path.join(folder, 'data'),
    '--exec-root',
    path.join(folder, 'exec'),
    '-H',
    `unix://${socket}`,
    '-p',
    path.join(folder, 'pid'),
  ];
  // No bridge: the builds of these tests need no network, and nothing of the machine's is touched.
  const child = spawn('dockerd', [...argv, '--bridge', 'none', '--iptables=false', '--log-level', 'error'], {
    detached: true,
    stdio: 'ignore',
  });
  const host = await hostAt(name, socket);
  await answering(host.docker(), name);
  return {
    host,
    engine: { type: 'unix', path: socket },
    store: await storeOf(host.docker()),
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]();
      const pid = Number(await readFile(path.join(folder, 'pid'), 'utf8'));
      process.kill(pid, 'SIGTERM');
      for (let tries = 0; tries < 100 && child.exitCode === null; tries += 1) await wait(100);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function storeOf(docker: Docker): Promise<TestEngine['store']> {
  const info = await docker.json({ method: 'GET', path: '/info' });
  return JSON.stringify(info).includes('io.containerd.snapshotter.v1') ? 'containerd' : 'classic';
}

async function answering(docker: Docker, name: string): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    const version = await docker.json({ method: 'GET', path: '/version' }).catch(() => undefined);
    if (version !== undefined) return;
    await wait(100);
  }
  throw new Error(`dockerd ${name} did not answer within 30 s`);
}

export function hostAt(name: string, socket: string): Promise<Host> {
  return openLocal({ name, dockerSocket: socket }, { env: {}, home: '/nonexistent', username: 'root' });
}

/** The same host, with something happening just before a request; real engines do not fail on demand. */
export function before(host: Host, matches: (request: DockerRequest) => boolean, act: () => Promise<void>): Host {
  const docker = host.docker();
  const first = async (request: DockerRequest): Promise<void> => {
    if (matches(request)) await act();
  };
  const wrapped: Docker = {
    json: async (request) => first(request).then(() => docker.json(request)),
    stream: async (request) => first(request).then(() => docker.stream(request)),
    hijack: (request) => docker.hijack(request),
    usage: docker.usage,
  };
  return { ...host, docker: () => wrapped };
}
