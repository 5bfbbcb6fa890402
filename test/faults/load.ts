import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, download, openEcho } from './clients.ts';
import type { Answer, EchoSocket } from './clients.ts';

export interface Target {
  readonly host: string;
  readonly url: string;
}

export interface LoadOptions {
  readonly targets: readonly Target[];
  /** Spread over the targets; each asks again as soon as it has its answer. */
  readonly clients: number;
  /** Beside the clients, on the first target: one websocket, and one 100 MB download after the other. */
  readonly withStreams?: boolean;
}

/** What the clients of one host met. */
export interface HostLoad {
  readonly host: string;
  readonly ok: number;
  readonly failed: number;
  /** Reasons of failures and how often; the time of the first, in ms since the load began. */
  readonly reasons: ReadonlyMap<string, { readonly count: number; readonly firstMs: number }>;
  /** The longest time without any successful answer. */
  readonly longestGapMs: number;
  readonly versions: ReadonlySet<string>;
  readonly downloads: number;
  readonly echoes: number;
}

export interface Load {
  stop(): Promise<readonly HostLoad[]>;
}

/** Every fourth client opens a connection for each request, the others keep theirs. */
const FRESH_EVERY = 4;

/** After a failure, so that a refused port does not keep a core busy. */
const AFTER_FAILURE_MS = 50;

const DOWNLOAD = { megabytes: 100, seconds: 6 } as const;

/** Keeps asking until it is stopped; nothing is retried, and every answer is checked. */
export function startLoad({ targets, clients, withStreams = false }: LoadOptions): Load {
  const over = new AbortController();
  const tallies = targets.map((target) => new Tally(target.host));
  const runs: Promise<void>[] = [];
  const at = (index: number): [Target, Tally] => {
    const [target, tally] = [targets[index % targets.length], tallies[index % targets.length]];
    if (target === undefined || tally === undefined) throw new Error('a load needs a target');
    return [target, tally];
  };
  for (let index = 0; index < clients; index += 1)
    runs.push(runClient(...at(index), Math.floor(index / targets.length) % FRESH_EVERY !== 0, over.signal));
  if (withStreams) runs.push(runDownloads(...at(0), over.signal), runEcho(...at(0), over.signal));
  return {
    stop: async () => {
      over.abort();
      await Promise.all(runs);
      return tallies.map((tally) => tally.result());
    },
  };
}

/** One line a host that failed somebody, for a test's message. */
export function describeFailures(loads: readonly HostLoad[]): readonly string[] {
  return loads
    .filter(({ failed, ok }) => failed > 0 || ok === 0)
    .map(({ host, ok, failed, reasons, longestGapMs }) => {
      const why = [...reasons].map(([reason, { count, firstMs }]) => `${count} x ${reason} (first at ${firstMs} ms)`);
      return `${host}: ${failed} of ${ok + failed} requests failed, longest gap ${longestGapMs} ms: ${why.join(', ')}`;
    });
}

class Tally {
  private readonly host: string;
  private readonly startedAt = performance.now();
  private lastOkAt = this.startedAt;
  private longestGapMs = 0;
  private ok = 0;
  private failed = 0;
  private readonly reasons = new Map<string, { count: number; firstMs: number }>();
  private readonly versions = new Set<string>();
  downloads = 0;
  echoes = 0;

  constructor(host: string) {
    this.host = host;
  }

  note(answer: Answer): void {
    const now = performance.now();
    if (answer.ok) {
      this.ok += 1;
      this.longestGapMs = Math.max(this.longestGapMs, now - this.lastOkAt);
      this.lastOkAt = now;
      if (answer.version !== '') this.versions.add(answer.version);
      return;
    }
    this.failed += 1;
    const known = this.reasons.get(answer.reason);
    if (known === undefined) this.reasons.set(answer.reason, { count: 1, firstMs: Math.round(now - this.startedAt) });
    else known.count += 1;
  }

  result(): HostLoad {
    const { host, ok, failed, reasons, versions, downloads, echoes } = this;
    const longestGapMs = Math.round(Math.max(this.longestGapMs, performance.now() - this.lastOkAt));
    return { host, ok, failed, reasons, longestGapMs, versions, downloads, echoes };
  }
}

async function runClient(target: Target, tally: Tally, keepAlive: boolean, over: AbortSignal): Promise<void> {
  const agent = new http.Agent({ keepAlive, maxSockets: 1 });
  while (!over.aborted) {
    const answer = await ask(target.url, agent);
    tally.note(answer);
    if (!answer.ok) await sleep(AFTER_FAILURE_MS);
  }
  agent.destroy();
}

async function runDownloads(target: Target, tally: Tally, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const answer = await download(target.url, DOWNLOAD.megabytes, DOWNLOAD.seconds);
    tally.note(answer);
    if (answer.ok) tally.downloads += 1;
    else await sleep(AFTER_FAILURE_MS);
  }
}

/** Reconnects at once when the server says that it goes; that first attempt has to succeed. */
async function runEcho(target: Target, tally: Tally, over: AbortSignal): Promise<void> {
  let socket: EchoSocket | undefined;
  for (let number = 0; !over.aborted; number += 1) {
    try {
      socket ??= await openEcho(target.url);
      if ((await socket.echo(`message ${number}`)) === 'gone') socket = undefined;
      else tally.echoes += 1;
      if (socket !== undefined) await sleep(100);
    } catch (error) {
      tally.note({ ok: false, reason: error instanceof Error ? error.message : String(error) });
      socket?.close();
      socket = undefined;
      await sleep(AFTER_FAILURE_MS);
    }
  }
  socket?.close();
}
