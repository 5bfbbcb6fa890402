import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { acquireLocks } from '../../../src/execute/lock.ts';
import type { LockOptions } from '../../../src/execute/lock.ts';
import type { Host } from '../../../src/transport/host.ts';

const OPTIONS: LockOptions = {
  name: 'cu-shop-dev',
  what: 'shop dev',
  owner: { user: 'ana', machine: 'laptop', pid: 1, command: 'deploy', commit: undefined, startedAt: 0 },
  waitMs: 0,
  signal: new AbortController().signal,
  now: () => 0,
  isGone: () => false,
  onWaiting: () => undefined,
  onWarning: (host, text) => expect.fail(`${host}: ${text}`),
};

interface Machine {
  /** Who holds the lock there, as the host tells it. */
  owner: string | undefined;
  asked: number;
  drop: () => void;
}

/** A machine with a lock, and hosts that reach it: two where it has two names. */
function machine(owner?: string): Machine {
  return { owner, asked: 0, drop: () => undefined };
}

function hostOn(at: Machine, name: string): Host {
  const unused = (): never => expect.fail('only the lock is asked for');
  return {
    name,
    description: name,
    run: unused,
    dial: unused,
    listen: unused,
    docker: unused,
    converse: async (argv) => {
      at.asked += 1;
      const stream = new PassThrough();
      const answer = at.owner === undefined ? 'held' : `refused ${at.owner}`;
      if (at.owner === undefined) {
        at.owner = argv.at(-1);
        at.drop = () => stream.destroy();
      }
      // What is written to it, such as a beat, comes back as well; nobody reads on after the answer.
      stream.write(`${answer}\n`);
      return stream;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

test('locks of further hosts are held beside the first ones, each asked for once', async () => {
  const [one, two] = [machine(), machine()];
  await using locks = await acquireLocks([hostOn(one, 'host1')], OPTIONS);

  await locks.add([hostOn(one, 'host1'), hostOn(two, 'host2')]);
  await locks.add([hostOn(two, 'host2')]);

  expect([one.asked, two.asked]).toEqual([1, 1]);
  two.drop();
  await expect.poll(() => locks.lostOn('host2')?.aborted).toBe(true);
  expect(locks.lostOn('host1')?.aborted).toBe(false);
});

test('a further host that somebody else changes is refused, and the first ones stay held', async () => {
  const other = JSON.stringify({ ...OPTIONS.owner, user: 'ben', machine: 'desk' });
  await using locks = await acquireLocks([hostOn(machine(), 'host1')], OPTIONS);

  await expect(locks.add([hostOn(machine(other), 'host3')])).rejects.toMatchObject({
    code: 'LOCK_HELD',
    host: 'host3',
    message: expect.stringContaining('shop dev is being changed by ben@desk'),
  });
  expect(locks.lostOn('host1')?.aborted).toBe(false);
  expect(locks.lostOn('host3')).toBeUndefined();
});

test('a further host that is one of the first under another name is locked already', async () => {
  const one = machine();
  await using locks = await acquireLocks([hostOn(one, 'host1')], OPTIONS);

  await expect(locks.add([hostOn(one, 'host1@192.0.2.11')])).resolves.toBeUndefined();
});
