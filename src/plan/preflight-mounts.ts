import type { ContainerSpec } from '../core/container.ts';
import { CuError } from '../core/error.ts';
import type { PathFacts } from '../core/path-facts.ts';
import type { ObservedHost } from '../core/state.ts';

interface Use {
  readonly source: string;
  readonly readOnly: boolean;
  readonly spec: ContainerSpec;
  readonly host: ObservedHost;
}

/** What is wrong with a bind mount, if that is known for certain. */
export function pathProblem(path: PathFacts | undefined, use: Use): CuError | undefined {
  if (path === undefined || path.type === 'hidden') return undefined;
  const { source, spec, host } = use;
  if (path.type === 'missing') {
    return new CuError('HOST_MISMATCH', `${source} is missing: ${spec.service} mounts it`, {
      host: host.name,
      hint: `make it there: mkdir -p ${source}${ownerHint(spec)}`,
    });
  }
  const { uid, gid } = spec;
  // The user of an image is not known, and root may write everywhere.
  if (use.readOnly || uid === undefined || uid === 0 || !path.isPlain || hasOtherIds(host)) return undefined;
  const bits = path.uid === uid ? path.mode >> 6 : path.gid === (gid ?? uid) ? path.mode >> 3 : path.mode;
  const needed = path.isFolder ? 0o3 : 0o2;
  if ((bits & needed) === needed) return undefined;
  const owner = `${path.uid}:${path.gid}, mode ${path.mode.toString(8).padStart(3, '0')}`;
  return new CuError(
    'HOST_MISMATCH',
    `${spec.service} runs as ${uid}:${gid ?? uid} and cannot write to ${source} (${owner})`,
    { host: host.name, hint: `write ${source}:...:ro if it only reads; else chown ${uid}:${gid ?? uid} ${source}` },
  );
}

function ownerHint({ uid, gid }: ContainerSpec): string {
  return uid === undefined ? '' : `, and chown it to ${uid}:${gid ?? uid}`;
}

/** A rootless engine, and one with user namespaces, shifts ids; both show it in where they keep their data. */
function hasOtherIds({ facts }: ObservedHost): boolean {
  return /\/\.local\/share\/docker\/?$|\/\d+\.\d+\/?$/.test(facts.dockerRoot);
}
