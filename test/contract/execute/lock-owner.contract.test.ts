import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { acquireLocks } from '../../../src/execute/lock.ts';
import type { LockOptions } from '../../../src/execute/lock.ts';
import type { Host } from '../../../src/transport/host.ts';
import { openLocal } from '../../../src/transport/local.ts';
import { attachTestbed } from '../../support/hosts.ts';
import type { Testbed } from '../../support/hosts.ts';
import { createHome, eventually, execute, failureOf, hostOf, poolIn, targetOf } from '../transport/setup.ts';
import type { Home } from '../transport/setup.ts';

const clients = ['ssh2', 'openssh', 'local'] as const;
type Client = (typeof clients)[number];

let bed: Testbed;
let home: Home;
const opened: AsyncDisposable[] = [];

beforeAll(async () => {
  bed = await attachTestbed();
  home = await createHome();
});

afterAll(async () => {
  for (const each of opened) await each[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

async function open(client: Client): Promise<Host> {
  if (client === 'local') {
    const env = { DOCKER_HOST: `unix://${bed.engineSocket}` };
    return openLocal({ name: 'here', dockerSocket: undefined }, { env, home: home.path, username: 'root' });
  }
  const pool = poolIn(home);
  opened.push(pool);
  return pool.open(targetOf(hostOf(bed, 'host2'), bed, { client }));
}

function options(lock: string, overrides: Partial<LockOptions> = {}): LockOptions {
  return {
    name: lock,
    what: 'lockowner dev',
    owner: { user: 'ana', machine: 'laptop', pid: 4711, command: 'deploy', commit: undefined, startedAt: Date.now() },
    waitMs: 0,
    signal: new AbortController().signal,
    now: Date.now,
    isGone: () => false,
    onWaiting: () => undefined,
    onWarning: (host, text) => expect.fail(`${host}: ${text}`),
    ...overrides,
  };
}

/** Another process of cu that holds the lock. */
async function startOwner(client: Client, lock: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('hold-lock.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, CU_TEST_HOST: 'host2', CU_TEST_CLIENT: client, CU_TEST_LOCK: lock },
  });
  expect(await once(child, 'message')).toContain('held');
  return child;
}

test.each(clients)('over %s it is free at once when its owner is killed', async (client) => {
  const lock = `cu-lockowner-${client}`;
  const owner = await startOwner(client, lock);
  const host = await open(client);
  expect((await failureOf(acquireLocks([host], options(lock)))).message).toContain('child@laptop');

  owner.kill('SIGKILL');

  const locks = await eventually(() => acquireLocks([host], options(lock)));
  await locks[Symbol.asyncDispose]();
});

test('an owner that is stopped loses it after a minute, and is told when it goes on', async () => {
  const lock = 'cu-lockowner-stopped';
  const owner = await startOwner('ssh2', lock);
  const host = await open('ssh2');
  try {
    owner.kill('SIGSTOP');
    const locks = await acquireLocks([host], options(lock, { waitMs: 75_000 }));
    const isTold = once(owner, 'message');

    owner.kill('SIGCONT');

    expect(await isTold).toContain('lost');
    await locks[Symbol.asyncDispose]();
  } finally {
    owner.kill('SIGKILL');
  }
});

/** The script has to do in what a small host has: each shell runs it with only its own tools and `flock`. */
describe.each(['dash', 'busybox'] as const)('in %s', (shell) => {
  let tools: string;

  beforeAll(async () => {
    tools = await mkdtemp(path.join(tmpdir(), 'cu-tools-'));
    await mkdir(path.join(tools, 'bin'));
    const where = async (name: string): Promise<string> => (await execute('which', [name])).stdout.trim();
    if (shell === 'busybox') await execute('busybox', ['--install', '-s', path.join(tools, 'bin')]);
    else await symlink(await where('dash'), path.join(tools, 'bin', 'sh'));
    const flock = path.join(tools, 'bin', 'flock');
    if (shell === 'dash') await symlink(await where('flock'), flock);
    else await writeFile(flock, busyboxFlock(await where('flock')), { mode: 0o755 });
  });

  afterAll(() => rm(tools, { recursive: true, force: true }));

  test('it is taken, refused with its owner, and free again', async () => {
    const lock = `cu-lockowner-${shell}`;
    const plain = await open('local');
    const search = [path.join(tools, 'bin'), ...(shell === 'busybox' ? [] : ['/usr/bin', '/bin'])].join(':');
    const host: Host = {
      ...plain,
      converse: (argv, signal) => plain.converse(['/usr/bin/env', `PATH=${search}`, ...argv], signal),
    };
    const held = await acquireLocks([host], options(lock));

    expect(
      await failureOf(acquireLocks([host], options(lock, { owner: { ...options(lock).owner, user: 'bob' } }))),
    ).toMatchObject({
      code: 'LOCK_HELD',
      message: expect.stringContaining('ana@laptop'),
    });
    await held[Symbol.asyncDispose]();
    const again = await acquireLocks([host], options(lock));
    await again[Symbol.asyncDispose]();
  });
});

/** Debian builds its busybox without flock: this is the real one, with no more options than busybox gives it. */
function busyboxFlock(flock: string): string {
  return `#!/bin/sh
case $1 in -*[!sxun]*) echo "flock: unrecognized option: $1" >&2; exit 1 ;; esac
exec ${flock} "$@"
`;
}
