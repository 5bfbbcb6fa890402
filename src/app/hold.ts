import { randomBytes } from 'node:crypto';
import { CuError } from '../core/error.ts';
import { formatMoment } from '../core/format.ts';
import { Secret } from '../core/secret.ts';
import type { Desired, Hold, ObservedHost } from '../core/state.ts';
import { initState } from '../execute/resources.ts';
import { writeHold } from '../history/hold.ts';
import { stateName } from '../observe/state.ts';
import type { Context } from './context.ts';
import { observeForgotten } from './forgotten.ts';
import { prepareRunning } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import { whoIs } from './release.ts';
import { repairState } from './repair.ts';

export interface HoldResult {
  readonly project: string;
  readonly environment: string;
  /** What lies on the hosts now, or what did until it was lifted. */
  readonly hold: Hold | undefined;
  readonly hosts: readonly string[];
  readonly unreachable: readonly CuError[];
}

/** Leaves a hold on every host of the environment. One's own may be changed, somebody else's is lifted first. */
export async function lock(context: Context, message: string): Promise<HoldResult> {
  await using prepared = await prepareReadable(context, []);
  const { desired, observed, unreachable } = prepared;
  const hold: Hold = { message, who: whoIs(context), since: context.now() };
  const present = holdOn(observed);
  if (present !== undefined && present.who !== hold.who) throw heldError(present, desired);
  const used = observed.filter(({ name }) => desired.instances.some(({ host }) => host === name));
  if (used.length === 0)
    throw new CuError('USAGE', `no service of ${nameOf(desired)} runs on any host: nothing to lock`);
  await writeTo(context, prepared, { hosts: used, hold });
  return { ...desired, hold, hosts: used.map(({ name }) => name), unreachable };
}

/** Lifts the hold wherever a deploy would meet it, also on hosts that left the config; nothing to lift is no error. */
export async function unlock(context: Context): Promise<HoldResult> {
  await using prepared = await prepareReadable(context, []);
  const { desired, session, unreachable } = prepared;
  const forgotten = await observeForgotten(context, session, prepared);
  const observed = [...prepared.observed, ...forgotten.flatMap((each) => each.observed ?? [])];
  const held = observed.filter(({ state }) => state?.hold !== undefined);
  await writeTo(context, prepared, { hosts: held, hold: undefined });
  return { ...desired, hold: holdOn(observed), hosts: held.map(({ name }) => name), unreachable };
}

/** Refuses to change anything while somebody keeps deploys away. */
export function assertNotHeld(
  observed: readonly ObservedHost[],
  desired: Pick<Desired, 'project' | 'environment'>,
): void {
  const hold = holdOn(observed);
  if (hold !== undefined) throw heldError(hold, desired);
}

/** `prepareRunning` for a command that changes what runs. */
export async function prepareUnheld(context: Context, targets: readonly string[], command: string): Promise<Prepared> {
  const prepared = await prepareReadable(context, targets, command);
  try {
    assertNotHeld(prepared.observed, prepared.desired);
    return prepared;
  } catch (error) {
    await prepared[Symbol.asyncDispose]();
    throw error;
  }
}

/** A hold in a state that `docker container prune` made unreadable still counts. */
async function prepareReadable(context: Context, targets: readonly string[], command?: string): Promise<Prepared> {
  const prepared = await prepareRunning(context, targets, command);
  try {
    if (!(await repairState(context, prepared))) return prepared;
  } catch (error) {
    await prepared[Symbol.asyncDispose]();
    throw error;
  }
  await prepared[Symbol.asyncDispose]();
  return prepareRunning(context, targets, command);
}

async function writeTo(
  context: Context,
  { desired, session }: Prepared,
  { hosts, hold }: { readonly hosts: readonly ObservedHost[]; readonly hold: Hold | undefined },
): Promise<void> {
  const { signal } = context;
  const state = { volume: stateName(desired), brokerPassword: undefined };
  for (const { name, state: present } of hosts) {
    const host = session.hosts.get(name);
    if (host === undefined) continue;
    if (present === undefined) {
      const specKey = new Secret('spec-key', randomBytes(32).toString('hex'));
      await initState(host, { ...state, specKey }, desired, signal);
    }
    await writeHold(host, desired, { hold, signal });
  }
}

/** The oldest, where hosts differ. */
function holdOn(observed: readonly ObservedHost[]): Hold | undefined {
  return observed.flatMap(({ state }) => state?.hold ?? []).toSorted((a, b) => a.since - b.since)[0];
}

function heldError(hold: Hold, desired: Pick<Desired, 'project' | 'environment'>): CuError {
  const since = formatMoment(hold.since);
  const text = `${nameOf(desired)} is locked by ${hold.who} since ${since}: ${hold.message}`;
  return new CuError('LOCK_HELD', text, { hint: '`cu unlock` lifts it' });
}

function nameOf({ project, environment }: Pick<Desired, 'project' | 'environment'>): string {
  return `${project} ${environment}`;
}
