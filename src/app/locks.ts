import type { Plan } from '../core/action.ts';
import { hostsOf } from '../core/describe.ts';
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

/** Takes the locks of further hosts before something is changed there; nothing where this command takes none. */
export async function lockFurther(
  { locks, session }: { readonly locks: Locks | undefined; readonly session: Pick<Session, 'hosts'> },
  names: Iterable<string>,
): Promise<void> {
  await locks?.add([...names].flatMap((name) => session.hosts.get(name) ?? []));
}

/** The hosts on which a plan changes what an environment has there. A builder gets an image, which all may at once. */
export function changedHosts({ nodes }: Plan): readonly string[] {
  return hostsOf(nodes.filter(({ action }) => action.type !== 'build-image' && action.type !== 'push-image'));
}

export function lockOwner({ username, machine, pid, now }: Context, command: string): LockOwner {
  return { user: username, machine, pid, command, commit: undefined, startedAt: now() };
}
