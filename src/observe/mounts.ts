import { z } from 'zod/mini';
import type { PathFacts } from '../core/path-facts.ts';
import type { Host } from '../transport/host.ts';

/**
 * POSIX sh; one line for each path: `missing`, `hidden`, or owner, group, mode, type of file system and `ls` mode.
 * Of a path that is not there only one whose nearest existing folder may be searched is known to be missing.
 */
const SCRIPT = `
for path do
  if [ -e "$path" ]; then
    kind=$(stat -f -L -c %T -- "$path" 2>/dev/null) || kind=unknown
    list=$(ls -ldL -- "$path" 2>/dev/null) || list=
    owner=$(stat -L -c '%u %g %a' -- "$path" 2>/dev/null) || { echo hidden; continue; }
    echo "found $owner $(echo "$kind" | tr ' ' '_') \${list%% *}"
  else
    parent=$path
    while [ ! -e "$parent" ]; do parent=$(dirname -- "$parent"); done
    if [ -d "$parent" ] && [ ! -x "$parent" ]; then echo hidden; else echo missing; fi
  fi
done`;

/** Their servers, or the program behind them, have a say of their own. */
const REMOTE = /^(nfs|fuse|cifs|smb|v9fs|9p|ceph|afs|lustre|gpfs|gluster|unknown)/i;

const numbers = z.tuple([z.coerce.number(), z.coerce.number()]);

/** One read-only command for all paths of a host. */
export async function readPaths(
  host: Host,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PathFacts>> {
  if (paths.length === 0) return new Map();
  const result = await host.run(['sh', '-c', SCRIPT, 'sh', ...paths], { signal, timeoutMs: 20_000 });
  const lines = result.stdout.split('\n');
  return new Map(paths.map((path, index) => [path, parsePath(lines[index] ?? '')]));
}

export function parsePath(line: string): PathFacts {
  const [word, uid, gid, mode = '', kind = '', list = ''] = line.split(' ');
  if (word === 'missing') return { type: 'missing' };
  const owner = numbers.safeParse([uid, gid]);
  if (word !== 'found' || !owner.success || !/^[0-7]{1,4}$/.test(mode)) return { type: 'hidden' };
  return {
    type: 'found',
    uid: owner.data[0],
    gid: owner.data[1],
    mode: Number.parseInt(mode, 8),
    isFolder: list.startsWith('d'),
    isPlain: /^[-d][^+]*$/.test(list) && !REMOTE.test(kind),
  };
}
