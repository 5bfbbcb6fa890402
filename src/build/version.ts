import path from 'node:path';
import type { BuildContext } from './context.ts';

/** What git says of the folder that an image is built from. */
export type GitFacts =
  | { readonly type: 'none' }
  | {
      readonly type: 'commit';
      readonly hash: string;
      /** Number of commits up to this one; meaningless when shallow. */
      readonly commits: number;
      readonly committedAt: Date;
      readonly isShallow: boolean;
      /** Something that git does not know at this commit lies in the context. */
      readonly isDirty: boolean;
    };

export interface VersionOptions {
  readonly git: GitFacts;
  readonly digest: string;
  readonly now: Date;
  /** Versions in use and the inputs they stand for, so that one name never means two builds. */
  readonly taken?: ReadonlyMap<string, string>;
}

/** A name for people: `r<commits>.d<date>.h<commit>` of a clean commit, else with `x<digest>` in place of the commit. */
export function versionOf({ git, digest, now, taken }: VersionOptions): string {
  const content = `x${digest.slice(0, 10)}`;
  if (git.type === 'none' || git.isShallow) return `d${day(now)}.${content}`;
  if (git.isDirty) return `r${git.commits}.d${day(now)}.${content}`;
  const version = `r${git.commits}.d${day(git.committedAt)}.h${git.hash.slice(0, 10)}`;
  // The same commit with other build arguments, or with files that git ignores and Docker does not.
  return (taken?.get(version) ?? digest) === digest ? version : `${version}.${content}`;
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10).replaceAll('-', '');
}

export interface GitOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
}

const NONE = { type: 'none' } as const;

/** No git, no repository or no commit yet: `none`. */
export async function readGitFacts(context: BuildContext, options: GitOptions): Promise<GitFacts> {
  const git = await gitIn(context.root, options);
  const [head, count, status, where] = await Promise.all([
    git(['log', '-1', '--format=%H %ct', 'HEAD', '--']),
    git(['rev-list', '--count', 'HEAD', '--']),
    // Its paths are relative to the repository's top, whose prefix the last question gives.
    git(['status', '--porcelain=v1', '-z', '--no-renames', '--untracked-files=all', '--ignored=matching', '--', '.']),
    git(['rev-parse', '--is-shallow-repository', '--show-prefix']),
  ]);
  const [hash, seconds] = head?.split(' ') ?? [];
  if (hash === undefined || seconds === undefined || count === undefined || status === undefined || where === undefined)
    return NONE;
  const [shallow, prefix] = where.split('\n');
  return {
    type: 'commit',
    hash,
    commits: Number(count),
    committedAt: new Date(Number(seconds) * 1000),
    isShallow: shallow === 'true',
    isDirty: isDirty(status, prefix ?? '', context),
  };
}

/** Changes count wherever they are below the context; what git ignores counts only where the build sees it. */
export function isDirty(status: string, prefix: string, context: BuildContext): boolean {
  const lines = status.split('\0').filter((line) => line !== '');
  if (lines.some((line) => !line.startsWith('!! '))) return true;
  const seen = [
    ...context.entries.filter((entry) => entry.type !== 'directory').map((entry) => entry.path),
    context.dockerfile,
  ];
  const ignoredFiles = new Set<string>();
  const ignoredFolders: string[] = [];
  for (const line of lines) {
    const relative = path.posix.relative(prefix, line.slice(3));
    if (line.endsWith('/')) ignoredFolders.push(relative === '' ? '' : `${relative}/`);
    else ignoredFiles.add(relative);
  }
  return seen.some((file) => ignoredFiles.has(file) || ignoredFolders.some((folder) => file.startsWith(folder)));
}

async function gitIn(
  folder: string,
  options: GitOptions,
): Promise<(argv: readonly string[]) => Promise<string | undefined>> {
  const { execa } = await import('execa');
  return async (argv) => {
    const result = await execa('git', ['-C', folder, ...argv], {
      // Optional locks would let a mere look at the tree write to it.
      env: { ...options.env, GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C' },
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: 60_000,
      ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    });
    options.signal?.throwIfAborted();
    return result.exitCode === 0 ? result.stdout : undefined;
  };
}
