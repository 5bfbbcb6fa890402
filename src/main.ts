import { appendFileSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Context, GlobalOptions } from './app/context.ts';
import { COMMANDS } from './cli/commands.ts';
import { toGlobalOptions, toOutputFlags, type OutputFlags } from './cli/global-flags.ts';
import { parseArguments, type Invocation } from './cli/program.ts';
import { CuError } from './core/error.ts';
import { chooseOutput, type OutputChoice } from './render/choose.ts';
import type { Output } from './render/output.ts';

/** Where a signal is passed on by npm or npx as well, it arrives twice. */
const DOUBLED_SIGNAL_MS = 300;
const packageRoot = fileURLToPath(new URL('..', import.meta.url));
const state = { isFinished: false, isStdoutClosed: false };

process.on('uncaughtException', leaveWithBug);
process.on('unhandledRejection', leaveWithBug);
process.on('exit', (exitCode) => {
  if (state.isFinished || exitCode === 1) return;
  process.stderr.write('cu: a bug in cu: it ended before its work was done; please report it, with the command\n');
  process.exitCode = 1;
});
await leave(await main(process.argv.slice(2)));

async function main(argv: readonly string[]): Promise<number> {
  let invocation: Invocation;
  try {
    invocation = await parseArguments(argv, COMMANDS);
  } catch (error) {
    const flags = { ...toOutputFlags({}), json: argv.includes('--json') };
    return (await openOutputFor(flags, choose(flags))).error(error, undefined);
  }
  switch (invocation.type) {
    case 'help':
      (invocation.exitCode === 0 ? process.stdout : process.stderr).write(invocation.text);
      return invocation.exitCode;
    case 'version':
      process.stdout.write(`${readVersion()}\n`);
      return 0;
    case 'run':
      return runCommand(invocation);
  }
}

async function runCommand({ command, args, flags, globals }: Extract<Invocation, { type: 'run' }>): Promise<number> {
  const outputFlags = toOutputFlags(globals);
  const choice = choose(outputFlags);
  const controller = new AbortController();
  let output: Output;
  try {
    output = await openOutputFor(outputFlags, choice);
  } catch (error) {
    return (await openOutputFor({ ...outputFlags, logFile: undefined }, choice)).error(error, command.name);
  }
  listenForSignals(controller, output);
  listenForClosedStdout(controller, output);
  try {
    const context = createContext({ output, choice, controller, options: toGlobalOptions(globals, process.env) });
    const { exitCode = 0, error, ...result } = await command.run(context, args, flags);
    output.close();
    if (error !== undefined) output.report(error);
    output.result({ ...result, command: command.name, exitCode });
    return exitCode;
  } catch (error) {
    output.close();
    if (state.isStdoutClosed && !output.hasPlan()) return 0;
    const exitCode = output.error(
      isAbort(error) ? new CuError('CANCELLED', 'stopped', { cause: error }) : error,
      command.name,
    );
    return controller.signal.aborted && exitCode !== 1 ? 130 : exitCode;
  }
}

async function openOutputFor(flags: OutputFlags, choice: OutputChoice): Promise<Output> {
  const { logFile } = flags;
  const { openOutput } = await import('./render/output.ts');
  const appendLog =
    logFile === undefined ? undefined : (text: string) => appendFileSync(logFile, text, { mode: 0o600 });
  try {
    appendLog?.('');
  } catch (error) {
    throw new CuError('USAGE', `cannot write the log file ${logFile}: ${error instanceof Error ? error.message : ''}`);
  }
  return openOutput({
    choice,
    verbose: flags.verbose,
    version: readVersion(),
    now: Date.now,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    appendTo: (variable, text) => {
      const file = process.env[variable];
      if (file !== undefined && file !== '') appendFileSync(file, text);
    },
    appendLog,
  });
}

interface ContextParts {
  readonly output: Output;
  readonly choice: OutputChoice;
  readonly controller: AbortController;
  readonly options: GlobalOptions;
}

