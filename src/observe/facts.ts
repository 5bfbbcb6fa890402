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

/**
 * POSIX sh, each part on lines of its own; what a host lacks is left out, never an error. Where the engine keeps its
 * data it says itself at the same time: free space is asked for at the places that are usual or in its settings.
 */
const SCRIPT = `
echo "uid $(id -u)"; echo "gid $(id -g)"; echo "docker-gid $(stat -L -c %g "$1" 2>/dev/null)"; echo "clock $(date +%s)"
{ echo /var/lib/docker; echo "$HOME/.local/share/docker"
  sed -n 's/.*"data-root"[[:space:]]*:[[:space:]]*"\\([^"]*\\)".*/\\1/p' /etc/docker/daemon.json "$HOME/.config/docker/daemon.json" 2>/dev/null
} | while read -r root; do
  real=$(readlink -f "$root" 2>/dev/null) || real=$root
  df -Pk "$real" 2>/dev/null | awk -v root="$real" 'NR==2 {print "free " $4 " " root}'
done
if command -v ip >/dev/null 2>&1; then ip -o addr show 2>/dev/null | awk '{sub(/\\/.*/, "", $4); print "address " $2 " " $4}'
else ifconfig -a 2>/dev/null | awk '/^[a-zA-Z0-9]/ {sub(/:$/, "", $1); name=$1} $1=="inet"||$1=="inet6" {sub(/addr:/, "", $2); print "address " name " " $2}'; fi
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4=="0A" {print "listen " $2}'
true`;

export interface FactsOptions {
  /** The engine's, on the host; undefined where the engine is on another machine than commands run on. */
  readonly dockerSocket: string | undefined;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export async function readFacts(host: Host, options: FactsOptions): Promise<HostFacts> {
  const docker = host.docker();
  const { signal, dockerSocket } = options;
  const askedAt = options.now();
  const [engine, version, shell] = await Promise.all([
    docker.json({ method: 'GET', path: '/info', signal }).then((value) => info.parse(value)),
    docker
      .json({ method: 'GET', path: '/version', signal })
      .then((value) => z.object({ ApiVersion: z.string() }).parse(value)),
    host
      .run(['sh', '-c', SCRIPT, 'sh', dockerSocket ?? ''], { signal, timeoutMs: 20_000 })
      .then((result) => ({ ...result, at: options.now() })),
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
    freeBytes: dockerSocket === undefined ? undefined : freeBytesAt(engine.DockerRootDir, lines),
    uid: value('uid') ?? 0,
    gid: value('gid') ?? 0,
    dockerGid: value('docker-gid') ?? 0,
    interfaces: interfacesIn(lines),
    listening: parseListening(lines.flatMap(([key, text]) => (key === 'listen' && text !== undefined ? [text] : []))),
    clockOffsetMs: clock === undefined ? 0 : clock * 1000 + 500 - (askedAt + shell.at) / 2,
    clockToleranceMs: 500 + (shell.at - askedAt) / 2,
  };
}

/** A folder of the engine's data may be that of a shifted range of ids (`/var/lib/docker/100000.100000`). */
function freeBytesAt(dockerRoot: string, lines: readonly (readonly string[])[]): number | undefined {
  const root = dockerRoot.replace(/\/\d+\.\d+\/?$/, '');
  const found = lines.find(([key, , ...path]) => key === 'free' && path.join(' ') === root);
  return found === undefined ? undefined : Number(found[1]) * 1024;
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
