import { readFile } from 'node:fs/promises';
import type { HostTarget } from '../core/state.ts';
import { authenticationError } from './errors.ts';
import type { Described } from './errors.ts';
import { changedKey, knownAs, revokedKey, unknownKey } from './host-key.ts';
import { fingerprint } from './known-hosts.ts';
import type { SshSettings } from './ssh-config.ts';

export interface LogContext {
  readonly target: HostTarget;
  readonly settings: SshSettings;
  readonly described: Described;
}

/** What ssh's log at DEBUG1 says about a connection that failed: an error for people where cu knows one. */
export async function explainLog(log: string, { target, settings, described }: LogContext): Promise<Error> {
  const at = knownAs(settings);
  const [, type, shownFingerprint] = /Server host key: (\S+) (SHA256:\S+)/.exec(log) ?? [];
  const shown = `${type ?? 'a key'} ${shownFingerprint ?? 'of unknown fingerprint'}`;
  const where = /Offending (?:\S+ )?key in (.+?:\d+)\r?$/m.exec(log)?.[1] ?? 'a known_hosts file';
  if (/REVOKED HOST KEY DETECTED|is marked as revoked|was revoked/i.test(log))
    return revokedKey(target, at, { shown, where });
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED|DIFFERENT KEY TYPE/i.test(log)) {
    return changedKey(target, at, { shown, known: `${await keyAt(where)} (${where})` });
  }
  if (/Host key verification failed|host key is known for/i.test(log)) {
    const port = at.port === 22 ? '' : ` -p ${at.port}`;
    return unknownKey(target, at, { shown, line: `the line that \`ssh-keyscan${port} ${at.name}\` prints` });
  }
  const words = saidBy(log);
  if (/Permission denied|Too many authentication failures|No more authentication methods/i.test(log)) {
    return authenticationError(described, await triedIn(log), new Error(words));
  }
  return new Error(words === '' ? 'ssh ended without a word' : words);
}

/** Why the host did not connect to a port: ssh tells only its own log, and names the port as the channel is freed. */
export function refusalIn(log: string, address: string, port: number): string | undefined {
  const reasons = new Map<string, string>();
  let found: string | undefined;
  for (const line of log.split(/\r?\n/)) {
    const [, refused, reason] = /^channel (\d+): open failed: (.*)$/.exec(line) ?? [];
    if (refused !== undefined && reason !== undefined) reasons.set(refused, reason);
    const [, freed, to] = /^debug1: channel (\d+): free: direct-tcpip: (.*), connect from /.exec(line) ?? [];
    if (freed === undefined) continue;
    if (to === `listening port 0 for ${address} port ${port}`) found = reasons.get(freed) ?? found;
    // The number is given to the next channel.
    reasons.delete(freed);
  }
  return found?.replace(/^connect failed: /, '');
}

/** The fingerprint of the entry that ssh calls the offending one. */
async function keyAt(where: string): Promise<string> {
  const colon = where.lastIndexOf(':');
  const text = await readFile(where.slice(0, colon), 'utf8').catch(() => '');
  const words = text.split(/\r?\n/)[Number(where.slice(colon + 1)) - 1]?.trim().split(/\s+/) ?? [];
  const [, type, key] = words[0]?.startsWith('@') === true ? words.slice(1) : words;
  return type === undefined || key === undefined ? 'another key' : `${type} ${fingerprint(Buffer.from(key, 'base64'))}`;
}

async function triedIn(log: string): Promise<readonly string[]> {
  const paths = [...log.matchAll(/(?:Offering public key: |Trying private key: |Load key ")([^"\s]+)/g)].flatMap(
    ([, path]) => path ?? [],
  );
  const { utils } = (await import('ssh2')).default;
  return Promise.all(
    [...new Set(paths)].map(async (path) => {
      const parsed = utils.parseKey(await readFile(path, 'utf8').catch(() => ''));
      const isEncrypted = parsed instanceof Error && /encrypted|passphrase/i.test(parsed.message);
      return isEncrypted ? `${path} (encrypted, and its passphrase was not given: use ssh-agent)` : path;
    }),
  );
}

/** The last lines that are no debugging. */
function saidBy(log: string): string {
  const lines = log.split(/\r?\n/).filter((line) => line !== '' && !/^(debug\d: |OpenSSH_)/.test(line));
  return lines.slice(-3).join('; ').slice(-500);
}
