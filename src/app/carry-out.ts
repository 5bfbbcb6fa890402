import { randomBytes } from 'node:crypto';
import type { Plan } from '../core/action.ts';
import { CuErrors } from '../core/error.ts';
import type { CuError } from '../core/error.ts';
import type { Commit, Release, ReleaseKind, ReleaseOutcome } from '../core/release.ts';
import { writeGaps } from '../history/now.ts';
import { nextSequence } from '../history/merge.ts';
import { openRecorder } from '../history/recorder.ts';
import type { Recorder } from '../history/recorder.ts';
import type { Prunes } from '../plan/orphans.ts';
import { plan as makePlan } from '../plan/plan.ts';
import { commitOfVersions } from '../plan/releases.ts';
import type { RunsOn } from '../render/outcome-text.ts';
import type { Context } from './context.ts';
import { rememberHosts, rememberOnly } from './forgotten.ts';
import { readReleases } from './history.ts';
import { assertNotHeld } from './hold.ts';
import { hookFacts, runHooks, runHooksAfter } from './hooks.ts';
import { changedHosts, lockFurther } from './locks.ts';
import type { Usage } from './meter.ts';
import { findingsOf } from './preflight.ts';
import type { Prepared } from './prepare.ts';
import { secretsOf } from './redact.ts';
import { newRelease, readCommit, reasonOf, releaseImages, whoIs } from './release.ts';
import { runPlan } from './run-plan.ts';
import type { RunResult } from './run-plan.ts';
import { whatRunsNow } from './runs-now.ts';

export interface CarryOutOptions {
  readonly kind: ReleaseKind;
  readonly targets: readonly string[];
  /** The release that is gone back to. */
  readonly origin?: string;
  /** Of the release whose bytes these are. */
  readonly commit?: Commit;
  /** The version that is deployed instead of what lies here. */
  readonly version?: string | undefined;
  readonly dryRun: boolean;
  /** Answers beforehand whether what the config no longer has may be removed. */
  readonly prune: boolean;
  readonly rebuild?: boolean;
  readonly pull?: boolean;
  /** Called with a plan that nothing stands in the way of, before anything is done. */
  readonly check?: (plan: Plan) => Promise<void>;
}

export interface DeployResult {
  readonly plan: Plan;
  /** What stands in the way of a plan that is only shown; one that is carried out ends with it. */
  readonly findings: readonly CuError[];
  readonly outcome: RunResult & { readonly runsNow?: readonly RunsOn[] };
  readonly unreachable: readonly CuError[];
  readonly usage: Readonly<Record<string, Usage>>;
}

const NOTHING: RunResult = { done: [], failed: [], skipped: [], cancelled: false };

/** From what was prepared to its end: plan, check, confirm, record, execute. Deploy, rollback and promote share it. */
export async function carryOut(context: Context, prepared: Prepared, options: CarryOutOptions): Promise<DeployResult> {
  if (!options.dryRun) assertNotHeld(prepared.observed, prepared.desired);
  const planned = makePlan(prepared.input);
  const { plan, prunes } = planned;
  const findings = await findingsOf(context, prepared, planned);
  if (findings.length > 0 && !options.dryRun) throw new CuErrors(findings);
  if (findings.length === 0) await options.check?.(plan);
  if (!options.dryRun) context.emit({ type: 'plan-ready', plan });
  const result = (outcome: DeployResult['outcome']): DeployResult => ({
    plan,
    findings,
    outcome,
    unreachable: prepared.unreachable,
    usage: prepared.session.usage(),
  });
  if (options.dryRun) return result(NOTHING);
  await rememberHosts(prepared);
  if (plan.nodes.length === 0) return result(NOTHING);
  const confirmed = await confirmPrunes(context, { plan, prunes, prune: options.prune });
  // What is left on a host that nothing is to run on any more goes under a lock as well.
  await lockFurther(prepared, changedHosts(confirmed));
  const past = await readReleases(context, prepared.session, prepared.desired);
  const pinned = pinnedCommit(options, past);
  const facts = await hookFacts(context, prepared, { plan: confirmed, pinned });
  await runHooks(context, prepared.desired, 'beforeDeploy', facts);
  const commit = pinned ?? (await readCommit(context, prepared.inputs));
  const recorder = await startRecord(context, prepared, { options, plan: confirmed, past, commit });
  const { onFailure } = prepared.desired;
  const { rebuild = false, pull = false } = options;
  const outcome = await runPlan(context, prepared, confirmed, { onFailure, rebuild, pull });
  const [runsNow] = await Promise.all([
    whatRunsNow(context, prepared, outcome),
    endRecord(prepared, recorder, { outcome, targets: options.targets }),
  ]);
  await runHooksAfter(context, prepared.desired, { outcome, facts, secrets: secretsOf(prepared) });
  return result({ ...outcome, runsNow });
}

