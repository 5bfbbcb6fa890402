import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sendSignal, waitFor } from './process.ts';

const base = '/sys/fs/cgroup';

/**
 * Ends every process below the cgroup `name`, in all hierarchies, and removes it.
 * This finds the hosts that outlived their engine, also frozen ones: those take a SIGKILL only once they are thawed.
 */
export async function removeCgroups(name: string): Promise<void> {
  await waitFor(
    `the processes in cgroup ${name} to end`,
    async () => {
      const folders = foldersBelow(name);
      for (const folder of folders) killAll(folder);
      for (const folder of folders) thaw(folder);
      for (const folder of folders) remove(folder);
      return foldersBelow(name).length === 0 ? true : undefined;
    },
    { timeoutMs: 15_000 },
  );
}

/** Children before their parents: the order in which they can be removed. */
function foldersBelow(name: string): readonly string[] {
  if (!existsSync(base)) return [];
  const hierarchies = readdirSync(base).map((entry) => join(base, entry));
  return [base, ...hierarchies]
    .map((folder) => join(folder, name))
    .flatMap((root) => (existsSync(root) ? walk(root) : []));
}

function walk(folder: string): readonly string[] {
  const entries = attempt(() => readdirSync(folder, { withFileTypes: true })) ?? [];
  const children = entries.filter((entry) => entry.isDirectory());
  return [...children.flatMap((child) => walk(join(folder, child.name))), folder];
}

function killAll(folder: string): void {
  for (const pid of attempt(() => readFileSync(join(folder, 'cgroup.procs'), 'utf8'))?.split('\n') ?? []) {
    // 0 stands for a process of another pid namespace, and for our whole group in kill(2).
    if (Number(pid) > 0) sendSignal(Number(pid), 'SIGKILL');
  }
}

function thaw(folder: string): void {
  const version1 = join(folder, 'freezer.state');
  const version2 = join(folder, 'cgroup.freeze');
  if (existsSync(version1)) attempt(() => writeFileSync(version1, 'THAWED'));
  if (existsSync(version2)) attempt(() => writeFileSync(version2, '0'));
}

function remove(folder: string): void {
  attempt(() => rmdirSync(folder));
}

/** A cgroup may go at any moment, and stays while a process in it is still ending: both are for the next round to see. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
