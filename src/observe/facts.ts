import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';
import type { HostFacts } from '../core/state.ts';
import type { Host } from '../transport/host.ts';
import { parseListening } from './listening.ts';

const info = z.object({
  ServerVersion: z.string(),
  OSType: z.string(),
  Architecture: z.string(),
  MemTotal: z.number(),
  NCPU: z.number(),
  DockerRootDir: z.string(),
  DriverStatus: z.nullish(z.array(z.array(z.string()))),
});

/** POSIX sh, each part on lines of its own; what a host lacks is left out, never an error. */
const SCRIPT = `
echo "uid $(id -u)"; echo "gid $(id -g)"; echo "docker-gid $(stat -c %g /var/run/docker.sock 2>/dev/null)"; echo "clock $(date +%s)"
df -Pk /var/lib/docker 2>/dev/null | awk 'NR==2 {print "free " $4}'
if command -v ip >/dev/null 2>&1; then ip -o addr show 2>/dev/null | awk '{sub(/\\/.*/, "", $4); print "address " $2 " " $4}'
else ifconfig -a 2>/dev/null | awk '/^[a-zA-Z0-9]/ {sub(/:$/, "", $1); name=$1} $1=="inet"||$1=="inet6" {sub(/addr:/, "", $2); print "address " name " " $2}'; fi
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4=="0A" {print "listen " $2}'
true`;

export interface FactsOptions {
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export async function readFacts(host: Host, options: FactsOptions): Promise<HostFacts> {
  const docker = host.docker();
  const { signal } = options;
  const askedAt = options.now();
  const [engine, version, shell] = await Promise.all([
    docker.json({ method: 'GET', path: '/info', signal }).then((value) => info.parse(value)),
    docker
      .json({ method: 'GET', path: '/version', signal })
      .then((value) => z.object({ ApiVersion: z.string() }).parse(value)),
    host.run(['sh', '-c', SCRIPT], { signal, timeoutMs: 20_000 }).then((result) => ({ ...result, at: options.now() })),
  ]);
  if (engine.OSType !== 'linux') {
    throw new CuError('HOST_MISMATCH', `the engine runs ${engine.OSType} containers, cu needs Linux ones`, {
      host: host.name,
    });
  }
  const lines = shell.stdout.split('\n').map((line) => line.split(' '));
  const value = (key: string): number | undefined => {
    const found = lines.find(([name]) => name === key)?.[1];
    return found === undefined || found === '' ? undefined : Number(found);
  };
  const clock = value('clock');
  const freeKib = value('free');
  return {
    engineVersion: engine.ServerVersion,
    apiVersion: version.ApiVersion,
    architecture: engine.Architecture,
    os: engine.OSType,
    memoryBytes: engine.MemTotal,
    cpus: engine.NCPU,
    imageStore: (engine.DriverStatus ?? []).some(
      ([key, text]) => key === 'driver-type' && text === 'io.containerd.snapshotter.v1',
    )
      ? 'containerd'
      : 'classic',
    dockerRoot: engine.DockerRootDir,
    freeBytes: freeKib === undefined || engine.DockerRootDir !== '/var/lib/docker' ? undefined : freeKib * 1024,
    uid: value('uid') ?? 0,
    gid: value('gid') ?? 0,
    dockerGid: value('docker-gid') ?? 0,
    interfaces: interfacesIn(lines),
    listening: parseListening(lines.flatMap(([key, text]) => (key === 'listen' && text !== undefined ? [text] : []))),
    clockOffsetMs: clock === undefined ? 0 : clock * 1000 + 500 - (askedAt + shell.at) / 2,
    clockToleranceMs: 500 + (shell.at - askedAt) / 2,
  };
}

function interfacesIn(lines: readonly (readonly string[])[]): Readonly<Record<string, readonly string[]>> {
  const found = new Map<string, string[]>();
  for (const [key, name, address] of lines) {
    if (key !== 'address' || name === undefined || address === undefined) continue;
    const short = name.replace(/@.*$/, '');
    found.set(short, [...(found.get(short) ?? []), address]);
  }
  return Object.fromEntries(found);
}
