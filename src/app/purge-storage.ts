import { randomBytes } from 'node:crypto';
import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';
import type { Desired } from '../core/state.ts';
import type { StoragePlan, StorageMove, Trash } from '../render/purge-storage-text.ts';
import { runInContainer } from '../transport/exec.ts';
import type { Context } from './context.ts';
import { openProject } from './project.ts';
import { firstInstance, runningInstance } from './running.ts';
import type { RunningContainer } from './running.ts';
import { openSession } from './session.ts';

export type StorageScope = 'cache' | 'uploads';

/** Which results or uploads may go; undefined leaves a rule out. */
export interface PurgeRules {
  readonly unusedForMs: number | undefined;
  readonly maxBytes: number | undefined;
  readonly oldCode: boolean;
}

export interface StoragePurge {
  readonly host: string;
  readonly scope: StorageScope;
  readonly plan: StoragePlan;
  /** undefined: nothing was moved. */
  readonly moved: StorageMove | undefined;
  /** Why not, where it was asked for. */
  readonly error: CuError | undefined;
}

const count = { count: z.number(), bytes: z.number() };
const planLine = z.object({
  id: z.string(),
  ...count,
  reasons: z.record(z.string(), z.object(count)),
  oldest: z.nullable(z.string()),
  share: z.number(),
  needsConfirm: z.boolean(),
});
const moveLine = z.object({ ...count, left: z.number() });
const trashLine = z.object({ type: z.literal('trash'), id: z.string(), ...count, time: z.nullable(z.string()) });

/** Shows what would go; with `--yes` moves just that to the trash, and a large part only if its number is confirmed. */
export async function purgeStorage(
  context: Context,
  scope: StorageScope,
  { rules, confirm }: { readonly rules: PurgeRules; readonly confirm: number | undefined },
): Promise<StoragePurge> {
  await using storage = await openStorage(context);
  const { host } = storage;
  const file = `/tmp/cu-purge-${randomBytes(6).toString('hex')}.jsonl`;
  const isAsked = context.options.yes;
  try {
    const [line] = await storage.run(['plan', scope, ...argvOf(rules), ...(isAsked ? ['--out', file] : [])]);
    const plan = planLine.parse(line);
    const result = { host, scope, plan, moved: undefined, error: undefined };
    if (!isAsked || plan.count === 0) return result;
    const error = refusal(plan, { scope, confirm });
    if (error !== undefined) return { ...result, error };
    const confirmed = plan.needsConfirm ? ['--confirm', String(plan.count)] : [];
    const [done] = await storage.finish(['apply', file, ...confirmed]);
    return { ...result, moved: moveLine.parse(done) };
  } finally {
    if (isAsked) await storage.forget(file);
  }
}

/** Brings back what a purge moved to the trash. */
export async function restoreStorage(
  context: Context,
  planId: string,
): Promise<StorageMove & { readonly host: string }> {
  await using storage = await openStorage(context);
  const [line] = await storage.finish(['restore', planId]);
  return { host: storage.host, ...moveLine.parse(line) };
}

export interface TrashPurge {
  readonly host: string;
  readonly trash: readonly Trash[];
  readonly removed: StorageMove | undefined;
}

/** Lists what lies in the trash; with `--yes` removes for good what has lain there for longer. */
export async function emptyStorage(context: Context, olderThanMs: number): Promise<TrashPurge> {
  await using storage = await openStorage(context);
  const { host } = storage;
  const lines = await storage.run(['list']);
  const trash = lines.flatMap((line) => trashLine.safeParse(line).data ?? []);
  if (!context.options.yes || trash.length === 0) return { host, trash, removed: undefined };
  const [line] = await storage.finish(['empty', '--older-than', seconds(olderThanMs)]);
  return { host, trash, removed: moveLine.parse(line) };
}

