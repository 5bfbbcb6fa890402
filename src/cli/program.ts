import { Command as Commander, CommanderError, InvalidArgumentError, Option } from 'commander';
import { CuError } from '../core/error.ts';
import { parseDuration } from '../core/units.ts';
import type { Command, FlagSpec, FlagSpecs, RawFlags } from './command.ts';
import type { CommandEntry } from './commands.ts';
import { longName, writtenForms } from './flag-names.ts';
import { GLOBAL_FLAGS } from './global-flags.ts';
import { parseWholeNumber } from './values.ts';

export type Invocation =
  | {
      readonly type: 'run';
      readonly command: Command;
      readonly args: readonly string[];
      readonly flags: RawFlags;
      readonly globals: RawFlags;
    }
  | { readonly type: 'help'; readonly text: string; readonly exitCode: number }
  | { readonly type: 'version' };

/** Reads the command line; only the module of the chosen command is loaded, and none for `cu --help`. */
export async function parseArguments(argv: readonly string[], table: readonly CommandEntry[]): Promise<Invocation> {
  const words = argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv;
  const chosen = findCommandName(words);
  const command = await table.find((entry) => entry.name === chosen)?.load();
  let help = '';
  const program = newProgram((text) => (help += text));
  const subcommands = table.map((entry) => addCommand(program, entry));
  const subcommand = subcommands.find((each) => each.name() === chosen);
  let invocation: Invocation | undefined;
  if (command !== undefined && subcommand !== undefined) {
    describeCommand(subcommand, command);
    subcommand.action(() => {
      const flags = readFlags(subcommand, command.flags);
      if (flags['help'] === true && subcommand.args.length === 0) {
        invocation = { type: 'help', text: subcommand.helpInformation(), exitCode: 0 };
        return;
      }
      const globals = { ...readFlags(program, GLOBAL_FLAGS), ...readFlags(subcommand, GLOBAL_FLAGS) };
      invocation = { type: 'run', command, args: subcommand.args, flags, globals };
    });
  }
  try {
    program.parse(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.version') return { type: 'version' };
    if (error.code === 'commander.help') return { type: 'help', text: program.helpInformation(), exitCode: 2 };
    if (error.exitCode === 0) return { type: 'help', text: help, exitCode: 0 };
    throw usageError(error, chosen);
  }
  return invocation ?? { type: 'help', text: program.helpInformation(), exitCode: 2 };
}

/** The first word that is neither a flag nor the value of one. */
function findCommandName(words: readonly string[]): string | undefined {
  const takesValue = new Set(
    Object.entries(GLOBAL_FLAGS).flatMap(([key, spec]) => ('value' in spec ? writtenForms(key, spec) : [])),
  );
  const index = words.findIndex(
    (word, position) => !word.startsWith('-') && !takesValue.has(words[position - 1] ?? ''),
  );
  return words[index];
}

function newProgram(writeHelp: (text: string) => void): Commander {
  const program = new Commander('cu')
    .description('Deploy Docker services to many hosts over SSH from one YAML file.')
    .usage('[flags] COMMAND [arguments]')
    .enablePositionalOptions()
    .helpCommand(false)
    .helpOption('-h, --help', 'show help, also after a command')
    .exitOverride()
    .configureOutput({ writeOut: writeHelp, writeErr: () => {} })
    .configureHelp({ showGlobalOptions: false });
  addFlags(program, GLOBAL_FLAGS, undefined);
  return program.version('-', '-V, --version', 'show the version');
}

function addCommand(program: Commander, entry: CommandEntry): Commander {
  return program.command(entry.name).description(entry.summary).helpOption('-h, --help', 'show this help');
}

function describeCommand(subcommand: Commander, command: Command): void {
  for (const argument of command.args) subcommand.argument(argument.name, argument.summary);
  // A flag of its own: what stands beside it is what help is wanted for.
  if ('help' in command.flags) subcommand.helpOption(false);
  addFlags(subcommand, command.flags, undefined);
  addFlags(subcommand, GLOBAL_FLAGS, 'Global options:');
}

function addFlags(target: Commander, specs: FlagSpecs, group: string | undefined): void {
  for (const [key, spec] of Object.entries(specs)) {
    const option = new Option(
      `${spec.short === undefined ? '' : `-${spec.short}, `}${longName(key)}${'value' in spec ? ` <${spec.value}>` : ''}`,
      spec.summary,
    );
    if (group !== undefined) option.helpGroup(group);
    // Commander takes `--no-x` for the opposite of `--x` with a default of true; here each flag is its own.
    option.negate = false;
    option.attributeName = () => key;
    if ('value' in spec) option.argParser((text: string) => parseValue(spec, text));
    target.addOption(option);
  }
}

function parseValue(spec: FlagSpec, text: string): string | number {
  switch (spec.type) {
    case 'boolean':
    case 'text':
      return text;
    case 'number': {
      const value = parseWholeNumber(text);
      if (value === undefined) throw new InvalidArgumentError('Give a whole number.');
      if (value < (spec.least ?? 0)) throw new InvalidArgumentError(`Give ${spec.least} or more.`);
      return value;
    }
    case 'duration': {
      const value = parseDuration(text);
      if (value === undefined) throw new InvalidArgumentError('Give a time with its unit, such as 30s, 5m or 1h30m.');
      return value;
    }
  }
}

function readFlags(source: Commander, specs: FlagSpecs): RawFlags {
  const keys = Object.keys(specs).filter((key) => source.getOptionValue(key) !== undefined);
  return Object.fromEntries(keys.map((key) => [key, source.getOptionValue(key)]));
}

function usageError(error: CommanderError, chosen: string | undefined): CuError {
  const [first = '', ...rest] = error.message.split('\n');
  const suggestion = /^\(Did you mean (.*)\?\)$/.exec(rest.join(' '))?.[1];
  const helpWords =
    chosen === undefined || error.code === 'commander.unknownCommand' ? 'cu --help' : `cu ${chosen} --help`;
  let hint = `run \`${helpWords}\` to see what there is`;
  if (suggestion !== undefined) hint = `did you mean ${suggestion}?`;
  else if ((chosen === 'exec' || chosen === 'test') && error.code === 'commander.unknownOption')
    hint = 'put the command and its flags after --';
  return new CuError('USAGE', first.replace(/^error: /, ''), { hint });
}
