import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CuError } from '../../../src/core/error.ts';
import { acquireLocks } from '../../../src/execute/lock.ts';
import type { LockOptions, Locks } from '../../../src/execute/lock.ts';
import type { Host } from '../../../src/transport/host.ts';
import { attachTestbed } from '../../support/hosts.ts';
import type { Testbed } from '../../support/hosts.ts';
import { createHome, eventually, failureOf, hostOf, poolIn, targetOf } from '../transport/setup.ts';
import type { Home } from '../transport/setup.ts';

let bed: Testbed;
let home: Home;
const pools: AsyncDisposable[] = [];

beforeAll(async () => {
  bed = await attachTestbed();
  home = await createHome();
});

afterAll(async () => {
  for (const pool of pools) await pool[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

async function open(name: string, overrides: Parameters<typeof targetOf>[2] = {}): Promise<Host> {
  const pool = poolIn(home);
  pools.push(pool);
  return pool.open(targetOf(hostOf(bed, name), bed, overrides));
}

function options(user: string, overrides: Partial<LockOptions> = {}): LockOptions {
  return {
    name: 'cu-locktest-dev',
    what: 'locktest dev',
    owner: { user, machine: 'laptop', pid: 4711, command: 'deploy', commit: '1a2b3c4d5e6f', startedAt: Date.now() },
    waitMs: 0,
    signal: new AbortController().signal,
    now: Date.now,
    isGone: () => false,
    onWaiting: () => undefined,
    onWarning: (host, text) => expect.fail(`${host}: ${text}`),
    ...overrides,
  };
}

describe.each(['ssh2', 'openssh'] as const)('over %s', (client) => {
  test('a second one is refused and told who has it, and gets it once it is given back', async () => {
    const [first, second] = await Promise.all([open('host1', { client }), open('host1', { client })]);
    const held = await acquireLocks([first], options('ana'));

    const refusal = await failureOf(acquireLocks([second], options('bob')));

    expect(refusal).toMatchObject({ code: 'LOCK_HELD', exitCode: 5, host: 'host1' });
    expect(refusal.message).toMatch(
      /^locktest dev is being changed by ana@laptop since \d{4}-\d\d-\d\d \d\d:\d\d \(cu deploy, commit 1a2b3c4d5e, pid 4711\)$/,
    );
    expect(refusal.hint).toBe('wait for it with --lock-wait 5m');
    await held[Symbol.asyncDispose]();
    const again = await acquireLocks([second], options('bob'));
    await again[Symbol.asyncDispose]();
  });

  test('who waits gets it, and is told once whom it waits for', async () => {
    const [first, second] = await Promise.all([open('host1', { client }), open('host1', { client })]);
    const held = await acquireLocks([first], options('ana'));
    const told: string[] = [];

    const waiting = acquireLocks([second], options('bob', { waitMs: 20_000, onWaiting: (text) => told.push(text) }));
    await eventually(async () => expect(told).toHaveLength(1));
    await held[Symbol.asyncDispose]();

    await (await waiting)[Symbol.asyncDispose]();
    expect(told[0]).toContain('ana@laptop');
  });
});

test('where the owner is known to be dead it is waited for until the host has found that out', async () => {
  const [first, second] = await Promise.all([open('host1'), open('host1')]);
  const held = await acquireLocks([first], options('ana'));
  setTimeout(() => void held[Symbol.asyncDispose](), 3000);

  await using _lock = await acquireLocks([second], options('bob', { isGone: ({ user }) => user === 'ana' }));

  expect(await acquireLocks([first], options('carl')).catch((error: unknown) => error)).toMatchObject({
    code: 'LOCK_HELD',
  });
});

test('two users of a host see and respect each other', async () => {
  const [deploy, second] = await Promise.all([open('host2'), open('host2', { user: 'second' })]);
  for (const [owner, other] of [
    [deploy, second],
    [second, deploy],
  ] as const) {
    const held = await acquireLocks([owner], options('ana'));
    expect((await failureOf(acquireLocks([other], options('bob')))).message).toContain('ana@laptop');
    await held[Symbol.asyncDispose]();
  }
});

test('of two who take several hosts in opposite orders exactly one goes on, every time', async () => {
  const mine = await Promise.all(['host1', 'host2', 'host3'].map((name) => open(name)));
  const theirs = await Promise.all(['host3', 'host2', 'host1'].map((name) => open(name)));
  for (let round = 0; round < 20; round += 1) {
    const results = await Promise.allSettled([
      acquireLocks(mine, options('ana')),
      acquireLocks(theirs, options('bob')),
    ]);
    const held = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));

    expect(held).toHaveLength(1);
    for (const locks of held) await locks[Symbol.asyncDispose]();
  }
});

test('it is free at once when its owner is killed', async () => {
  const child = fork(fileURLToPath(new URL('hold-lock.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, CU_TEST_HOST: 'host2' },
  });
  await new Promise((resolve) => child.once('message', resolve));
  const host = await open('host2');
  expect((await failureOf(acquireLocks([host], options('bob')))).code).toBe('LOCK_HELD');

  child.kill('SIGKILL');

  const locks = await eventually(() => acquireLocks([host], options('bob')));
  await locks[Symbol.asyncDispose]();
});

test('its owner is told when it is lost, by host', async () => {
  const host = await open('host3');
  const locks: Locks = await acquireLocks([host], options('ana'));
  expect(locks.lostOn('host3')?.aborted).toBe(false);

  await bed.killSessions('host3');

  await eventually(async () => expect(locks.lostOn('host3')?.aborted).toBe(true));
  const reason = locks.lostOn('host3')?.reason as CuError;
  expect(reason).toMatchObject({ code: 'CONNECTION_LOST', host: 'host3' });
  await locks[Symbol.asyncDispose]();
});
