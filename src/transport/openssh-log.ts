import { readFileSync } from 'node:fs';
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
export function explainLog(log: string, { target, settings, described }: LogContext): Error {
  const at = knownAs(settings);
  const [, type, shownFingerprint] = /Server host key: (\S+) (SHA256:\S+)/.exec(log) ?? [];
  const shown = `${type ?? 'a key'} ${shownFingerprint ?? 'of unknown fingerprint'}`;
  const where = /Offending (?:\S+ )?key in (.+?:\d+)\r?$/m.exec(log)?.[1] ?? 'a known_hosts file';
  if (/REVOKED HOST KEY DETECTED|is marked as revoked|was revoked/i.test(log)) return revokedKey(target, at, { shown, where });
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED|DIFFERENT KEY TYPE/i.test(log)) {
    return changedKey(target, at, { shown, known: `${keyAt(where)} (${where})` });
  }
  if (/Host key verification failed|host key is known for/i.test(log)) {
    const port = at.port === 22 ? '' : ` -p ${at.port}`;
    return unknownKey(target, at, { shown, line: `the line that \`ssh-keyscan${port} ${at.name}\` prints` });
  }
  const words = saidBy(log);
  if (/Permission denied|Too many authentication failures|No more authentication methods/i.test(log)) {
    return authenticationError(described, triedIn(log), new Error(words));
  }
  return new Error(words === '' ? 'ssh ended without a word' : words);
}
