import { createHash, createHmac } from 'node:crypto';
import { globMatches } from './glob.ts';

export interface KnownKey {
  readonly marker: 'revoked' | 'cert-authority' | undefined;
  /** Key type such as `ssh-ed25519`. */
  readonly type: string;
  readonly key: string;
  /** `FILE:LINE` of the entry. */
  readonly at: string;
}

export type KeyVerdict =
  | { readonly type: 'known' }
  | { readonly type: 'unknown' }
  | { readonly type: 'revoked'; readonly at: string }
  | { readonly type: 'changed'; readonly known: KnownKey }
  /** Only a certificate authority is known for the host, which ssh2 cannot check. */
  | { readonly type: 'authority'; readonly at: string };

/**
 * The entries of a known_hosts text that are about a host (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"):
 * plain, hashed (`|1|salt|hash`), `[host]:port`, wildcards and negation, `@revoked`, `@cert-authority`.
 */
export function knownKeys(
  text: string,
  file: string,
  host: { readonly name: string; readonly port: number },
): readonly KnownKey[] {
  const wanted = host.port === 22 ? host.name : `[${host.name}]:${host.port}`;
  return text.split(/\r?\n/).flatMap((line, index): readonly KnownKey[] => {
    const words = line.trim().split(/\s+/);
    if (words[0] === undefined || words[0] === '' || words[0].startsWith('#')) return [];
    const marker = words[0].startsWith('@') ? words.shift()?.slice(1) : undefined;
    const [patterns = '', type, key] = words;
    if (type === undefined || key === undefined || !matchesHost(patterns, wanted.toLowerCase())) return [];
    if (marker !== undefined && marker !== 'revoked' && marker !== 'cert-authority') return [];
    return [{ marker, type, key, at: `${file}:${index + 1}` }];
  });
}

/** What the known entries say about the key that a host showed. */
export function judgeKey(blob: Uint8Array, known: readonly KnownKey[]): KeyVerdict {
  const key = Buffer.from(blob).toString('base64');
  const type = keyType(blob);
  const revoked = known.find((entry) => entry.marker === 'revoked' && entry.key === key);
  if (revoked !== undefined) return { type: 'revoked', at: revoked.at };
  const plain = known.filter((entry) => entry.marker === undefined);
  if (plain.some((entry) => entry.key === key)) return { type: 'known' };
  const other = plain.find((entry) => entry.type === type) ?? plain[0];
  if (other !== undefined) return { type: 'changed', known: other };
  const authority = known.find((entry) => entry.marker === 'cert-authority');
  return authority === undefined ? { type: 'unknown' } : { type: 'authority', at: authority.at };
}

/** As ssh-keygen prints it: `SHA256:` and unpadded base64. */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** The type is the first string of the key's blob (RFC 4253 section 6.6). */
export function keyType(blob: Uint8Array): string {
  const bytes = Buffer.from(blob);
  return bytes.length < 4 ? '' : bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString('latin1');
}

/** One line for known_hosts, or for `ssh.knownHosts` in the config. */
export function knownHostsLine(host: { readonly name: string; readonly port: number }, blob: Uint8Array): string {
  const name = host.port === 22 ? host.name : `[${host.name}]:${host.port}`;
  return `${name} ${keyType(blob)} ${Buffer.from(blob).toString('base64')}`;
}

function matchesHost(patterns: string, wanted: string): boolean {
  if (patterns.startsWith('|1|')) {
    const [, , salt = '', hash] = patterns.split('|');
    return createHmac('sha1', Buffer.from(salt, 'base64')).update(wanted).digest('base64') === hash;
  }
  let isMatch = false;
  for (const pattern of patterns.toLowerCase().split(',')) {
    const isNegated = pattern.startsWith('!');
    if (!globMatches(isNegated ? pattern.slice(1) : pattern, wanted)) continue;
    if (isNegated) return false;
    isMatch = true;
  }
  return isMatch;
}
