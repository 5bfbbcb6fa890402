import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { addresses, hostAddress, mirrorUrl } from './addresses.ts';
import { docker, dockerLines, tryDocker } from './docker.ts';
import { paths, type CachePaths } from './paths.ts';
import { waitFor } from './process.ts';
import type { TestHost } from './testbed.ts';

const label = 'cu-testbed=host';

// By bit number, as in capability(7): those that Docker 20.10 knows. Bits 38-40 (PERFMON, BPF, CHECKPOINT_RESTORE) came later.
const capabilities = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE ' +
  'NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT ' +
  'SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE ' +
  'AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ'
).split(' ');

export async function createHostNetwork(): Promise<void> {
  const bridge = `com.docker.network.bridge.name=${addresses.hostBridge}`;
  const subnet = ['--subnet', addresses.hostSubnet, '--gateway', addresses.hostGateway];
  await docker(['network', 'create', '--driver', 'bridge', ...subnet, '-o', bridge, addresses.hostNetwork]);
}

const SHARED_VOLUME = 'cu-tb-shared';

/** A directory that all hosts mount, as a NAS would be; any user may make folders in it. */
const SHARED_FOLDER = '/mnt/shared';

/** Starts a host with an empty Docker Engine; it is not ready yet, see `waitForHost`. */
export async function startHost(
  index: number,
  image: string,
  options: { readonly cache: CachePaths; readonly mirror: boolean },
): Promise<void> {
  const name = containerName(index);
  await docker(['volume', 'create', '--label', label, name]);
  await docker(['volume', 'create', '--label', label, SHARED_VOLUME]);
  const port = await freePort(42200 + index);
  const mounts = [
    '/sys/fs/cgroup:/sys/fs/cgroup:rw',
    `${name}:/var/lib/docker`,
    `${SHARED_VOLUME}:${SHARED_FOLDER}`,
    // Docker's own DNS at 127.0.0.11 would be useless to the engine inside, whose containers have another loopback.
    `${paths.resolvConf}:/etc/resolv.conf:ro`,
    `${options.cache.identity}.pub:/etc/cu-testbed/authorized_keys:ro`,
  ];
  const flags = [
    ['--init', '--name', name, '--hostname', `host${index}`, '--label', label],
    bounded().flatMap((capability) => ['--cap-add', capability]),
    ['seccomp', 'apparmor', 'systempaths'].flatMap((option) => ['--security-opt', `${option}=unconfined`]),
    ['--cgroupns=host', '--tmpfs', '/run:rw,nosuid,nodev,mode=755'],
    mounts.flatMap((mount) => ['-v', mount]),
    // A container inside gets no device that its host lacks: without this rule none of them could be privileged.
    ['--device-cgroup-rule', 'a *:* rwm'],
    existsSync('/dev/fuse') ? ['--device', '/dev/fuse'] : [],
    ['--network', addresses.hostNetwork, '--ip', hostAddress(index), '-p', `127.0.0.1:${port}:22`],
    ['-e', `CU_TESTBED_DOCKERD_OPTIONS=${options.mirror ? `--registry-mirror=${mirrorUrl()}` : ''}`],
  ];
  await docker(['run', '-d', ...flags.flat(), image]);
}

/** Waits until the host's sshd and engine answer, then tells how to reach it. */
export async function waitForHost(index: number): Promise<TestHost> {
  const container = containerName(index);
  await docker(['exec', container, 'chmod', '1777', SHARED_FOLDER]);
  const address = hostAddress(index);
  await waitForEngine(container);
  const keys = await waitFor(`sshd of ${container}`, () => readHostKeys(container), { timeoutMs: 30_000 });
  const mapping = await docker(['port', container, '22/tcp']);
  return {
    name: `host${index}`,
    address,
    port: 22,
    forwardedPort: Number(mapping.split('\n')[0]?.split(':').at(-1)),
    hostKeyLines: keys.map((key) => `${address} ${key}`),
    container,
  };
}

export async function waitForEngine(container: string): Promise<void> {
  try {
    await waitFor(`the engine of ${container}`, () => succeeds(container, ['docker', 'info']), { timeoutMs: 60_000 });
  } catch (error) {
    const { stdout } = await tryDocker(['exec', container, 'tail', '-n', '15', '/var/log/dockerd.log'], {
      timeoutMs: 5_000,
    });
    throw new Error(`the engine of ${container} does not answer; its log ends with:\n${stdout}`, { cause: error });
  }
}

/** Removes the testbed's hosts with their data, by id, in whatever state they are. */
export async function removeHosts(): Promise<void> {
  const ids = await dockerLines(['ps', '-aq', '--filter', `label=${label}`]);
  if (ids.length > 0) await docker(['rm', '-f', '-v', ...ids], { timeoutMs: 120_000 });
  const volumes = await dockerLines(['volume', 'ls', '-q', '--filter', `label=${label}`]);
  if (volumes.length > 0) await docker(['volume', 'rm', '-f', ...volumes]);
  const networks = await dockerLines(['network', 'ls', '-q', '--filter', `name=^${addresses.hostNetwork}$`]);
  if (networks.length > 0) await docker(['network', 'rm', ...networks]);
}

function containerName(index: number): string {
  return `cu-tb-host${index}`;
}

/** The number by which a host was started. */
export function indexOf(container: string): number {
  return Number(/\d+$/.exec(container)?.[0]);
}

/** Not --privileged: that fails where this process lacks a capability itself. */
function bounded(): readonly string[] {
  const mask = /^CapBnd:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return capabilities.filter((_, bit) => (BigInt(`0x${mask}`) >> BigInt(bit)) & 1n);
}

async function readHostKeys(container: string): Promise<readonly string[] | undefined> {
  if (
    (await succeeds(container, ['sh', '-c', 'echo | curl -s -m 2 telnet://127.0.0.1:22 | grep -q ^SSH-'])) === undefined
  )
    return undefined;
  const keys = await dockerLines(['exec', container, 'sh', '-c', 'cat /etc/ssh/ssh_host_*_key.pub']);
  return keys.map((line) => line.split(' ').slice(0, 2).join(' '));
}

async function succeeds(container: string, argv: readonly string[]): Promise<true | undefined> {
  return (await tryDocker(['exec', container, ...argv], { timeoutMs: 10_000 })).exitCode === 0 ? true : undefined;
}

/** The wanted port of 127.0.0.1 when it is free, else one that the kernel picks. */
async function freePort(wanted: number): Promise<number> {
  return (await listensOn(wanted)) ?? (await listensOn(0)) ?? wanted;
}

function listensOn(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : undefined));
    });
  });
}
