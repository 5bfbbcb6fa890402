import { readFile } from 'node:fs/promises';
import type { SshEnvironment, SshValues } from './ssh-environment.ts';

export interface IdentityChoice {
  readonly chosen: readonly string[];
  readonly isDefault: boolean;
  readonly identities: readonly string[];
  readonly at: SshEnvironment;
  /** The config's own proxyJump overrides a ProxyCommand. */
  readonly hasJump: boolean;
}

const NAMES: Readonly<Record<string, string>> = {
  certificatefile: 'CertificateFile',
  pkcs11provider: 'PKCS11Provider',
  knownhostscommand: 'KnownHostsCommand',
  revokedhostkeys: 'RevokedHostKeys',
  bindaddress: 'BindAddress',
  bindinterface: 'BindInterface',
};

/** What the ssh2 library lacks and the host's settings ask for, by name; a value that stands for "off" does not count. */
export async function opensshOnly(values: SshValues, choice: IdentityChoice): Promise<readonly string[]> {
  const isSet = (key: string): boolean => (values.get(key) ?? []).some((value) => value !== '' && value !== 'none');
  const found = Object.entries(NAMES).flatMap(([key, name]) => (isSet(key) ? [name] : []));
  if (isSet('proxycommand') && !choice.hasJump) found.push('ProxyCommand');
  if (values.get('gssapiauthentication')?.[0] === 'yes' && (await asksForGssapi(choice.at.home)))
    found.push('GSSAPIAuthentication');
  const files = await Promise.all(
    [...new Set([...choice.chosen, ...choice.identities])].map(async (path) => ({
      path,
      text: await readFile(`${path}.pub`, 'utf8').catch(() => undefined),
      key: await readFile(path, 'utf8').catch(() => undefined),
      certificate: await readFile(`${path}-cert.pub`, 'utf8').catch(() => undefined),
    })),
  );
  if (files.some(({ certificate }) => certificate !== undefined)) found.push('a certificate beside the key');
  const isSecurityKey = (text: string | undefined): boolean => text?.startsWith('sk-') === true;
  const existing = files.filter(({ key, text }) => key !== undefined || text !== undefined);
  // Default files are only there for lack of a choice: a security key among others need not be the one.
  const relevant =
    choice.isDefault && choice.chosen.length > 0
      ? existing.filter(({ path }) => choice.chosen.includes(path))
      : existing;
  if (relevant.length > 0 && relevant.every(({ text }) => isSecurityKey(text))) found.push('a security key');
  return [...new Set(found)];
}

/** Debian's /etc/ssh/ssh_config says yes for everybody, so only the user's own word counts. */
async function asksForGssapi(home: string): Promise<boolean> {
  const text = await readFile(`${home}/.ssh/config`, 'utf8').catch(() => '');
  return /^\s*GSSAPIAuthentication[\s=]+"?yes/im.test(text);
}
