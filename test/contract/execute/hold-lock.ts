import { tmpdir } from 'node:os';
import { acquireLocks } from '../../../src/execute/lock.ts';
import type { Host } from '../../../src/transport/host.ts';
import { openLocal } from '../../../src/transport/local.ts';
import { attachTestbed } from '../../support/hosts.ts';
import { createHome, hostOf, poolIn, targetOf } from '../transport/setup.ts';

/** A deployer that takes the lock, says so, and never gives it back; says also when it lost it. */
const { CU_TEST_HOST = '', CU_TEST_CLIENT = 'ssh2', CU_TEST_LOCK = 'cu-locktest-dev' } = process.env;

async function open(): Promise<Host> {
  const bed = await attachTestbed();
  if (CU_TEST_CLIENT === 'local') {
    const env = { DOCKER_HOST: `unix://${bed.engineSocket}` };
    return openLocal({ name: 'here', dockerSocket: undefined }, { env, home: tmpdir(), username: 'root' });
  }
  const pool = poolIn(await createHome());
  const client = CU_TEST_CLIENT === 'openssh' ? 'openssh' : 'ssh2';
  return pool.open(targetOf(hostOf(bed, CU_TEST_HOST), bed, { client }));
}

const host = await open();
const locks = await acquireLocks([host], {
  name: CU_TEST_LOCK,
  what: 'locktest dev',
  owner: { user: 'child', machine: 'laptop', pid: process.pid, command: 'deploy', commit: undefined, startedAt: 0 },
  waitMs: 0,
  signal: new AbortController().signal,
  now: Date.now,
  isGone: () => false,
  onWaiting: () => undefined,
  onWarning: () => undefined,
});
locks.lostOn(host.name)?.addEventListener('abort', () => process.send?.('lost'));
process.send?.('held');
setInterval(() => undefined, 1000);
