import { readFile } from 'node:fs/promises';
import type { AnyAuthMethod, BaseAgent, ParsedKey } from 'ssh2';
import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';
import { asSshError, wordsOf } from './errors.ts';
import type { SshSettings } from './ssh-config.ts';

export interface IdentityOptions {
  readonly interactive: boolean;
  readonly ask: (question: string) => Promise<string>;
}

export interface Identities {
  /** The next key to offer, undefined when there are no more. */
  next(): Promise<AnyAuthMethod | undefined>;
  /** What was offered and what could not be, for the error when none is accepted. */
  readonly tried: readonly string[];
}

const PASSPHRASE_TRIES = 3;

/**
 * Keys in the order in which they are offered: chosen files, the agent, default files, then the encrypted ones,
 * so that a passphrase is asked for only when nothing else was accepted.
 */
export function findIdentities(target: HostTarget, settings: SshSettings, options: IdentityOptions): Identities {
  const tried: string[] = [];
  const offers = offer(target, settings, { ...options, tried });
  return { tried, next: async () => (await offers.next()).value ?? undefined };
}

type Offering = IdentityOptions & { readonly tried: string[] };

async function* offer(
  target: HostTarget,
  settings: SshSettings,
  { tried, ...options }: Offering,
): AsyncGenerator<AnyAuthMethod, void> {
  const { utils } = (await import('ssh2')).default;
  const username = settings.user;
  const encrypted: { readonly path: string; readonly text: string }[] = [];
  const readPlain = async (path: string): Promise<ParsedKey | undefined> => {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (path === target.identity) throw unreadableIdentity(target, path, error);
    });
    if (text === undefined) return undefined;
    const parsed = utils.parseKey(text);
    if (!(parsed instanceof Error)) {
      const key = firstKey(parsed);
      // A public key names one that the agent holds.
      return key?.isPrivateKey() === true ? key : undefined;
    }
    if (/encrypted|passphrase/i.test(parsed.message)) encrypted.push({ path, text });
    else if (path === target.identity) throw unreadableIdentity(target, path, parsed);
    else tried.push(`${path} (${parsed.message})`);
    return undefined;
  };

  for (const path of settings.chosenIdentities) {
    const key = await readPlain(path);
    if (key === undefined) continue;
    tried.push(path);
    yield { type: 'publickey', username, key };
  }
  const agent = await openAgent(settings);
  if (agent !== undefined) tried.push(agent.words);
  if (agent?.agent !== undefined) yield { type: 'agent', username, agent: agent.agent };
  for (const path of settings.defaultIdentities) {
    const key = await readPlain(path);
    if (key === undefined) continue;
    tried.push(path);
    yield { type: 'publickey', username, key };
  }
  for (const { path, text } of encrypted) {
    if (!options.interactive) {
      tried.push(`${path} (encrypted, and nobody to ask for its passphrase: use ssh-agent)`);
      continue;
    }
    for (let attempt = 1; attempt <= PASSPHRASE_TRIES; attempt += 1) {
      const passphrase = await options.ask(`Passphrase of ${path} for ${target.name}: `);
      const parsed = utils.parseKey(text, passphrase);
      if (parsed instanceof Error) continue;
      tried.push(path);
      yield { type: 'publickey', username, key: parsed };
      break;
    }
    if (tried.at(-1) !== path) tried.push(`${path} (encrypted, wrong passphrase)`);
  }
  // Servers such as Tailscale's let in whom the network vouches for.
  yield { type: 'none', username };
}

interface FoundAgent {
  readonly agent: BaseAgent | undefined;
  readonly words: string;
}

/** The agent with the keys that may be offered: under IdentitiesOnly, those whose public key a chosen file holds. */
async function openAgent(settings: SshSettings): Promise<FoundAgent | undefined> {
  const path = settings.identityAgent;
  if (path === undefined || path === '') return undefined;
  const { OpenSSHAgent } = (await import('ssh2')).default;
  const agent = new OpenSSHAgent(path);
  const listed = await new Promise<readonly ParsedKey[] | Error>((resolve) => {
    agent.getIdentities((error, keys) => {
      resolve(error instanceof Error ? error : (keys ?? []).filter((key) => 'getPublicSSH' in key));
    });
  });
  if (listed instanceof Error) return { agent: undefined, words: `the SSH agent (${path}: ${listed.message})` };
  const allowed = settings.identitiesOnly ? await publicKeysOf(settings.chosenIdentities) : undefined;
  const usable = listed.filter((key) => allowed?.has(key.getPublicSSH().toString('base64')) ?? true);
  if (usable.length === 0) return { agent: undefined, words: 'the SSH agent (it holds no key for this host)' };

  class Filtered extends OpenSSHAgent {
    override getIdentities(done: Parameters<BaseAgent<ParsedKey>['getIdentities']>[0]): void {
      done(null, [...usable]);
    }
  }
  return {
    agent: new Filtered(path),
    words: `${usable.length} ${usable.length === 1 ? 'key' : 'keys'} of the SSH agent`,
  };
}

/** From the files themselves where they are not encrypted, else from the `.pub` beside them. */
async function publicKeysOf(paths: readonly string[]): Promise<ReadonlySet<string>> {
  const { utils } = (await import('ssh2')).default;
  const found = new Set<string>();
  for (const path of paths.flatMap((each) => [each, `${each}.pub`])) {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    const key = text === undefined ? undefined : utils.parseKey(text);
    if (key !== undefined && !(key instanceof Error)) found.add(key.getPublicSSH().toString('base64'));
  }
  return found;
}

function firstKey(parsed: ParsedKey | readonly ParsedKey[]): ParsedKey | undefined {
  return 'type' in parsed ? parsed : parsed[0];
}

function unreadableIdentity(target: HostTarget, path: string, cause: unknown): CuError {
  const isMissing = asSshError(cause).code === 'ENOENT';
  return new CuError(
    'SSH_AUTHENTICATION',
    `the key ${path} ${isMissing ? 'does not exist' : `cannot be read: ${wordsOf(cause)}`}`,
    {
      host: target.name,
      hint: isMissing ? `check hosts.${target.name}.identity` : 'it must be a private key in OpenSSH or PEM form',
      cause,
    },
  );
}
