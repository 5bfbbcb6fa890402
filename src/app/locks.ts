import { acquireLocks } from '../execute/lock.ts';
import type { Locks } from '../execute/lock.ts';
import type { LockOwner } from '../execute/lock-channel.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';
import type { Project } from './project.ts';
import type { Session } from './session.ts';
import { headCommit } from './head-commit.ts';

/** The locks of the hosts that answer; those that do not are reported by whoever looks at them next. */
export async function takeLocks(
  context: Context,
  at: {
    readonly project: Project;
    readonly session: Session;
    readonly hosts: ReadonlySet<string>;
    readonly command: string;
  },
): Promise<Locks> {
  const { desired, loaded } = at.project;
  const { project, environment } = desired;
  const targets = desired.hosts.filter(({ name }) => at.hosts.has(name));
  const [commit, ...opened] = await Promise.all([
    headCommit(context, loaded.directory),
    ...targets.map((target) => at.session.open(target).catch(() => undefined)),
  ]);
  const { now, signal, emit } = context;
  return acquireLocks(
    opened.filter((host): host is Host => host !== undefined),
    {
      name: `cu-${project}-${environment}`,
      what: `${project} ${environment}`,
      owner: { ...lockOwner(context, at.command), commit },
      waitMs: context.options.lockWaitMs ?? 0,
      signal,
      now,
      isGone: ({ machine, pid }) => machine === context.machine && !context.isRunning(pid),
      onWaiting: (text) => emit({ type: 'phase', text: `waiting: ${text}` }),
      onWarning: (host, text) => emit({ type: 'warning', host, text }),
    },
  );
}

export function lockOwner({ username, machine, pid, now }: Context, command: string): LockOwner {
  return { user: username, machine, pid, command, commit: undefined, startedAt: now() };
}
