import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../core/error.ts';
import { onAbort, orAborted } from './abort.ts';
import { childStream } from './child-stream.ts';
import { lostConnection } from './errors.ts';
import type { Described } from './errors.ts';
import type { RunOptions, RunResult } from './host.ts';
import { refusalIn } from './openssh-log.ts';
import type { Master } from './openssh-master.ts';
import { createPending } from './pending.ts';
import type { Pending } from './pending.ts';
import { quote } from './quote.ts';
import { remoteCommand } from './remote-command.ts';
import { execute, runDeadline, runLocal } from './run-local.ts';
import { createSemaphore } from './semaphore.ts';

/** What is asked of the master by small ssh processes that share its connection. */
export interface Mux {
  /** Commands being ended whose callers have gone. */
  readonly ending: Pending;
  run(argv: readonly string[], options: RunOptions): Promise<RunResult>;
  /** A command's stdin and stdout as one stream. */
  open(argv: readonly string[], signal: AbortSignal): Promise<Duplex & { readonly complaint: () => string }>;
  dialTcp(address: string, port: number, signal: AbortSignal): Promise<Duplex>;
  /** `-O forward` or `-O cancel`; gives what ssh prints, such as the port that the host chose. */
  control(action: 'forward' | 'cancel', flags: readonly string[]): Promise<string>;
}

/** sshd's MaxSessions is 10 by default. */
const MAX_SESSIONS = 8;
const REFUSED_FOR_MS = 10_000;
const POLL_MS = 5;

export interface MuxOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly described: Described;
}

