import type { Duplex } from 'node:stream';
import type { Client, ServerHostKeyAlgorithm } from 'ssh2';
import type { HostTarget } from '../core/state.ts';
import { onAbort } from './abort.ts';
import { connectInTries } from './attempts.ts';
import type { Deadline } from './deadline.ts';
import { asSshError, authenticationError } from './errors.ts';
import type { Described } from './errors.ts';
import { openHostKeyCheck } from './host-key.ts';
import type { HostKeyCheck } from './host-key.ts';
import { findIdentities } from './identities.ts';
import { connectSocket } from './socket.ts';
import type { SshSettings } from './ssh-config.ts';

export interface Ssh2Options {
  readonly connectTimeoutMs: number;
  readonly interactive: boolean;
  readonly ask: (question: string) => Promise<string>;
  readonly confirm: (question: string) => Promise<boolean>;
  readonly signal: AbortSignal;
  /** Opens the stream to sshd when it is reached through other hosts; called anew for each try. */
  readonly proxy: ((signal: AbortSignal) => Promise<Duplex>) | undefined;
}

export interface Ssh2Connection {
  readonly client: Client;
  /** Why it ended, when it did. */
  readonly lost: () => unknown;
  /** A channel that nobody reads just now, such as a kept one, does not notice the end of its connection by itself. */
  readonly endWith: <T extends Duplex>(channel: T) => T;
  readonly close: () => Promise<void>;
}

const KEEPALIVE_MS = 10_000;
const GOODBYE_MS = 200;

/** Connects and logs in. */
export async function connectSsh2(
  target: HostTarget,
  settings: SshSettings,
  options: Ssh2Options & { readonly described: Described },
): Promise<Ssh2Connection> {
  const check = await openHostKeyCheck(target, settings, options);
  return connectInTries(options.described, options, (deadline) =>
    connectOnce(target, settings, { ...options, check, deadline }),
  );
}

async function connectOnce(
  target: HostTarget,
  settings: SshSettings,
  options: Ssh2Options & { readonly described: Described; readonly check: HostKeyCheck; readonly deadline: Deadline },
): Promise<Ssh2Connection> {
  const { check, deadline } = options;
  // The socket is ours: ssh2 has no way to drop a connection whose other side has gone silent.
  const [{ default: ssh2 }, socket] = await Promise.all([
    import('ssh2'),
    options.proxy === undefined
      ? connectSocket({ type: 'tcp', address: settings.hostname, port: settings.port }, deadline.signal)
      : options.proxy(deadline.signal),
  ]);
  const identities = findIdentities(target, settings, {
    interactive: options.interactive,
    ask: (question) => deadline.pausing(() => options.ask(question)),
  });
  const client = new ssh2.Client();
  const state: { lost: unknown; refused: Error | undefined } = { lost: undefined, refused: undefined };
  try {
    await new Promise<void>((resolve, reject) => {
      const off = onAbort(deadline.signal, reject);
      client.once('ready', () => {
        off();
        resolve();
      });
      client.on('error', (error) => {
        if (isAboutOneKey(error)) return;
        off();
        state.lost ??= error;
        reject(error);
      });
      client.once('close', () => {
        off();
        state.lost ??= new Error('closed by the other side');
        reject(new Error('closed by the other side before handshake'));
      });
      client.connect({
        sock: socket,
        username: settings.user,
        readyTimeout: 0,
        keepaliveInterval: KEEPALIVE_MS,
        keepaliveCountMax: 3,
        strictVendor: false,
        algorithms: { serverHostKey: preferredAlgorithms(check.knownTypes) },
        authHandler: (_left, _isPartial, next) => {
          identities.next().then(
            // `false` ends the login; its type knows only the methods.
            (method) => (method === undefined ? Reflect.apply(next, undefined, [false]) : next(method)),
            (error: unknown) => {
              state.refused = asError(error);
              Reflect.apply(next, undefined, [false]);
            },
          );
        },
        hostVerifier: (blob: Buffer, accept: (isValid: boolean) => void) => {
          deadline
            .pausing(() => check.verify(blob))
            .then(
              () => accept(true),
              (error: unknown) => {
                state.refused = asError(error);
                accept(false);
              },
            );
        },
      });
    });
  } catch (error) {
    socket.destroy();
    if (state.refused !== undefined) throw state.refused;
    if (asSshError(error).level === 'client-authentication')
      throw authenticationError(options.described, identities.tried, error);
    throw error;
  }
  return {
    client,
    lost: () => state.lost,
    endWith: endTogether(client, () => state.lost),
    close: () => closeConnection(client, socket),
  };
}

function endTogether(client: Client, lost: () => unknown): Ssh2Connection['endWith'] {
  const open = new Set<Duplex>();
  client.once('close', () => {
    for (const channel of open) channel.destroy(asError(lost()));
  });
  return (channel) => {
    open.add(channel);
    channel.once('close', () => open.delete(channel));
    if (lost() !== undefined) channel.destroy(asError(lost()));
    return channel;
  };
}

/** The agent failed, or refused to sign: ssh2 goes on to the next key by itself. */
function isAboutOneKey(error: Error): boolean {
  const { level } = asSshError(error);
  return level === 'agent' || (level === 'client-authentication' && error.message.startsWith('Error while signing'));
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Says goodbye, and leaves soon also when nobody answers. */
async function closeConnection(client: Client, socket: Duplex): Promise<void> {
  if (socket.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, GOODBYE_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    client.end();
  });
  socket.destroy();
}

const HOST_KEY_ALGORITHMS: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

/** Known types first: a host that is known by one key must not look unknown for showing another. */
function preferredAlgorithms(knownTypes: readonly string[]): ServerHostKeyAlgorithm[] {
  const isKnown = (name: string): boolean => knownTypes.includes(name.startsWith('rsa-') ? 'ssh-rsa' : name);
  return HOST_KEY_ALGORITHMS.toSorted((a, b) => Number(isKnown(b)) - Number(isKnown(a)));
}