function createContext({ output, choice, controller, options }: ContextParts): Context {
  const { stdin, stdout, stderr, env } = process;
  const home = os.homedir();
  const ask: Context['ask'] = async (question, { hidden }) => {
    if (!choice.interactive) throw new CuError('CONFIRMATION_NEEDED', `nobody can be asked here: ${question}`);
    return output.ask(question, { hidden, signal: controller.signal });
  };
  return {
    cwd: process.cwd(),
    home,
    tmp: os.tmpdir(),
    cacheDir: path.join(env['XDG_CACHE_HOME'] ?? path.join(home, '.cache'), 'cu'),
    username: readUsername(),
    machine: os.hostname(),
    pid: process.pid,
    isRunning,
    env,
    packageRoot,
    now: Date.now,
    emit: output.emit,
    signal: controller.signal,
    interactive: choice.interactive,
    async confirm(question, flag) {
      if (options.yes) return true;
      if (!choice.interactive) {
        throw new CuError('CONFIRMATION_NEEDED', `"${question}" wants an answer, and nobody can be asked here`, {
          hint: `add ${flag} to say yes`,
        });
      }
      return /^y(es)?$/i.test((await ask(`${question} [y/N]`, { hidden: false })).trim());
    },
    ask,
    output: output.line,
    mask: output.mask,
    options,
    terminal: {
      stdin,
      stdout,
      stderr,
      isTty: stdin.isTTY && stdout.isTTY,
      isStdoutTty: stdout.isTTY,
      get columns() {
        return stdout.columns ?? 80;
      },
      get rows() {
        return stdout.rows ?? 24;
      },
      onResize(listener) {
        stdout.on('resize', listener);
        return () => void stdout.off('resize', listener);
      },
      setRawMode: (isRaw) => void (stdin.isTTY && stdin.setRawMode(isRaw)),
    },
  };
}

/** The first signal stops cleanly, the second leaves at once. */
function listenForSignals(controller: AbortController, output: Output): void {
  let firstAt: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt === undefined) {
      firstAt = Date.now();
      output.notice('stopping: what runs is finished or put back; once more leaves at once');
      controller.abort(new CuError('CANCELLED', `stopped by ${signal}`));
      return;
    }
    if (Date.now() - firstAt < DOUBLED_SIGNAL_MS) return;
    const hosts = output.hostsInHand();
    output.close();
    output.notice(
      hosts.length === 0
        ? 'left at once'
        : `left at once; maybe half done: ${hosts.join(', ')}; the same command again finishes it`,
    );
    state.isFinished = true;
    process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
}

/** `cu logs --follow | head` ends quietly; what changes hosts goes on, since its work does not depend on who reads. */
function listenForClosedStdout(controller: AbortController, output: Output): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') return leaveWithBug(error);
    state.isStdoutClosed = true;
    if (!output.hasPlan()) controller.abort(new CuError('CANCELLED', 'stdout was closed'));
  });
  process.stderr.on('error', () => {});
}

function choose(flags: OutputFlags): OutputChoice {
  return chooseOutput({
    ...flags,
    isStdinTty: process.stdin.isTTY,
    isStdoutTty: process.stdout.isTTY,
    isStderrTty: process.stderr.isTTY,
    columns: process.stderr.columns ?? 80,
    env: process.env,
  });
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function readVersion(): string {
  const text: unknown = JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8'));
  return typeof text === 'object' && text !== null && 'version' in text ? String(text.version) : 'unknown';
}

/** Signal 0 asks without disturbing; one of another user may not be asked, and so is there. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

function readUsername(): string {
  try {
    return os.userInfo().username;
  } catch {
    // No entry in /etc/passwd, as in a container with a bare uid.
    return process.env['USER'] ?? `uid${process.getuid?.() ?? 0}`;
  }
}

function leaveWithBug(error: unknown): void {
  process.stderr.write(
    `cu: a bug in cu ${readVersion()}\n  ${error instanceof Error ? error.stack : String(error)}\n  please report it, with the command and the lines above\n`,
  );
  state.isFinished = true;
  process.exit(1);
}

/** Exits once all that was written has left. */
async function leave(exitCode: number): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(
      (stream) =>
        new Promise<void>((resolve) => {
          if (stream.writable) stream.write('', () => resolve());
          else resolve();
        }),
    ),
  );
  state.isFinished = true;
  process.exit(exitCode);
}
