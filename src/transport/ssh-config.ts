import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';
import { expandPath, expandVariables } from './ssh-config-paths.ts';
import { readConfigFile } from './ssh-config-file.ts';
import type { SshEnvironment, SshValues } from './ssh-environment.ts';
import { opensshOnly } from './ssh-features.ts';

/** What the user's ssh settings and the config say together about one host. */
export interface SshSettings {
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  /** The config's own identity, then those that the ssh settings name: offered before the agent's keys. */
  readonly chosenIdentities: readonly string[];
  readonly defaultIdentities: readonly string[];
  /** The agent offers only the chosen ones. */
  readonly identitiesOnly: boolean;
  readonly identityAgent: string | undefined;
  readonly proxyJump: readonly string[];
  readonly knownHostsFiles: readonly string[];
  readonly hostKeyAlias: string | undefined;
  readonly unknownHostKeys: 'ask' | 'accept' | 'refuse';
  /** Settings that only the system's ssh can honour, by name. */
  readonly needsOpenssh: readonly string[];
}

/** Asks `ssh -G`, which is exact; where there is no ssh, reads ~/.ssh/config with the ssh-config library. */
export async function readSshSettings(target: HostTarget, at: SshEnvironment): Promise<SshSettings> {
  const values = (await askSsh(target, at)) ?? (await readConfigFile(target, at));
  const first = (key: string): string | undefined => values.get(key)?.[0];
  const hostname = first('hostname') ?? target.address;
  const port = target.port ?? Number(first('port') ?? 22);
  const user = target.user ?? first('user') ?? at.username;
  const expand = (path: string): string =>
    expandPath(path, {
      home: at.home,
      env: at.env,
      hostname,
      port,
      user,
      original: target.address,
      username: at.username,
    });
  const identities = (values.get('identityfile') ?? DEFAULT_IDENTITIES).map(expand);
  const isDefault =
    identities.some((path) => path.endsWith('/id_rsa')) && identities.some((path) => path.endsWith('/id_ed25519'));
  const chosen = [...(target.identity === undefined ? [] : [target.identity]), ...(isDefault ? [] : identities)];
  const jumps = target.proxyJump.length > 0 ? target.proxyJump : (first('proxyjump') ?? '').split(',');
  const agent = expandVariables(first('identityagent') ?? '$SSH_AUTH_SOCK', at.env);
  return {
    hostname,
    port,
    user,
    chosenIdentities: [...new Set(chosen)],
    defaultIdentities: isDefault ? identities : [],
    identitiesOnly: first('identitiesonly') === 'yes',
    identityAgent:
      agent === '' || agent === 'none'
        ? undefined
        : agent === 'SSH_AUTH_SOCK'
          ? at.env['SSH_AUTH_SOCK']
          : expand(agent),
    proxyJump: jumps.filter((jump) => jump !== '' && jump !== 'none'),
    knownHostsFiles: knownHostsFiles(values)
      .map(expand)
      .map((path) => underHome(path, at.home)),
    hostKeyAlias: first('hostkeyalias'),
    unknownHostKeys: policyOf(first('stricthostkeychecking')),
    needsOpenssh: await opensshOnly(values, {
      chosen,
      isDefault,
      identities,
      at,
      hasJump: target.proxyJump.length > 0,
    }),
  };
}

/**
 * `-F` for a home that is not the one in passwd, such as in a test or under sudo: ssh looks only at the latter,
 * while all that cu reads by itself lies in the former.
 */
export async function configFileArguments(home: string): Promise<readonly string[]> {
  if (userInfo().homedir === home) return [];
  const file = `${home}/.ssh/config`;
  return [
    '-F',
    await access(file).then(
      () => file,
      () => 'none',
    ),
  ];
}

const DEFAULT_IDENTITIES = ['id_rsa', 'id_ecdsa', 'id_ed25519'].map((name) => `~/.ssh/${name}`);

async function askSsh(target: HostTarget, at: SshEnvironment): Promise<SshValues | undefined> {
  const argv = [
    '-G',
    ...(await configFileArguments(at.home)),
    ...(target.port === undefined ? [] : ['-p', `${target.port}`]),
    ...(target.user === undefined ? [] : ['-l', target.user]),
    '--',
    target.address,
  ];
  const result = await new Promise<{ readonly error: Error | null; readonly stdout: string; readonly stderr: string }>(
    (resolve) => {
      execFile('ssh', argv, { timeout: 10_000, env: { ...at.env } }, (error, stdout, stderr) =>
        resolve({ error, stdout, stderr }),
      );
    },
  );
  if (result.error === null) return parseSettings(result.stdout);
  if ('code' in result.error && result.error.code === 'ENOENT') return undefined;
  throw new CuError('CONFIG_INVALID', `ssh does not understand its own settings for ${target.name}`, {
    host: target.name,
    command: `ssh -G ${target.address}`,
    detail: result.stderr.trim(),
    hint: 'mend ~/.ssh/config, or the address in the config',
    cause: result.error,
  });
}

function parseSettings(text: string): SshValues {
  const values = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    if (space < 0) continue;
    const key = line.slice(0, space).toLowerCase();
    values.set(key, [...(values.get(key) ?? []), line.slice(space + 1).trim()]);
  }
  return values;
}

function knownHostsFiles(values: SshValues): readonly string[] {
  const list = (key: string, otherwise: string): readonly string[] =>
    (values.get(key) ?? [otherwise]).flatMap((text) => text.split(/\s+/)).filter((path) => path !== 'none');
  return [
    ...list('userknownhostsfile', '~/.ssh/known_hosts'),
    ...list('globalknownhostsfile', '/etc/ssh/ssh_known_hosts'),
  ];
}

/** ssh has put the home of passwd in already. */
function underHome(path: string, home: string): string {
  const { homedir } = userInfo();
  return homedir !== home && path.startsWith(`${homedir}/`) ? `${home}${path.slice(homedir.length)}` : path;
}

/** `no` is read as accept-new: host keys are always checked, and a changed one is always refused. */
function policyOf(value: string | undefined): SshSettings['unknownHostKeys'] {
  if (value === 'accept-new' || value === 'no' || value === 'off' || value === 'false') return 'accept';
  return value === 'yes' || value === 'true' ? 'refuse' : 'ask';
}
