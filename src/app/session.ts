import pLimit from 'p-limit';
import { amend, CuError, CuErrors } from '../core/error.ts';
import type { Desired, HostTarget, ObservedHost } from '../core/state.ts';
import { observeHost } from '../observe/observe.ts';
import type { Host } from '../transport/host.ts';
import { engineSocket } from '../transport/local.ts';
import { createPool } from '../transport/pool.ts';
import type { Context } from './context.ts';
import { maskBroker } from './mask-broker.ts';
import { meter } from './meter.ts';
import type { Meter, Usage } from './meter.ts';

const DEFAULT_PARALLEL = 16;
const DEFAULT_CONNECT_MS = 15_000;

/** The connections of one command. */
export interface Session extends AsyncDisposable {
  readonly hosts: ReadonlyMap<string, Host>;
  open(target: HostTarget): Promise<Host>;
  /** This machine's engine, as a host of its own where the config names none. */
  openLocal(): Promise<Host>;
  readonly localName: string;
  usage(): Readonly<Record<string, Usage>>;
}

export function openSession(context: Context, desired: Desired): Session {
  const pool = createPool({
    ...context,
    connectTimeoutMs: context.options.timeoutMs ?? DEFAULT_CONNECT_MS,
    // Never answered by --yes: whoever scripts cu has to know the host's key beforehand.
    confirm: async (question) =>
      context.interactive && /^y(es)?$/i.test(await context.ask(`${question} [y/N]`, { hidden: false })),
    targets: desired.hosts,
  });
  const hosts = new Map<string, Host>();
  const meters = new Map<string, Meter>();
  const local = desired.hosts.find((target) => target.connection === 'local') ?? localTarget(desired);
  const open = async (target: HostTarget): Promise<Host> => {
    const known = hosts.get(target.name);
    if (known !== undefined) return known;
    const metered = meter(await pool.open(target));
    hosts.set(target.name, metered.host);
    meters.set(target.name, metered);
    return metered.host;
  };
  return {
    hosts,
    open,
    openLocal: () => open(local),
    localName: local.name,
    usage: () => Object.fromEntries([...meters].map(([name, each]) => [name, each.usage()])),
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}

export interface Snapshot {
  readonly observed: readonly ObservedHost[];
  readonly unreachable: readonly CuError[];
}

/**
 * Connects to hosts and looks at them, all at once. One that does not answer ends the command before anything
 * is changed, or with `--skip-unreachable` is left out.
 */
export async function observeAll(
  context: Context,
  session: Session,
  desired: Desired,
  { used, idle }: HostChoice,
): Promise<Snapshot> {
  const limit = pLimit(context.options.parallel ?? DEFAULT_PARALLEL);
  const targets = desired.hosts.filter((target) => used.has(target.name) || idle.has(target.name));
  const results = await Promise.all(
    targets.map((target) =>
      limit(async (): Promise<ObservedHost | CuError> => {
        try {
          const host = await session.open(target);
          const { now, signal } = context;
          const dockerSocket = await engineSocket(target, context);
          const observed = await observeHost(host, { ...desired, dockerSocket, now, signal });
          maskBroker(context, observed.state?.brokerPassword);
          return observed;
        } catch (error) {
          if (context.signal.aborted)
            throw new CuError('CANCELLED', 'interrupted before anything was changed', { cause: error });
          if (error instanceof CuError && error.exitCode >= 2 && error.code !== 'CONFIG_INVALID')
            return error.host === undefined ? amend(error, { host: target.name }) : error;
          throw error;
        }
      }),
    ),
  );
  const errors = results.filter((result): result is CuError => result instanceof CuError);
  for (const error of errors) if (idle.has(error.host ?? '')) warnIdle(context, desired, error);
  const unreachable = errors.filter((error) => !idle.has(error.host ?? ''));
  const observed = results.filter((result): result is ObservedHost => !(result instanceof CuError));
  if (unreachable.length === 0) return { observed, unreachable };
  if (!context.options.skipUnreachable) throw new CuErrors(unreachable);
  for (const error of unreachable) context.emit({ type: 'host-unreachable', host: error.host ?? '', error });
  return { observed, unreachable };
}

interface HostChoice {
  readonly used: ReadonlySet<string>;
  /** Nothing is to run there; what still does from before is seen where the host answers. */
  readonly idle: ReadonlySet<string>;
}

/**
 * Every instance's host, and the broker's: the others need its address and password. The rest for a whole, and where
 * there is one of which no second may run anywhere.
 */
export function hostsFor(
  desired: Desired,
  instances: Desired['instances'],
  { isWhole }: { readonly isWhole: boolean },
): HostChoice {
  const used = new Set(instances.map((instance) => instance.host));
  if (desired.broker !== undefined && instances.some((instance) => instance.brokerUser !== undefined))
    used.add(desired.broker.host);
  const isEverywhere = isWhole || instances.some(({ singleton }) => singleton);
  const idle = desired.hosts.filter(({ name }) => isEverywhere && !used.has(name)).map(({ name }) => name);
  return { used, idle: new Set(idle) };
}

/** No reason to stop. This machine is a host of many configs without having an engine: not worth a word. */
function warnIdle(context: Context, desired: Desired, error: CuError): void {
  const isLocal = desired.hosts.some(({ name, connection }) => name === error.host && connection === 'local');
  const text = `not looked at for what is left there: ${error.message}`;
  context.emit({ type: isLocal ? 'debug' : 'warning', host: error.host, text });
}

function localTarget(desired: Desired): HostTarget {
  const isTaken = desired.hosts.some((target) => target.name === 'local');
  return {
    name: isTaken ? 'this-machine' : 'local',
    connection: 'local',
    address: '127.0.0.1',
    user: undefined,
    port: undefined,
    identity: undefined,
    proxyJump: [],
    knownHosts: [],
    advertise: undefined,
    client: 'auto',
    dockerSocket: undefined,
  };
}
