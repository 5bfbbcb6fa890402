import type { Duplex } from 'node:stream';
import { CuError } from '../core/error.ts';
import type { Emit } from '../core/event.ts';
import type { HostTarget } from '../core/state.ts';
import { orAborted } from './abort.ts';
import type { Host } from './host.ts';
import { jumpTarget } from './jump.ts';
import type { OpensshHost } from './openssh.ts';
import { createSemaphore } from './semaphore.ts';
import type { Semaphore } from './semaphore.ts';
import type { SshSettings } from './ssh-config.ts';
import type { SshEnvironment } from './ssh-environment.ts';

export interface PoolOptions extends SshEnvironment {
  readonly tmp: string;
  readonly connectTimeoutMs: number;
  readonly interactive: boolean;
  readonly ask: (question: string, options: { readonly hidden: boolean }) => Promise<string>;
  readonly confirm: (question: string) => Promise<boolean>;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  /** All hosts of the config: a jump host may be named. */
  readonly targets: readonly HostTarget[];
}

/** One connection a host, opened at first use and shared; a failure is remembered, not tried again. */
export interface Pool extends AsyncDisposable {
  open(target: HostTarget): Promise<Host>;
}

/** sshd's MaxStartups lets 10 unauthenticated connections in (FACTS.md section 2). */
const CONNECTS_PER_ENTRANCE = 8;

/** What a connection in the making needs; `path` are the hosts that wait for it. */
interface Opening {
  readonly target: HostTarget;
  readonly settings: SshSettings;
  readonly path: readonly string[];
}

export function createPool(poolOptions: PoolOptions): Pool {
  const closing = new AbortController();
  const options = { ...poolOptions, signal: AbortSignal.any([poolOptions.signal, closing.signal]) };
  const hosts = new Map<string, Promise<Host>>();
  const systemHosts = new Map<string, Promise<OpensshHost>>();
  const entrances = new Map<string, Semaphore>();
  const { ask, confirm } = createQuestions(options);

  const open = (target: HostTarget, path: readonly string[]): Promise<Host> =>
    remembered(hosts, target.name, () => connect(target, path));

  const connect = async (target: HostTarget, path: readonly string[]): Promise<Host> => {
    const startedAt = performance.now();
    if (target.connection === 'local') {
      const { openLocal } = await import('./local.ts');
      return openLocal(target, options);
    }
    const { readSshSettings } = await import('./ssh-config.ts');
    const settings = await readSshSettings(target, options);
    const isSystem = target.client === 'openssh' || (target.client === 'auto' && settings.needsOpenssh.length > 0);
    const host = isSystem
      ? await remembered(systemHosts, target.name, () => connectSystem({ target, settings, path }))
      : await connectSsh2({ target, settings, path });
    const why =
      isSystem && target.client === 'auto' ? ` by the system's ssh (${settings.needsOpenssh.join(', ')})` : '';
    const ms = Math.round(performance.now() - startedAt);
    options.emit({ type: 'debug', host: target.name, text: `connected as ${host.description} in ${ms} ms${why}` });
    return host;
  };

  const connectSsh2 = async ({ target, settings, path }: Opening): Promise<Host> => {
    const [{ openSsh2 }, jump] = await Promise.all([
      import('./ssh2.ts'),
      settings.proxyJump.length === 0
        ? undefined
        : open(jumpOf(target, settings.proxyJump, path), [...path, target.name]),
    ]);
    const to = { type: 'tcp', address: settings.hostname, port: settings.port } as const;
    const proxy = jump === undefined ? undefined : (signal: AbortSignal): Promise<Duplex> => jump.dial(to, signal);
    return atEntrance(jump?.name ?? `${settings.hostname}:${settings.port}`, () =>
      openSsh2(target, settings, { ...options, ask, confirm, proxy }),
    );
  };

  /** Through jump hosts of the config by their own connections; those of ~/.ssh/config are left to ssh itself. */
  const connectSystem = async ({ target, settings, path }: Opening): Promise<OpensshHost> => {
    const { openOpenssh } = await import('./openssh.ts');
    const jump = target.proxyJump.length === 0 ? undefined : await openSystemJump(target, path);
    const proxyCommand = jump?.proxyCommand(settings.hostname, settings.port);
    return atEntrance(jump?.name ?? settings.proxyJump[0] ?? `${settings.hostname}:${settings.port}`, () =>
      openOpenssh(target, settings, { ...options, ask, confirm, proxyCommand }),
    );
  };

  const openSystemJump = (target: HostTarget, path: readonly string[]): Promise<OpensshHost> => {
    const jump = jumpOf(target, target.proxyJump, path);
    return remembered(systemHosts, jump.name, async () => {
      const { readSshSettings } = await import('./ssh-config.ts');
      return connectSystem({
        target: jump,
        settings: await readSshSettings(jump, options),
        path: [...path, target.name],
      });
    });
  };

  const jumpOf = (target: HostTarget, jumps: readonly string[], path: readonly string[]): HostTarget => {
    const jump = jumpTarget(target, jumps, options.targets);
    if (jump.name !== target.name && !path.includes(jump.name)) return jump;
    throw new CuError(
      'CONFIG_INVALID',
      `the jumps to ${target.name} go round in a circle: ${[...path, target.name, jump.name].join(', ')}`,
      {
        host: target.name,
        hint: `check hosts.${target.name}.proxyJump`,
      },
    );
  };

  const atEntrance = async <T>(name: string, connectNow: () => Promise<T>): Promise<T> => {
    const places = entrances.get(name) ?? createSemaphore(CONNECTS_PER_ENTRANCE);
    entrances.set(name, places);
    const release = await places.acquire(options.signal);
    try {
      return await connectNow();
    } finally {
      release();
    }
  };

  return {
    open: (target) =>
      open(target, []).catch((error: unknown) => {
        if (error instanceof CuError || !options.signal.aborted) throw error;
        // Interrupted before anything was dialled: the settings were still being read.
        throw new CuError('CANCELLED', `connecting to ${target.name} was interrupted`, {
          host: target.name,
          cause: error,
        });
      }),
    [Symbol.asyncDispose]: async () => {
      closing.abort(new CuError('CANCELLED', 'the connections were closed'));
      const opened = await Promise.allSettled([...hosts.values(), ...systemHosts.values()]);
      const unique = new Set(opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])));
      await Promise.all([...unique].map((host) => host[Symbol.asyncDispose]()));
    },
  };
}

function remembered<T>(known: Map<string, Promise<T>>, name: string, make: () => Promise<T>): Promise<T> {
  const found = known.get(name);
  if (found !== undefined) return found;
  const made = make();
  known.set(name, made);
  return made;
}

/** Two questions at once would garble the terminal. */
function createQuestions({ ask, confirm, signal }: PoolOptions): {
  readonly ask: (question: string) => Promise<string>;
  readonly confirm: (question: string) => Promise<boolean>;
} {
  const turns = createSemaphore(1);
  const inTurn = async <T>(question: () => Promise<T>): Promise<T> => {
    const release = await turns.acquire(signal);
    try {
      return await orAborted(question(), signal);
    } finally {
      release();
    }
  };
  return {
    ask: (question) => inTurn(() => ask(question, { hidden: true })),
    confirm: (question) => inTurn(() => confirm(question)),
  };
}
