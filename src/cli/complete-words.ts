import type { Context } from '../app/context.ts';
import type { FlagSpecs } from './command.ts';
import { COMMANDS } from './commands.ts';
import { longName, writtenForms } from './flag-names.ts';
import { GLOBAL_FLAGS } from './global-flags.ts';

/** What may stand where the last word is; nothing when it is a file or anything else. */
export async function completeWords(context: Context, words: readonly string[]): Promise<readonly string[]> {
  const last = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  if (before.includes('--')) return [];
  const candidates = await candidatesFor(withTyped(context, before), before, last);
  return candidates.filter((candidate) => candidate.startsWith(last)).toSorted();
}

async function candidatesFor(context: Context, before: readonly string[], last: string): Promise<readonly string[]> {
  const entry = COMMANDS.find((each) => before.includes(each.name));
  const command = await entry?.load();
  const flags: FlagSpecs = { ...GLOBAL_FLAGS, ...command?.flags };
  const wanting = Object.entries(flags).find(
    ([key, spec]) => 'value' in spec && writtenForms(key, spec).includes(before.at(-1) ?? ''),
  );
  if (wanting !== undefined) return wanting[0] === 'env' ? (await readNames(context)).environments : [];
  if (last.startsWith('-')) return Object.keys(flags).map(longName);
  if (command === undefined) return COMMANDS.map(({ name }) => name);
  if (command.name === 'completion') return ['bash', 'fish', 'powershell', 'zsh'];
  if (command.name === 'purge') return ['cache', 'containers', 'images', 'uploads'];
  const takesTarget = command.args.some(({ name }) => name.includes('target'));
  return takesTarget ? (await readNames(context)).targets : [];
}

/** Where the config does not hold, a completion has nobody to tell it to. */
async function readNames(
  context: Context,
): Promise<{ readonly environments: readonly string[]; readonly targets: readonly string[] }> {
  const { listNames } = await import('../app/list-names.ts');
  try {
    return await listNames(context);
  } catch {
    return { environments: [], targets: [] };
  }
}

/** `--config` and `--env` as they stand on the line that is being typed. */
function withTyped(context: Context, before: readonly string[]): Context {
  const valueOf = (long: string, short: string): string | undefined => {
    const index = before.findIndex((word) => word === long || word === short);
    return index < 0 ? undefined : before[index + 1];
  };
  const options = { ...context.options, config: valueOf('--config', '-c'), environment: valueOf('--env', '-e') };
  return { ...context, options };
}
