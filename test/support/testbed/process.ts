import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly everyMs?: number;
  /** A file whose last lines explain a wait that failed. */
  readonly log?: string;
}

/** Polls until `probe` gives a value; says what it waited for when the time is over. */
export async function waitFor<T>(what: string, probe: () => Promise<T | undefined>, options: WaitOptions): Promise<T> {
  const deadline = Date.now() + options.timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (Date.now() > deadline) {
      throw new Error(
        `waited ${options.timeoutMs / 1000} s for ${what}${options.log === undefined ? '' : tail(options.log)}`,
      );
    }
    await delay(options.everyMs ?? 100);
  }
}

/** Starts a daemon in a session of its own, so that it outlives this process; returns its pid. */
export function spawnDaemon(argv: readonly string[], log: string): number {
  const [command, ...rest] = argv;
  if (command === undefined) throw new Error('spawnDaemon: empty argv');
  const output = openSync(log, 'a');
  try {
    const child = spawn(command, rest, { detached: true, stdio: ['ignore', output, output] });
    child.unref();
    if (child.pid === undefined) throw new Error(`could not start ${command}`);
    return child.pid;
  } finally {
    closeSync(output);
  }
}

/** Whether `pid` lives and its command line holds `marker`: a pid alone may have been given to somebody else. */
export function isRunning(pid: number, marker: string): boolean {
  return isLive(pid) && commandLine(pid).includes(marker);
}

/** The pids of all processes of `program` whose command line holds `marker`. */
export function findProcesses(program: string, marker: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isRunning(pid, marker) && programOf(pid) === program);
}

/** SIGTERM, then SIGKILL when the process is still there after `graceMs`. */
export async function stopProcess(pid: number, marker: string, graceMs: number): Promise<void> {
  if (!isRunning(pid, marker)) return;
  sendSignal(pid, 'SIGTERM');
  const gone = await ends(pid, marker, graceMs);
  if (gone) return;
  sendSignal(pid, 'SIGKILL');
  if (!(await ends(pid, marker, 5_000))) throw new Error(`process ${pid} (${marker}) survives SIGKILL`);
}

export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself between the look and the signal.
  }
}

export function readPid(file: string): number | undefined {
  const pid = Number.parseInt(readText(file), 10);
  return Number.isNaN(pid) ? undefined : pid;
}

/** The last lines of a log, as an addition to an error message. */
function tail(log: string): string {
  const lines = readText(log).trimEnd().split('\n').slice(-15);
  return `; ${log} ends with:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

async function ends(pid: number, marker: string, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while (Date.now() < deadline) {
    if (!isRunning(pid, marker)) return true;
    await delay(50);
  }
  return !isRunning(pid, marker);
}

/** Whether a process of our own making still runs. */
export function isLive(pid: number): boolean {
  const state = statField(pid, 0);
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** Fields of /proc/PID/stat after the name, which may itself hold blanks and brackets: 0 is the state, 1 the parent. */
function statField(pid: number, index: number): string | undefined {
  const text = readText(`/proc/${pid}/stat`);
  return text === '' ? undefined : text.slice(text.lastIndexOf(')') + 2).split(' ')[index];
}

function programOf(pid: number): string {
  return basename(readText(`/proc/${pid}/cmdline`).split('\0')[0] ?? '');
}

function commandLine(pid: number): string {
  return readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
