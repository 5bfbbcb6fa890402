import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';
import { fingerprint, judgeKey, keyType, knownHostsLine, knownKeys } from './known-hosts.ts';
import type { KeyVerdict, KnownKey } from './known-hosts.ts';
import type { SshSettings } from './ssh-config.ts';

export interface HostKeyCheck {
  /** Key types that are known for the host, to be asked for first, as OpenSSH does. */
  readonly knownTypes: readonly string[];
  /** Throws when the key is not to be trusted. */
  verify(blob: Uint8Array): Promise<void>;
}

export interface HostKeyOptions {
  readonly interactive: boolean;
  readonly confirm: (question: string) => Promise<boolean>;
}

/** Reads what is known about a host's keys: the config's lines first, then the known_hosts files. */
export async function openHostKeyCheck(
  target: HostTarget,
  settings: SshSettings,
  options: HostKeyOptions,
): Promise<HostKeyCheck> {
  const at = knownAs(settings);
  const files = await Promise.all(
    settings.knownHostsFiles.map(async (file) => ({ file, text: await readFile(file, 'utf8').catch(() => '') })),
  );
  const known = [...configuredKeys(target, settings), ...files.flatMap(({ file, text }) => knownKeys(text, file, at))];
  // As OpenSSH: where nothing is known for `[host]:port`, the key of the plain name is good too.
  const withoutPort =
    at.port === 22 ? [] : files.flatMap(({ file, text }) => knownKeys(text, file, { ...at, port: 22 }));
  return {
    knownTypes: [
      ...new Set([...known, ...withoutPort].filter((entry) => entry.marker === undefined).map((entry) => entry.type)),
    ],
    verify: async (blob) => {
      const verdict = judgeBoth(blob, known, withoutPort);
      switch (verdict.type) {
        case 'known':
          return;
        case 'revoked':
          throw revokedKey(target, at, { shown: fingerprint(blob), where: verdict.at });
        case 'changed':
          throw changedKey(target, at, {
            known: `${verdict.known.type} ${fingerprint(Buffer.from(verdict.known.key, 'base64'))} (${verdict.known.at})`,
            shown: `${keyType(blob)} ${fingerprint(blob)}`,
          });
        case 'authority':
          throw new CuError(
            'HOST_KEY_UNKNOWN',
            `${target.name} is trusted by a certificate authority (${verdict.at}) only`,
            {
              host: target.name,
              hint: `the built-in SSH client cannot check that: set ssh.client to openssh`,
            },
          );
        case 'unknown':
          await acceptUnknown(target, at, blob, { settings, options });
      }
    },
  };
}

function judgeBoth(blob: Uint8Array, known: readonly KnownKey[], withoutPort: readonly KnownKey[]): KeyVerdict {
  const verdict = judgeKey(blob, known);
  if (verdict.type !== 'unknown') return verdict;
  const other = judgeKey(blob, withoutPort);
  return other.type === 'known' || other.type === 'revoked' ? other : verdict;
}

export interface KnownAs {
  readonly name: string;
  readonly port: number;
}

/** The name under which known_hosts files have the host: not `address`, where ~/.ssh/config gives it a HostName. */
export function knownAs({ hostKeyAlias, hostname, port }: SshSettings): KnownAs {
  return hostKeyAlias === undefined ? { name: hostname, port } : { name: hostKeyAlias, port: 22 };
}

/** The keys that the config's own lines give the host, written for its `address` or for the name that ssh makes of it. */
export function configuredKeys(target: HostTarget, settings: SshSettings): readonly KnownKey[] {
  const text = target.knownHosts.join('\n');
  const at = knownAs(settings);
  const asWritten = { name: target.address, port: settings.port };
  const names = asWritten.name === at.name && asWritten.port === at.port ? [at] : [at, asWritten];
  return names.flatMap((name) => knownKeys(text, 'ssh.knownHosts', name));
}

export function revokedKey(
  target: HostTarget,
  at: KnownAs,
  { shown, where }: { readonly shown: string; readonly where: string },
): CuError {
  return new CuError('HOST_KEY_REVOKED', `the key of ${target.name} (${at.name}) was revoked at ${where}`, {
    host: target.name,
    detail: shown,
    hint: 'do not connect: ask whoever runs the host for its new key',
  });
}

export function changedKey(
  target: HostTarget,
  at: KnownAs,
  { known, shown }: { readonly known: string; readonly shown: string },
): CuError {
  const name = at.port === 22 ? at.name : `[${at.name}]:${at.port}`;
  return new CuError('HOST_KEY_CHANGED', `the key of ${target.name} (${at.name}) is not the one that is known`, {
    host: target.name,
    detail: `known  ${known}\nshown  ${shown}`,
    hint: `if the host was set up anew, remove the old key: ssh-keygen -R '${name}'; else somebody may be in between`,
  });
}

async function acceptUnknown(
  target: HostTarget,
  at: KnownAs,
  blob: Uint8Array,
  { settings, options }: { readonly settings: SshSettings; readonly options: HostKeyOptions },
): Promise<void> {
  const line = knownHostsLine(at, blob);
  const shown = `${keyType(blob)} ${fingerprint(blob)}`;
  if (settings.unknownHostKeys !== 'accept') {
    const mayAsk = options.interactive && settings.unknownHostKeys === 'ask';
    const question = `${target.name} (${at.name}) shows the key ${shown}, not seen before. Trust it?`;
    if (!mayAsk || !(await options.confirm(question))) throw unknownKey(target, at, { shown, line });
  }
  const file = settings.knownHostsFiles[0];
  if (file === undefined || file === '/dev/null') return;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const before = await readFile(file, 'utf8').catch(() => '');
  const separator = before === '' || before.endsWith('\n') ? '' : '\n';
  await appendFile(file, `${separator}${line}\n`, { mode: 0o600 });
}

export function unknownKey(
  target: HostTarget,
  at: KnownAs,
  { shown, line }: { readonly shown: string; readonly line: string },
): CuError {
  return new CuError('HOST_KEY_UNKNOWN', `the key of ${target.name} (${at.name}) is not known`, {
    host: target.name,
    detail: shown,
    hint: `once you have compared it, add it to ~/.ssh/known_hosts, or for CI to ssh.knownHosts: "${line}"`,
  });
}