export function createMux(master: Master, { env, described }: MuxOptions): Mux {
  const sessions = createSemaphore(MAX_SESSIONS);
  const environment = Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  const ending = createPending();
  let count = 0;

  /** Never a connection of its own: that would be one more login at the host, without our checks. */
  const common = (log: string): readonly string[] => [
    '-T',
    ...Object.entries({ F: 'none', S: master.controlPath, E: log }).flatMap(([flag, value]) => [`-${flag}`, value]),
    ...['ControlMaster=no', 'ProxyCommand=false', 'LogLevel=DEBUG1'].flatMap((setting) => ['-o', setting]),
  ];
  const withLog = async <T>(use: (log: string) => Promise<T>): Promise<T> => {
    count += 1;
    const log = join(master.folder, `log.${count}`);
    try {
      return await use(log);
    } finally {
      await rm(log, { force: true });
    }
  };
  /** `refused`: sshd has no session free; `failed`: the words say why. */
  const failureIn = async (
    log: string,
  ): Promise<{ readonly type: 'none' | 'refused' | 'lost' | 'failed'; readonly words: string }> => {
    const text = await readFile(log, 'utf8').catch(() => '');
    const words = text
      .split('\n')
      .filter((line) => line !== '' && !/^(debug\d: |OpenSSH_)/.test(line))
      .join('; ');
    if (/master session id/.test(text) && !/read from master failed|Connection to master closed/i.test(text))
      return { type: 'none', words };
    if (/Session open refused by peer/.test(text)) return { type: 'refused', words };
    return { type: master.lost() === undefined ? 'failed' : 'lost', words };
  };
  const inSession = async <T>(
    signal: AbortSignal | undefined,
    attempt: (release: () => void) => Promise<T | 'refused'>,
  ): Promise<T> => {
    const release = await sessions.acquire(signal);
    const startedAt = performance.now();
    for (let waitMs = 10; ; waitMs = Math.min(waitMs * 2, 250)) {
      try {
        const result = await attempt(release);
        if (result !== 'refused') return result;
      } catch (error) {
        release();
        throw error;
      }
      if (performance.now() - startedAt > REFUSED_FOR_MS) {
        release();
        throw new CuError('COMMAND_FAILED', `sshd on ${described.name} opens no session for a command`, {
          host: described.name,
          hint: 'raise MaxSessions in its sshd_config (2 is the least that cu needs)',
        });
      }
      await sleep(waitMs * (0.5 + Math.random()));
    }
  };

  const start = async (
    argv: readonly string[],
    signal: AbortSignal,
  ): Promise<ReturnType<Mux['open']> extends Promise<infer S> ? S | 'refused' : never> =>
    withLog(async (log) => {
      const child = spawn('ssh', [...common(log), ...argv], {
        detached: true,
        stdio: ['pipe', 'pipe', 'pipe'],
        env: environment,
      });
      const stream = childStream(child, () => void child.kill('SIGTERM'));
      let complaint = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = `${complaint}${text}`.slice(-500)));
      let isEnded = false;
      child.on('close', () => (isEnded = true));
      child.on('error', () => (isEnded = true));
      const opened = (): ReturnType<typeof childStream> & { complaint(): string } =>
        Object.assign(stream, { complaint: () => complaint.trim() });
      for (;;) {
        const text = await readFile(log, 'utf8').catch(() => '');
        if (/master session id/.test(text)) return opened();
        if (isEnded || signal.aborted) break;
        await sleep(POLL_MS);
      }
      // A short command may have ended between the look at the log and the one at the process.
      if (!signal.aborted && (await failureIn(log)).type === 'none') return opened();
      stream.destroy();
      signal.throwIfAborted();
      const failure = await failureIn(log);
      if (failure.type === 'refused' && !argv.includes('-W')) return 'refused';
      if (failure.type === 'lost') throw lostConnection(described, master.lost());
      throw new Error(failure.words === '' ? 'ssh opened no channel' : failure.words);
    });

  const endRemote = async (text: string): Promise<void> => {
    await withLog((log) =>
      execute(['ssh', ...common(log), 'cu', text], { env: environment }, AbortSignal.timeout(5000)),
    );
  };
  /** 255 is the command's own when the connection is still there. */
  const isAlive = async (): Promise<boolean> => {
    if (master.lost() !== undefined) return false;
    const argv = (log: string): readonly string[] => ['ssh', ...common(log), '-O', 'check', 'cu'];
    const result = await withLog((log) => execute(argv(log), { env: environment }, AbortSignal.timeout(5000)));
    return result.exitCode === 0;
  };
  const runOnce = async (
    argv: readonly string[],
    options: RunOptions,
    signal: AbortSignal,
  ): Promise<RunResult | 'refused'> => {
    const command = remoteCommand(argv);
    return withLog(async (log) => {
      const off = onAbort(signal, () => ending.add(endRemote(command.endText)));
      const result = await execute(
        ['ssh', ...common(log), 'cu', command.text],
        { ...options, env: environment },
        signal,
      );
      off();
      if (result.exitCode !== 255 && result.signal === undefined) return result;
      const failure = await failureIn(log);
      if (failure.type === 'refused') return 'refused';
      if (failure.type === 'none' && result.exitCode === 255 && !(await isAlive())) {
        throw lostConnection(described, master.lost());
      }
      if (failure.type === 'lost') throw lostConnection(described, master.lost());
      if (failure.type === 'failed') throw lostConnection(described, new Error(failure.words));
      return result;
    });
  };

  return {
    ending,
    run: async (argv, options) => {
      const deadline = runDeadline(argv, { ...options, host: described.name });
      try {
        const running = inSession(deadline.signal, async (release) => {
          const result = await runOnce(argv, options, deadline.signal);
          if (result !== 'refused') release();
          return result;
        });
        return await orAborted(running, deadline.signal);
      } finally {
        deadline.stop();
      }
    },
    open: (argv, signal) =>
      inSession(signal, async (release) => {
        const stream = await start(['cu', quote(argv)], signal);
        if (stream !== 'refused') stream.once('close', release);
        return stream;
      }),
    dialTcp: async (address, port, signal) => {
      const to = `${address.includes(':') ? `[${address}]` : address}:${port}`;
      try {
        const stream = await start(['-W', to, 'cu'], signal);
        if (stream === 'refused') throw new Error('refused');
        return stream;
      } catch (error) {
        if (error instanceof CuError || signal.aborted) throw error;
        const why = refusalIn(await readFile(join(master.folder, 'log'), 'utf8').catch(() => ''), address, port);
        throw why === undefined ? error : new Error(why, { cause: error });
      }
    },
    control: async (action, flags) => {
      const result = await withLog(async (log) => {
        const done = await runLocal(['ssh', ...common(log), '-O', action, ...flags, 'cu'], {
          host: described.name,
          timeoutMs: 15_000,
          env: environment,
        });
        return { ...done, failure: await failureIn(log) };
      });
      if (result.exitCode === 0) return result.stdout.trim();
      if (master.lost() !== undefined) throw lostConnection(described, master.lost());
      throw new Error(result.failure.words);
    },
  };
}
