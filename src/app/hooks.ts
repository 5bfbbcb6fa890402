import { CuError } from '../core/error.ts';
import type { Plan } from '../core/action.ts';
import { hostsOf } from '../core/describe.ts';
import type { Commit } from '../core/release.ts';
import { HOOK_MOMENTS } from '../core/rollout.ts';
import type { HookMoment, HookSpecs } from '../core/rollout.ts';
import type { Secret } from '../core/secret.ts';
import type { Desired } from '../core/state.ts';
import type { ExecutionResult } from '../execute/execute.ts';
import { createLineSplitter } from '../transport/lines.ts';
import { runLocal } from '../transport/run-local.ts';
import type { Context } from './context.ts';
import { headCommit } from './head-commit.ts';
import type { Prepared } from './prepare.ts';
import { redact } from './redact.ts';

/** What a hook is told besides what the config says. */
export interface HookFacts {
  /** By image. */
  readonly versions: Readonly<Record<string, string>>;
  /** Of the config's folder, or of the release whose bytes are deployed; null outside git. */
  readonly commit: string | null;
  readonly hosts: readonly string[];
  /** Ids of the steps. */
  readonly plan: readonly string[];
  /** null before the deploy. */
  readonly outcome: 'done' | 'failed' | null;
  /** Without the values of secrets. */
  readonly error: string | null;
}

const DEADLINE_MS = 300_000;
const KEPT_LINES = 20;

/**
 * Runs the commands of a moment one after the other, on this machine. One that fails before the deploy ends it; after
 * the deploy it is a warning. Each gets the facts as JSON on stdin, and an environment without secrets.
 */
export async function runHooks(
  context: HookContext,
  { project, environment, hooks }: Pick<Desired, 'project' | 'environment' | 'hooks'>,
  moment: HookMoment,
  facts: HookFacts,
): Promise<void> {
  const stdin = `${JSON.stringify({ v: 1, moment, project, environment, who: context.username, ...facts })}\n`;
  for (const command of hooks.commands[moment]) {
    const problem = await runHook(context, { hooks, moment, command, stdin });
    if (problem === undefined) continue;
    if (moment === 'beforeDeploy') throw problem;
    context.emit({ type: 'warning', host: undefined, text: problem.message });
  }
}

/** The facts before the deploy; git is asked only where there is a hook to tell. */
export async function hookFacts(
  context: Pick<Context, 'signal'>,
  { desired, images }: Pick<Prepared, 'desired' | 'images'>,
  { plan: { nodes }, pinned }: { readonly plan: Plan; readonly pinned: Commit | undefined },
): Promise<HookFacts> {
  const hasHooks = HOOK_MOMENTS.some((moment) => desired.hooks.commands[moment].length > 0);
  const asksGit = hasHooks && pinned === undefined;
  const commit = asksGit ? await headCommit(context, desired.hooks.directory) : pinned?.commit;
  return {
    versions: Object.fromEntries(
      [...images].flatMap(([name, image]) => (image.type === 'build' ? [[name, image.version]] : [])),
    ),
    commit: commit ?? null,
    hosts: hostsOf(nodes),
    plan: nodes.map(({ id }) => id),
    outcome: null,
    error: null,
  };
}

/** What the hooks after a run are told; none is run after an interrupt. */
export async function runHooksAfter(
  context: HookContext,
  desired: Pick<Desired, 'project' | 'environment' | 'hooks'>,
  {
    outcome,
    facts,
    secrets,
  }: { readonly outcome: ExecutionResult; readonly facts: HookFacts; readonly secrets: readonly Secret[] },
): Promise<void> {
  if (outcome.cancelled) return;
  const [first] = outcome.failed;
  if (first === undefined) return runHooks(context, desired, 'afterDeploy', { ...facts, outcome: 'done' });
  const error = redact(`${first.node.id}: ${first.error.message}`, secrets);
  await runHooks(context, desired, 'onFailure', { ...facts, outcome: 'failed', error });
}

/** The environment without what is a secret, whether by its name or by its value. */
export function withoutSecrets(env: Context['env'], withheld: HookSpecs['withheld']): Readonly<Record<string, string>> {
  const names = new Set(withheld.map(({ name }) => name));
  const values = new Set(withheld.map((secret) => secret.reveal()));
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value === undefined || names.has(name) || values.has(value) ? [] : [[name, value]],
    ),
  );
}

type HookContext = Pick<Context, 'env' | 'username' | 'signal' | 'emit'>;

interface Hook {
  readonly hooks: HookSpecs;
  readonly moment: HookMoment;
  readonly command: readonly string[];
  readonly stdin: string;
}

/** What went wrong, or undefined; an interrupt is thrown. */
async function runHook(context: HookContext, { hooks, moment, command, stdin }: Hook): Promise<CuError | undefined> {
  const said: string[] = [];
  const onLine = (text: string): void => {
    if (said.push(text) > KEPT_LINES) said.shift();
    context.emit({ type: 'hook-output', moment, text });
  };
  const splitters = { stdout: createLineSplitter(onLine), stderr: createLineSplitter(onLine) };
  const failed = (how: string, cause?: unknown): CuError =>
    new CuError('COMMAND_FAILED', `the ${moment} hook ${command.join(' ')} ${how}`, {
      ...(said.length === 0 ? {} : { detail: said.join('\n') }),
      ...(moment === 'beforeDeploy' ? { hint: 'nothing was changed' } : {}),
      cause,
    });
  try {
    const result = await runLocal(command, {
      host: 'this machine',
      cwd: hooks.directory,
      env: withoutSecrets(context.env, hooks.withheld),
      inheritsEnv: false,
      stdin,
      signal: context.signal,
      timeoutMs: DEADLINE_MS,
      onOutput: (stream, text) => splitters[stream].push(text),
    });
    splitters.stdout.end();
    splitters.stderr.end();
    if (result.exitCode === 0) return undefined;
    return failed(result.exitCode === 127 && said.length === 0 ? `could not be run: ${result.stderr}` : endOf(result));
  } catch (error) {
    if (!(error instanceof CuError) || error.code !== 'TIMEOUT') throw error;
    return failed(`did not end within ${DEADLINE_MS / 1000} s`, error);
  }
}

function endOf({ exitCode, signal }: { readonly exitCode: number; readonly signal: string | undefined }): string {
  return signal === undefined ? `exited with code ${exitCode}` : `was ended by ${signal}`;
}
