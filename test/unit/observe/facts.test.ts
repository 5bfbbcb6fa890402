import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HostFacts } from '../../../src/core/state.ts';
import { readFacts } from '../../../src/observe/facts.ts';
import type { Docker } from '../../../src/transport/docker.ts';
import type { Host } from '../../../src/transport/host.ts';

let home: string;

beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), 'cu-facts-')));
});

afterEach(() => rmSync(home, { recursive: true }));

/** A host whose shell is this machine's with a home of its own, and whose engine keeps its data at `dockerRoot`. */
function host(dockerRoot: string): Host {
  const answers: Readonly<Record<string, object>> = {
    '/info': {
      ServerVersion: '20.10.24',
      OSType: 'linux',
      Architecture: 'x86_64',
      MemTotal: 16e9,
      NCPU: 4,
      DockerRootDir: dockerRoot,
    },
    '/version': { ApiVersion: '1.41' },
  };
  const docker: Docker = {
    json: async ({ path }) => answers[path],
    stream: unused,
    hijack: unused,
    usage: { calls: 0, sentBytes: 0, receivedBytes: 0 },
  };
  return {
    name: 'web-1',
    description: 'web-1',
    run: async ([file = '', ...args]) => ({
      exitCode: 0,
      signal: undefined,
      stdout: execFileSync(file, args, { encoding: 'utf8', env: { ...process.env, HOME: home } }),
      stderr: '',
    }),
    converse: unused,
    dial: unused,
    listen: unused,
    docker: () => docker,
    [Symbol.asyncDispose]: unused,
  };
}

async function unused(): Promise<never> {
  throw new Error('facts need no more than answers and one command');
}

function facts(dockerRoot: string, dockerSocket = '/nowhere.sock'): Promise<HostFacts> {
  return readFacts(host(dockerRoot), { dockerSocket, now: () => 1, signal: new AbortController().signal });
}

describe('free space is known where the engine keeps its data', () => {
  test('in the folder that its settings name', async () => {
    mkdirSync(join(home, '.config/docker'), { recursive: true });
    mkdirSync(join(home, 'big disk'));
    writeFileSync(
      join(home, '.config/docker/daemon.json'),
      JSON.stringify({ debug: true, 'data-root': join(home, 'big disk') }, undefined, 2),
    );

    expect((await facts(join(home, 'big disk'))).freeBytes).toBeGreaterThan(0);
    expect((await facts(join(home, 'big disk/100000.100000'))).freeBytes).toBeGreaterThan(0);
    expect((await facts(join(home, 'other'))).freeBytes).toBeUndefined();
    expect((await facts('/')).freeBytes).toBeUndefined();
  });

  test('without root, also through a link', async () => {
    mkdirSync(join(home, '.local/share'), { recursive: true });
    mkdirSync(join(home, 'data'));
    symlinkSync(join(home, 'data'), join(home, '.local/share/docker'));

    expect((await facts(join(home, 'data'))).freeBytes).toBeGreaterThan(0);
  });

  test('unless that is another machine', async () => {
    mkdirSync(join(home, '.local/share/docker'), { recursive: true });
    const { freeBytes } = await readFacts(host(join(home, '.local/share/docker')), {
      dockerSocket: undefined,
      now: () => 1,
      signal: new AbortController().signal,
    });

    expect(freeBytes).toBeUndefined();
  });
});

test('the group of Docker is that of the socket which is used, also behind a link', async () => {
  const socket = join(home, 'docker.sock');
  writeFileSync(join(home, 'real.sock'), '');
  // Others may not give a file away: there it is their own group that has to come out.
  if (process.getuid?.() === 0) chownSync(join(home, 'real.sock'), 0, 4321);
  symlinkSync(join(home, 'real.sock'), socket);

  expect((await facts('/var/lib/docker', socket)).dockerGid).toBe(statSync(socket).gid);
  expect((await facts('/var/lib/docker', join(home, 'none.sock'))).dockerGid).toBe(0);
});
