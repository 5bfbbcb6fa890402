import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { addresses, mirrorUrl } from './addresses.ts';
import { removeCgroups } from './cgroups.ts';
import { docker, dockerLines, tryDocker } from './docker.ts';
import { unmountBelow } from './mounts.ts';
import { paths, type CachePaths } from './paths.ts';
import { findProcesses, isLive, readPid, spawnDaemon, stopProcess, waitFor } from './process.ts';

const networkComment = 'cu-testbed';
const cgroup = '/cu-testbed';

/** Starts an engine of the testbed's own and waits until it answers; returns its pid. */
export async function startDockerd(cache: CachePaths, { mirror }: { readonly mirror: boolean }): Promise<number> {
  mkdirSync(cache.engineData, { recursive: true });
  const options = {
    'data-root': cache.engineData,
    'exec-root': paths.execRoot,
    host: `unix://${paths.socket}`,
    pidfile: paths.enginePid,
    bridge: addresses.engineBridge,
    // A Docker that already runs here owns the DOCKER chains: this engine leaves them alone and gets its own rules.
    iptables: 'false',
    // A path as parent needs this driver; with systemd it would have to be a slice.
    'exec-opt': 'native.cgroupdriver=cgroupfs',
    'cgroup-parent': cgroup,
    'insecure-registry': addresses.subnet,
    ...(mirror ? { 'registry-mirror': mirrorUrl() } : {}),
  };
  const argv = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  const pid = spawnDaemon(['dockerd', ...argv], paths.engineLog);
  await waitFor('the testbed engine to answer', () => answers(pid), { timeoutMs: 60_000, log: paths.engineLog });
  return pid;
}

/** Removes what an earlier run left in the engine, but not its images: they take minutes to make. */
export async function emptyEngine(): Promise<void> {
  const containers = await dockerLines(['ps', '-aq']);
  if (containers.length > 0) await docker(['rm', '-f', '-v', ...containers], { timeoutMs: 120_000 });
  const volumes = await dockerLines(['volume', 'ls', '-q']);
  if (volumes.length > 0) await docker(['volume', 'rm', '-f', ...volumes]);
  await docker(['network', 'prune', '-f']);
}

/** Stops whatever runs on the testbed's exec-root, however its last user left it: dockerd, containerd, shims, containers. */
export async function stopDockerd(): Promise<void> {
  const pid = readPid(paths.enginePid);
  if (pid !== undefined) await stopProcess(pid, paths.socket, 20_000);
  for (const left of findProcesses('dockerd', `--host=unix://${paths.socket}`))
    await stopProcess(left, paths.socket, 20_000);
  const containerdMarker = join(paths.execRoot, 'containerd/containerd.toml');
  for (const left of findProcesses('containerd', containerdMarker)) await stopProcess(left, containerdMarker, 5_000);
  const shimMarker = `-address ${join(paths.execRoot, 'containerd/containerd.sock')}`;
  for (const shim of findProcesses('containerd-shim-runc-v2', shimMarker)) await stopProcess(shim, shimMarker, 2_000);
  await removeCgroups(cgroup);
  await unmountBelow(paths.execRoot);
  rmSync(paths.enginePid, { force: true });
  rmSync(paths.socket, { force: true });
  rmSync(paths.execRoot, { recursive: true, force: true });
}

/** Makes the engine's bridge and the rules that let its containers reach each other and the outside. */
export async function createBridge(): Promise<void> {
  await removeBridges();
  await execa('ip', ['link', 'add', addresses.engineBridge, 'type', 'bridge']);
  await execa('ip', ['addr', 'add', addresses.engineSubnet, 'dev', addresses.engineBridge]);
  await execa('ip', ['link', 'set', addresses.engineBridge, 'up']);
  await execa('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=1']);
  for (const rule of firewallRules()) await iptables(rule, '-I');
}

export async function removeBridges(): Promise<void> {
  for (const rule of firewallRules()) {
    // A killed run may have left a rule twice.
    while (await hasRule(rule)) await iptables(rule, '-D');
  }
  for (const bridge of [addresses.engineBridge, addresses.hostBridge]) {
    if (existsSync(`/sys/class/net/${bridge}`)) await execa('ip', ['link', 'delete', bridge]);
  }
}

interface FirewallRule {
  readonly table: string;
  readonly chain: string;
  readonly match: readonly string[];
}

function firewallRules(): readonly FirewallRule[] {
  const comment = ['-m', 'comment', '--comment', networkComment];
  return [
    {
      table: 'nat',
      chain: 'POSTROUTING',
      match: ['-s', addresses.subnet, '!', '-d', addresses.subnet, ...comment, '-j', 'MASQUERADE'],
    },
    { table: 'filter', chain: 'FORWARD', match: ['-s', addresses.subnet, ...comment, '-j', 'ACCEPT'] },
    { table: 'filter', chain: 'FORWARD', match: ['-d', addresses.subnet, ...comment, '-j', 'ACCEPT'] },
  ];
}

async function iptables(rule: FirewallRule, action: '-I' | '-D'): Promise<void> {
  await execa('iptables', ['-w', '-t', rule.table, action, rule.chain, ...rule.match]);
}

async function hasRule(rule: FirewallRule): Promise<boolean> {
  const check = await execa('iptables', ['-w', '-t', rule.table, '-C', rule.chain, ...rule.match], { reject: false });
  return check.exitCode === 0;
}

async function answers(pid: number): Promise<true | undefined> {
  // By its pid alone: for a moment after it was started a process has no command line yet.
  if (!isLive(pid)) {
    // Let the wait end at once with the log's words: a daemon that is gone will not answer later.
    await waitFor('dockerd, which ended while starting', () => Promise.resolve(undefined), {
      timeoutMs: 0,
      log: paths.engineLog,
    });
  }
  const result = await tryDocker(['version', '--format', '{{.Server.Version}}'], { timeoutMs: 10_000 });
  return result.exitCode === 0 ? true : undefined;
}
