import pLimit from 'p-limit';
import { CuError, CuErrors } from '../core/error.ts';
import type { Release } from '../core/release.ts';
import type { Desired, HostTarget } from '../core/state.ts';
import { isHistoryHidden, readHistory } from '../history/history.ts';
import { mergeHistories } from '../history/merge.ts';
import type { Context } from './context.ts';
import { openProject } from './project.ts';
import { hostsFor, openSession } from './session.ts';
import type { Session } from './session.ts';

const DEFAULT_PARALLEL = 16;

export interface HistoryResult {
  readonly project: string;
  readonly environment: string;
  /** Newest first. */
  readonly releases: readonly Release[];
}

/** What the hosts of the environment remember of its releases. */
export async function history(context: Context, options: { readonly limit: number }): Promise<HistoryResult> {
  const { desired } = await openProject(context);
  await using session = openSession(context, desired);
  const { project, environment } = desired;
  const releases = await readReleases(context, session, desired);
  return { project, environment, releases: releases.toReversed().slice(0, options.limit) };
}

/** The merged history, oldest first. A host that does not answer is a warning, none that does an error. */
export async function readReleases(context: Context, session: Session, desired: Desired): Promise<readonly Release[]> {
  const limit = pLimit(context.options.parallel ?? DEFAULT_PARALLEL);
  const answers = await Promise.all(
    desired.hosts.map((target) => limit(() => askHost(context, session, { target, desired }))),
  );
  const known = answers.filter((answer): answer is readonly Release[] => !(answer instanceof CuError));
  const errors = answers.filter((answer): answer is CuError => answer instanceof CuError);
  if (known.length === 0 && errors.length > 0) throw new CuErrors(errors);
  return mergeHistories(known);
}

async function askHost(
  context: Context,
  session: Session,
  { target, desired }: { readonly target: HostTarget; readonly desired: Desired },
): Promise<readonly Release[] | CuError> {
  try {
    const host = await session.open(target);
    const releases = await readHistory(host, desired, context.signal);
    if (releases.length === 0 && (await isHistoryHidden(host, desired, context.signal))) {
      const text = 'the container through which the history is read was removed: the next deploy makes it anew';
      context.emit({ type: 'warning', host: target.name, text });
    }
    return releases;
  } catch (error) {
    if (context.signal.aborted || !(error instanceof CuError)) throw error;
    // A host that no service stands on, such as a jump host, may well have no engine.
    const { used } = hostsFor(desired, desired.instances, { isWhole: true });
    const text = `what it remembers is left out: ${error.message}`;
    context.emit({ type: used.has(target.name) ? 'warning' : 'debug', host: target.name, text });
    return error;
  }
}
