import { CuError } from '../core/error.ts';
import type { Emit } from '../core/event.ts';
import type { HostTarget } from '../core/state.ts';
import type { Host } from './host.ts';
import { createSemaphore } from './semaphore.ts';
import type { Semaphore } from './semaphore.ts';
import type { SshEnvironment } from './ssh-config.ts';

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

export function createPool(options: PoolOptions): Pool {
  const hosts = new Map<string, Promise<Host>>();
  const entrances = new Map<string, Semaphore>();
  // Two questions at once would garble the terminal.
  const questions = createSemaphore(1);
  const inTurn = async <T>(question: () => Promise<T>): Promise<T> => {
    const release = await questions.acquire();
    try {
      return await question();
    } finally {
      release();
    }
  };

  const open = (target: HostTarget, path: readonly string[]): Promise<Host> => {
    const known = hosts.get(target.name);
    if (known !== undefined) return known;
    const opening = connect(target, path);
    hosts.set(target.name, opening);
    return opening;
  };

  const connect = async (target: HostTarget, path: readonly string[]): Promise<Host> => {
    const startedAt = performance.now();
    const { openLocal } = await import('./local.ts');
    if (target.connection === 'local') return openLocal(target, options);
    const { readSshSettings } = await import('./ssh-config.ts');
    const settings = await readSshSettings(target, options);
    if (settings.proxyJump.length > 0 && path.includes(target.name)) {
      throw new CuError('CONFIG_INVALID', `the jumps to ${target.name} go round in a circle`, { host: target.name });
    }
    const needed = settings.needsOpenssh;
    const isSystem = target.client === 'openssh' || (target.client === 'auto' && needed.length > 0);
    const entrance = settings.proxyJump[0] ?? `${settings.hostname}:${settings.port}`;
    const places = entrances.get(entrance) ?? createSemaphore(CONNECTS_PER_ENTRANCE);
    entrances.set(entrance, places);
    const release = await places.acquire();
    try {
      if (isSystem) {
        if (target.client === 'auto') options.emit({ type: 'debug', host: target.name, text: `using the system's ssh for ${needed.join(', ')}` });
        const { openOpenssh } = await import('./openssh.ts');
        return await openOpenssh(target, settings, options);
      }
      const { openSsh2 } = await import('./ssh2.ts');
      const host = await openSsh2(target, settings, {
        ...options,
        ask: (question) => inTurn(() => options.ask(question, { hidden: true })),
        confirm: (question) => inTurn(() => options.confirm(question)),
        proxy: settings.proxyJump.length === 0 ? undefined : () => dialThroughJumps(settings.proxyJump, target, settings, path),
      });
      const ms = Math.round(performance.now() - startedAt);
      options.emit({ type: 'debug', host: target.name, text: `connected as ${host.description} in ${ms} ms` });
      return host;
    } finally {
      release();
    }
  };

  const dialThroughJumps = async (
    jumps: readonly string[],
    target: HostTarget,
    to: { readonly hostname: string; readonly port: number },
    path: readonly string[],
  ) => {
    const last = jumps.at(-1) ?? '';
    const jump = jumpTarget(last, target, jumps.slice(0, -1), options.targets);
    const host = await open(jump, [...path, target.name]);
    return host.dial({ type: 'tcp', address: to.hostname, port: to.port });
  };

  return {
    open: (target) => open(target, []),
    [Symbol.asyncDispose]: async () => {
      const opened = await Promise.allSettled(hosts.values());
      await Promise.all(
        opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value[Symbol.asyncDispose]()] : [])),
      );
    },
  };
}

/** A host of the config by name, else `[user@]address[:port]` with the settings of the host behind it. */
function jumpTarget(
  jump: string,
  behind: HostTarget,
  before: readonly string[],
  targets: readonly HostTarget[],
): HostTarget {
  const named = targets.find((target) => target.name === jump);
  if (named !== undefined) return before.length === 0 ? named : { ...named, proxyJump: before };
  const match = /^(?:ssh:\/\/)?(?:([^@]+)@)?(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(jump);
  if (match?.[2] === undefined) {
    throw new CuError('CONFIG_INVALID', `proxyJump ${JSON.stringify(jump)} is not [user@]address[:port]`, { host: behind.name });
  }
  return {
    ...behind,
    name: jump,
    connection: 'ssh',
    address: match[2].replace(/^\[|\]$/g, ''),
    user: match[1],
    port: match[3] === undefined ? undefined : Number(match[3]),
    proxyJump: before,
    dockerSocket: undefined,
  };
}