/** Why a plan is not carried out, though somebody said yes. */
export function refusal(
  { count: files, share, needsConfirm }: StoragePlan,
  { scope, confirm }: { readonly scope: StorageScope; readonly confirm: number | undefined },
): CuError | undefined {
  const hint = `if that is right: the same command with --confirm ${files}`;
  if (confirm !== undefined && confirm !== files)
    return new CuError('CONFIRMATION_NEEDED', `the plan names ${files} files by now, not ${confirm}`, { hint });
  if (!needsConfirm || confirm !== undefined) return undefined;
  const part = `${Math.round(share * 100)}% of the ${scope}`;
  return new CuError('CONFIRMATION_NEEDED', `the plan takes ${part}, which --yes alone does not allow`, { hint });
}

export function argvOf({ unusedForMs, maxBytes, oldCode }: PurgeRules): readonly string[] {
  return [
    ...(unusedForMs === undefined ? [] : ['--unused-for', seconds(unusedForMs)]),
    ...(maxBytes === undefined ? [] : ['--max-size', `${maxBytes}b`]),
    ...(oldCode ? ['--old-code'] : []),
  ];
}

function seconds(ms: number): string {
  return `${ms / 1000}s`;
}

/** The runtime's `purge` in a container that has the storage. */
interface Storage extends AsyncDisposable {
  readonly host: string;
  run(argv: readonly string[]): Promise<readonly unknown[]>;
  /** The same for what changes files: begun it goes on to its end there, so it is waited for here too. */
  finish(argv: readonly string[]): Promise<readonly unknown[]>;
  forget(file: string): Promise<void>;
}

async function openStorage(context: Context): Promise<Storage> {
  const { desired, loaded } = await openProject(context);
  const instances = desired.instances.filter(({ storage }) => storage !== undefined);
  if (instances.length === 0) throw noStorage(desired, loaded.file);
  const session = openSession(context, desired);
  const { signal } = context;
  try {
    // A worker may be in the middle of what takes all of its memory.
    const order = instances.toSorted((one, other) => rankOf(one.kind) - rankOf(other.kind));
    const container = await firstInstance(order, signal, (instance) =>
      runningInstance(session, { desired, instance }, signal),
    );
    return {
      host: container.host.name,
      run: (argv) => purgeIn(container, argv, signal),
      finish: (argv) => purgeIn(container, argv, new AbortController().signal),
      forget: async (file) => {
        // The container takes it along at the latest.
        await runInContainer(container.host, container.id, ['rm', '-f', file], { signal }).catch(() => undefined);
      },
      [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
    };
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

function rankOf(kind: string): number {
  return kind === 'webserver' ? 0 : 1;
}

function noStorage({ environment }: Desired, file: string): CuError {
  return new CuError('USAGE', `the environment ${environment} of ${file} has no storage to purge`, {
    hint: 'only workers and webservers have one, and none with `storage: none`: there results lie in redis and expire',
  });
}

async function purgeIn(
  { host, id, service }: RunningContainer,
  [command = '', ...argv]: readonly string[],
  signal: AbortSignal,
): Promise<readonly unknown[]> {
  const words = ['python', '-m', 'cu', 'purge', command, '--json', ...argv];
  const { exitCode, stdout, stderr } = await runInContainer(host, id, words, { signal });
  if (exitCode === 0) return linesOf(stdout);
  const said = stderr.trim() || stdout.trim();
  const message = /^cu purge: (.*)$/s.exec(said)?.[1];
  const at = { host: host.name, command: words.join(' ') };
  if (message !== undefined && exitCode === 4) {
    const isAboutTrash = command === 'restore' || command === 'empty';
    const hint = isAboutTrash ? { hint: '`cu purge --empty` lists what lies in the trash' } : {};
    throw new CuError('STEP_FAILED', message.replace(/; see `purge list`$/, ''), { ...at, ...hint });
  }
  throw new CuError('STEP_FAILED', `the runtime in ${service} cannot purge: exit code ${exitCode}`, {
    ...at,
    // Of a traceback, the end says most.
    detail: said.split('\n').slice(-6).join('\n'),
    hint: 'is it an image with the runtime that belongs to this cu? `cu deploy` puts that in',
  });
}

function linesOf(stdout: string): readonly unknown[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line): unknown => JSON.parse(line));
}
