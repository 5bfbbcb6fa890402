import { CuError } from '../core/error.ts';

export interface Described {
  readonly name: string;
  readonly description: string;
}

/** What ssh2 and node:net put on their errors. */
interface SshError {
  readonly level?: unknown;
  readonly code?: unknown;
  /** Why a channel was refused, RFC 4254 section 5.1. */
  readonly reason?: unknown;
}

interface Cause {
  readonly text: string;
  readonly hint: string;
}

const NETWORK: Readonly<Record<string, Cause>> = {
  ECONNREFUSED: { text: 'nothing listens there', hint: 'is sshd running, and is `port` right?' },
  EHOSTUNREACH: { text: 'no route to it', hint: 'is it switched on, and its network up?' },
  ENETUNREACH: { text: 'no route to its network', hint: 'is a VPN missing?' },
  ETIMEDOUT: { text: 'it does not answer', hint: 'is it switched on, and no firewall between?' },
  ENOTFOUND: { text: 'its name is not known', hint: 'check `address` for a slip, or use an IP address' },
  EAI_AGAIN: { text: 'its name could not be looked up', hint: 'is this machine online?' },
  ECONNRESET: { text: 'it closed the connection', hint: 'sshd may refuse new connections (MaxStartups)' },
};

/** Node's code for each of the ways in which OpenSSH, or a jump host, says the same. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/connection refused/i, 'ECONNREFUSED'],
  [/no route to host/i, 'EHOSTUNREACH'],
  [/network is unreachable/i, 'ENETUNREACH'],
  [/timed? ?out/i, 'ETIMEDOUT'],
  [/temporary failure in name resolution/i, 'EAI_AGAIN'],
  [/could not resolve|name or service not known|unknown host/i, 'ENOTFOUND'],
  [
    /before handshake|connection reset|closed by (remote|the other)|kex_exchange_identification|broken pipe/i,
    'ECONNRESET',
  ],
];

/** Why a connection could not be made, in the words of cu. */
export function connectError(error: unknown, host: Described): CuError {
  if (error instanceof CuError) return error;
  const message = wordsOf(error);
  if (asSshError(error).level === 'client-authentication') return authenticationError(host, [], error);
  const known = NETWORK[networkCode(error) ?? ''];
  return new CuError('HOST_UNREACHABLE', `${host.description} cannot be reached: ${known?.text ?? message}`, {
    host: host.name,
    hint: known?.hint ?? `try \`${sshCommand(host)}\``,
    cause: error,
  });
}

export function authenticationError(host: Described, tried: readonly string[], cause: unknown): CuError {
  const isEncrypted = tried.some((each) => each.includes('encrypted'));
  const name = `hosts.${host.name}.identity`;
  return new CuError('SSH_AUTHENTICATION', `${host.description} accepts none of the keys that were offered`, {
    host: host.name,
    detail: tried.length === 0 ? 'no key was found to offer' : `tried: ${tried.join(', ')}`,
    hint: isEncrypted
      ? 'load the key into ssh-agent (ssh-add), or use a key without a passphrase in CI'
      : `try \`${sshCommand(host)}\`; name the key with ${name}, or add it to the agent`,
    cause,
  });
}

export function connectTimeout(host: Described, timeoutMs: number): CuError {
  return new CuError(
    'HOST_UNREACHABLE',
    `${host.description} cannot be reached: no answer within ${Math.round(timeoutMs / 1000)} s`,
    {
      host: host.name,
      hint: 'is it switched on, not frozen, and no firewall between? --timeout gives it longer',
    },
  );
}

/** Worth another try: the other side was busy or its answer was lost, before any login. */
export function isTransient(error: unknown): boolean {
  if (error instanceof CuError) return false;
  if (asSshError(error).level === 'client-authentication') return false;
  return ['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EPIPE'].includes(networkCode(error) ?? '');
}

export function lostConnection(host: Described, cause: unknown): CuError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new CuError('CONNECTION_LOST', `the connection to ${host.description} was lost${why}`, {
    host: host.name,
    hint: 'run the command again: cu goes on from what the host has now',
    cause,
  });
}

/** A stream from the host to one of its sockets or ports that did not come about. */
export function dialError(host: Described, to: string, cause: unknown): CuError {
  if (cause instanceof CuError) return cause;
  const isProhibited = asSshError(cause).reason === 1 || /administratively prohibited/i.test(wordsOf(cause));
  return new CuError(
    'COMMAND_FAILED',
    `${host.description} cannot connect to ${to}: ${isProhibited ? 'its sshd forbids it' : wordsOf(cause)}`,
    {
      host: host.name,
      ...(isProhibited ? { hint: 'allow it in its sshd_config: AllowTcpForwarding, AllowStreamLocalForwarding' } : {}),
      cause,
    },
  );
}

/** A port on the host that its sshd did not open. */
export function listenError(host: Described, cause: unknown): CuError {
  return new CuError('COMMAND_FAILED', `sshd on ${host.description} opens no port for us`, {
    host: host.name,
    detail: wordsOf(cause),
    hint: 'allow it in its sshd_config: AllowTcpForwarding yes (or remote)',
    cause,
  });
}

export function asSshError(error: unknown): SshError {
  return typeof error === 'object' && error !== null ? error : {};
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function networkCode(error: unknown): string | undefined {
  const { code } = asSshError(error);
  if (typeof code === 'string' && code in NETWORK) return code;
  return WORDS.find(([pattern]) => pattern.test(wordsOf(error)))?.[1];
}

function sshCommand(host: Described): string {
  return `ssh ${host.description.replace(/:(\d+)$/, ' -p $1')}`;
}
