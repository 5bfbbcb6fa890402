import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { paths } from './paths.ts';
import { isRunning, readPid } from './process.ts';
import type { TestHost } from './testbed.ts';

/** A running testbed, as the command that started it left it for others. */
export interface TestbedState {
  readonly enginePid: number;
  readonly startedAt: string;
  readonly identity: string;
  readonly mirror: string | null;
  readonly hosts: readonly TestHost[];
}

/** Test hosts are up already, or somebody is starting or stopping them. */
export class TestbedBusyError extends Error {
  override readonly name = 'TestbedBusyError';
}

/** The state of the running testbed; what a dead one left behind does not count. */
export function readState(): TestbedState | undefined {
  if (!existsSync(paths.state)) return undefined;
  // Written by `writeState` below, and by nobody else.
  const state = JSON.parse(readFileSync(paths.state, 'utf8')) as TestbedState;
  return isRunning(state.enginePid, paths.socket) ? state : undefined;
}

export function writeState(state: TestbedState): void {
  writeFileSync(`${paths.state}.new`, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(`${paths.state}.new`, paths.state);
}

export function forgetState(): void {
  rmSync(paths.state, { force: true });
}

/** Keeps two commands from changing the testbed at once; the lock of a dead process does not count. */
export function lockTestbed(): Disposable {
  mkdirSync(paths.run, { recursive: true });
  const owner = readPid(paths.lock);
  if (owner !== undefined && !isRunning(owner, 'node')) rmSync(paths.lock, { force: true });
  // Linked and not written in place: a lock without a pid in it could never be told from a stale one.
  const own = `${paths.lock}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  try {
    linkSync(own, paths.lock);
  } catch {
    throw new TestbedBusyError(`test hosts are being started or stopped by process ${owner ?? '?'}; wait for it`);
  } finally {
    rmSync(own, { force: true });
  }
  return { [Symbol.dispose]: () => rmSync(paths.lock, { force: true }) };
}