/** Where nothing is built, what lies here says nothing of what is deployed; undefined where it does. */
function pinnedCommit({ commit, version }: CarryOutOptions, past: readonly Release[]): Commit | undefined {
  return version === undefined ? commit : commitOfVersions([version], past);
}

async function startRecord(
  context: Context,
  prepared: Prepared,
  {
    options,
    plan,
    past,
    commit,
  }: {
    readonly options: CarryOutOptions;
    readonly plan: Plan;
    readonly past: readonly Release[];
    readonly commit: Commit;
  },
): Promise<Recorder> {
  const { session, observed } = prepared;
  const release = newRelease({
    ...prepared,
    kind: options.kind,
    targets: options.targets,
    origin: options.origin,
    sequence: nextSequence(past),
    who: whoIs(context),
    startedAt: context.now(),
    suffix: randomBytes(2).toString('hex'),
    commit,
    plan,
  });
  const { now, signal, emit } = context;
  const hosts = observed.flatMap(({ name }) => session.hosts.get(name) ?? []);
  const recorder = openRecorder(hosts, release, {
    now,
    signal,
    warn: (host, text) => emit({ type: 'warning', host, text }),
  });
  await recorder.begin();
  return recorder;
}

async function endRecord(
  prepared: Prepared,
  recorder: Recorder,
  { outcome, targets }: { readonly outcome: RunResult; readonly targets: readonly string[] },
): Promise<void> {
  const reason = reasonOf(
    outcome.failed.map(({ error }) => error),
    secretsOf(prepared),
  );
  const verdict = verdictOf(outcome);
  await Promise.all([
    recorder.end(verdict, reason, releaseImages(prepared, outcome.imageIds)),
    noteGaps(prepared, outcome),
  ]);
  // A host that joined in this run had nowhere to remember anything before.
  if (targets.length > 0) await rememberHosts(prepared);
  else await rememberOnly(prepared, outcome.done);
}

/** Each host remembers its own. */
async function noteGaps({ observed, session, desired }: Prepared, { gaps = [] }: RunResult): Promise<void> {
  await Promise.all(
    observed.map(async ({ name, state }) => {
      const own = gaps.filter((gap) => gap.host === name).map(({ instance, ms }) => [instance, ms]);
      const host = session.hosts.get(name);
      if (own.length > 0 && host !== undefined)
        await writeGaps(host, desired, { ...state?.gaps, ...Object.fromEntries(own) });
    }),
  );
}

function verdictOf({ cancelled, failed, undone }: RunResult): ReleaseOutcome {
  if (cancelled) return 'interrupted';
  if (failed.length === 0) return 'done';
  return undone !== undefined && undone.failed.length === 0 ? 'rolled-back' : 'failed';
}

async function confirmPrunes(
  context: Context,
  { plan, prunes, prune }: { readonly plan: Plan; readonly prunes: Prunes; readonly prune: boolean },
): Promise<Plan> {
  const { containers, along } = prunes;
  if (containers.length === 0 || prune) return plan;
  const names = [
    ...new Set(containers.map((node) => `${'name' in node.action ? node.action.name : node.id} on ${node.host}`)),
  ];
  const isAgreed = await context.confirm(`The config no longer has ${names.join(', ')}. Remove them?`, '--prune');
  if (isAgreed) return plan;
  const dropped = new Set([...containers, ...along].map((node) => node.id));
  context.emit({
    type: 'warning',
    host: undefined,
    text: `still running, though not in the config: ${names.join(', ')}`,
  });
  return {
    nodes: plan.nodes
      .filter((node) => !dropped.has(node.id))
      .map((node) => ({ ...node, after: node.after.filter((id) => !dropped.has(id)) })),
  };
}
