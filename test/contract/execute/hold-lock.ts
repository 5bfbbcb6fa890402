import { acquireLocks } from '../../../src/execute/lock.ts';
import { attachTestbed } from '../../support/hosts.ts';
import { createHome, hostOf, poolIn, targetOf } from '../transport/setup.ts';

/** A deployer that takes the lock, says so, and never gives it back. */
const bed = await attachTestbed();
const pool = poolIn(await createHome());
const host = await pool.open(targetOf(hostOf(bed, process.env['CU_TEST_HOST'] ?? ''), bed));
await acquireLocks([host], {
  name: 'cu-locktest-dev',
  what: 'locktest dev',
  owner: { user: 'child', machine: 'laptop', pid: process.pid, command: 'deploy', commit: undefined, startedAt: 0 },
  waitMs: 0,
  signal: new AbortController().signal,
  now: Date.now,
  onWaiting: () => undefined,
  onWarning: () => undefined,
});
process.send?.('held');
setInterval(() => undefined, 1000);
