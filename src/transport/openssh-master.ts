import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';
import { connectInTries } from './attempts.ts';
import type { Deadline } from './deadline.ts';
import type { Described } from './errors.ts';
import { configuredKeys, knownAs } from './host-key.ts';
import { answerQuestions, prepareAskpass } from './openssh-askpass.ts';
import { explainLog } from './openssh-log.ts';
import { configFileArguments } from './ssh-config.ts';
import type { SshSettings } from './ssh-config.ts';
import type { SshEnvironment } from './ssh-environment.ts';

export interface OpensshOptions extends SshEnvironment {
  readonly tmp: string;
  readonly connectTimeoutMs: number;
  readonly interactive: boolean;
  readonly ask: (question: string) => Promise<string>;
  readonly confirm: (question: string) => Promise<boolean>;
  readonly signal: AbortSignal;
  /** How sshd is reached through hosts of the config; undefined leaves it to the user's own settings. */
  readonly proxyCommand: string | undefined;
}

/** One `ssh -M` in the background and the folder of its sockets. */
export interface Master {
  readonly folder: string;
  readonly controlPath: string;
  /** undefined while it lives; then the last words of its log. */
  readonly lost: () => Error | undefined;
  readonly close: () => Promise<void>;
}

const POLL_MS = 10;
const GOODBYE_MS = 500;
/** A socket's path has 104 bytes on macOS, 108 on Linux; ssh adds 17 to its control path at first. */
const LONGEST_FOLDER = 80;

/**
 * Runs ssh below a shell that ends it and removes its folder as soon as our end of stdin closes, so that nothing is
 * left behind whatever kills cu. The shell says when ssh has ended and stays: the folder holds the log that says why.
 * The pid of an ssh that has ended by itself may be another's by then.
 */
const WATCHED = `
exec 3<&0; folder=$1; shift
"$@" </dev/null >/dev/null 3<&- & ssh=$!
(cat <&3; [ -e "$folder/ended" ] || kill "$ssh"; rm -rf "$folder") >/dev/null 2>&1 &
exec 3<&-; wait "$ssh"
: >"$folder/ended"; echo ended; wait`;

export async function startMaster(
  target: HostTarget,
  settings: SshSettings,
  options: OpensshOptions & { readonly described: Described },
): Promise<Master> {
  return connectInTries(options.described, options, (deadline) =>
    startOnce(target, settings, { ...options, deadline }),
  );
}

type StartOptions = OpensshOptions & { readonly described: Described; readonly deadline: Deadline };

async function startOnce(target: HostTarget, settings: SshSettings, options: StartOptions): Promise<Master> {
  const { deadline } = options;
  const folder = await mkdtemp(
    join(Buffer.byteLength(options.tmp) > LONGEST_FOLDER - 16 ? '/tmp' : options.tmp, 'cu-ssh-'),
  );
  const controlPath = join(folder, 'c');
  const log = join(folder, 'log');
  await writeFile(join(folder, 'known_hosts'), knownHostsText(target, settings), { mode: 0o600 });
  const askpass = options.interactive ? await prepareAskpass(folder) : undefined;
  const argv = await masterArguments(target, settings, { ...options, folder, log, controlPath });
  // A group of its own: Ctrl-C is for cu, which still needs the connection to tidy up.
  const child = spawn('sh', ['-c', WATCHED, 'sh', folder, 'ssh', ...argv], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...options.env, ...askpass },
  });
  const state: { error: Error | undefined; isEnded: boolean } = { error: undefined, isEnded: false };
  child.on('error', (error) => (state.error = error));
  child.stdout.on('data', () => (state.isEnded = true));
  child.on('close', () => (state.isEnded = true));
  const close = (): Promise<void> => stop(child, folder);
  try {
    while (!(await exists(controlPath))) {
      deadline.signal.throwIfAborted();
      if (state.error !== undefined) throw sshMissing(target, state.error);
      if (state.isEnded)
        throw await explainLog(await readFile(log, 'utf8').catch(() => ''), {
          target,
          settings,
          described: options.described,
        });
      if (askpass !== undefined) await deadline.pausing(() => answerQuestions(folder, options));
      await sleep(POLL_MS);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    folder,
    controlPath,
    lost: () => (state.isEnded ? new Error('ssh has ended') : undefined),
    close,
  };
}

async function masterArguments(
  target: HostTarget,
  settings: SshSettings,
  options: StartOptions & { readonly folder: string; readonly log: string; readonly controlPath: string },
): Promise<readonly string[]> {
  const strict = { ask: options.interactive ? 'ask' : 'yes', accept: 'accept-new', refuse: 'yes' }[
    settings.unknownHostKeys
  ];
  // The user's files first: ssh writes a new key into the first.
  const knownHosts = [...settings.knownHostsFiles.slice(0, 2), join(options.folder, 'known_hosts')].map(
    (path) => `"${path}"`,
  );
  const settingsOf = {
    BatchMode: options.interactive ? 'no' : 'yes',
    ClearAllForwardings: 'yes',
    ConnectTimeout: Math.ceil(options.connectTimeoutMs / 1000),
    ConnectionAttempts: 1,
    ControlPersist: 'no',
    ForwardAgent: 'no',
    ForwardX11: 'no',
    // Info on the key that was shown and the keys that were offered, for our own error.
    LogLevel: 'DEBUG1',
    PermitLocalCommand: 'no',
    RemoteCommand: 'none',
    RequestTTY: 'no',
    ServerAliveCountMax: 3,
    ServerAliveInterval: 10,
    StrictHostKeyChecking: strict,
    UpdateHostKeys: 'no',
    UserKnownHostsFile: knownHosts.join(' '),
    ...(options.proxyCommand === undefined ? {} : { ProxyCommand: options.proxyCommand }),
  };
  const configFile = await configFileArguments(options.home);
  // ssh takes `~` for the home in passwd, here the paths are expanded.
  const identities = [...settings.chosenIdentities, ...(configFile.length === 0 ? [] : settings.defaultIdentities)];
  return [
    ...configFile,
    '-M',
    '-N',
    ...Object.entries({ S: options.controlPath, E: options.log, p: `${settings.port}`, l: settings.user }).flatMap(
      ([flag, value]) => [`-${flag}`, value],
    ),
    ...identities.flatMap((path) => ['-i', path]),
    ...Object.entries(settingsOf).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    '--',
    target.address,
  ];
}

/** The config's own lines, under the name that ssh looks for. */
function knownHostsText(target: HostTarget, settings: SshSettings): string {
  const at = knownAs(settings);
  const name = at.port === 22 ? at.name : `[${at.name}]:${at.port}`;
  return configuredKeys(target, settings)
    .map(({ marker, type, key }) => `${marker === undefined ? '' : `@${marker} `}${name} ${type} ${key}\n`)
    .join('');
}

async function stop(child: ChildProcess, folder: string): Promise<void> {
  child.stdin?.destroy();
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const isEnded = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const limit = new AbortController();
    await Promise.race([isEnded, sleep(GOODBYE_MS, undefined, { signal: limit.signal }).catch(() => undefined)]);
    limit.abort();
    child.kill('SIGKILL');
  }
  await rm(folder, { recursive: true, force: true });
}

function sshMissing(target: HostTarget, cause: Error): CuError {
  return new CuError('HOST_UNREACHABLE', `the system's ssh cannot be started: ${cause.message}`, {
    host: target.name,
    hint: 'install the OpenSSH client, or set ssh.client to ssh2',
    cause,
  });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
