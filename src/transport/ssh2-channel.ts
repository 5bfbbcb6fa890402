import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, ClientChannel } from 'ssh2';
import { CuError } from '../core/error.ts';
import { onAbort } from './abort.ts';
import { asSshError } from './errors.ts';
import { exitStatus } from './exit-status.ts';
import type { RunOptions, RunResult } from './host.ts';
import { createPending } from './pending.ts';
import type { Pending } from './pending.ts';
import { remoteCommand } from './remote-command.ts';
import { runDeadline } from './run-local.ts';
import { createSemaphore } from './semaphore.ts';

/** Commands over one connection; sshd's MaxSessions (10) counts these, forwarded sockets are free (FACTS.md section 2). */
export interface Sessions {
  exec(command: string, signal: AbortSignal): Promise<ClientChannel>;
  /** Commands being ended whose callers have gone. */
  readonly ending: Pending;
}

const MAX_SESSIONS = 8;
const REFUSED_FOR_MS = 10_000;
const END_MS = 5000;

export function createSessions(client: Client, host: string): Sessions {
  const places = createSemaphore(MAX_SESSIONS);
  return {
    ending: createPending(),
    exec: async (command, signal) => {
      const release = await places.acquire(signal);
      try {
        const channel = await openSession(client, command, { signal, host });
        channel.once('close', release);
        return channel;
      } catch (error) {
        release();
        throw error;
      }
    },
  };
}

/** sshd frees a closed session a moment after it told us, and may be set to fewer than we use: wait for a place. */
async function openSession(
  client: Client,
  command: string,
  { signal, host }: { readonly signal: AbortSignal; readonly host: string },
): Promise<ClientChannel> {
  const startedAt = performance.now();
  for (let waitMs = 5; ; waitMs = Math.min(waitMs * 2, 250)) {
    try {
      return await openChannel((done) => client.exec(command, done), signal);
    } catch (error) {
      if (!isSessionRefusal(error)) throw error;
      if (performance.now() - startedAt > REFUSED_FOR_MS) {
        throw new CuError('COMMAND_FAILED', `sshd on ${host} opens no session for a command`, {
          host,
          hint: 'raise MaxSessions in its sshd_config (2 is the least that cu needs)',
          cause: error,
        });
      }
      await sleep(waitMs * (0.5 + Math.random()), undefined, { signal });
    }
  }
}

/** RFC 4254 section 5.1: 2 is connect failed, which sshd says above MaxSessions, 4 is resource shortage. */
function isSessionRefusal(error: unknown): boolean {
  const { reason } = asSshError(error);
  return reason === 2 || reason === 4;
}

/** One channel; given up by the signal, it is closed when it opens after all. */
export function openChannel(
  open: (done: (error: Error | undefined, channel: ClientChannel) => void) => void,
  signal: AbortSignal | undefined,
): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return onAbort(signal, reject);
    const off = onAbort(signal, reject);
    open((error, channel) => {
      off();
      if (error !== undefined) return reject(error);
      // A channel that fails closes too, which its user sees.
      channel.on('error', () => undefined);
      if (signal?.aborted === true) return closeChannel(channel);
      resolve(channel);
    });
  });
}

/** Runs a command to its end, its limit or its interruption. */
export async function runChannel(
  sessions: Sessions,
  argv: readonly string[],
  options: RunOptions & { readonly host: string },
): Promise<RunResult> {
  const deadline = runDeadline(argv, options);
  const command = remoteCommand(argv);
  try {
    const channel = await sessions.exec(command.text, deadline.signal);
    return await finish(channel, options, {
      signal: deadline.signal,
      end: () => sessions.ending.add(endRemote(sessions, command.endText)),
    });
  } finally {
    deadline.stop();
  }
}

async function endRemote(sessions: Sessions, text: string): Promise<void> {
  const channel = await sessions.exec(text, AbortSignal.timeout(END_MS));
  channel.resume();
  channel.stderr.resume();
  await once(channel, 'close');
}

function finish(
  channel: ClientChannel,
  options: RunOptions,
  { signal, end }: { readonly signal: AbortSignal; readonly end: () => void },
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const off = onAbort(signal, (reason) => {
      end();
      closeChannel(channel);
      reject(reason);
    });
    const said = { stdout: '', stderr: '' };
    const collect = (stream: 'stdout' | 'stderr') => (chunk: string) => {
      said[stream] += chunk;
      options.onOutput?.(stream, chunk);
    };
    channel.setEncoding('utf8').on('data', collect('stdout'));
    const isRead = once(channel.stderr.setEncoding('utf8').on('data', collect('stderr')), 'end');
    // Not the event `exit`: it may have passed before this promise ran.
    channel.on('close', (code: number | null | undefined, name?: string) => {
      off();
      if (code === undefined) return reject(new Error('closed while a command ran'));
      isRead.then(() => resolve({ ...exitStatus(code, name), ...said }), reject);
    });
    channel.end(options.stdin ?? '');
  });
}

function closeChannel(channel: ClientChannel & Duplex): void {
  channel.resume();
  channel.stderr?.resume();
  channel.close();
}
