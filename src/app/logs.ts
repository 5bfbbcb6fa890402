import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CuError, CuErrors } from '../core/error.ts';
import { selectInstances } from '../plan/targets.ts';
import { accessLines, listProxies, proxiedInstances } from './access-log.ts';
import { mergeByTime } from './log-merge.ts';
import type { LogLine } from './log-merge.ts';
import { readLog } from './log-read.ts';
import type { LogWindow } from './log-read.ts';
import type { Context } from './context.ts';
import { openProject } from './project.ts';
import { listContainers } from './running.ts';
import type { RunningContainer } from './running.ts';
import { openSession } from './session.ts';

export interface LogOptions {
  readonly follow: boolean;
  /** Milliseconds since the epoch. */
  readonly since: number | undefined;
  readonly until: number | undefined;
  readonly tail: number | undefined;
  readonly grep: RegExp | undefined;
  readonly timestamps: boolean;
  /** A folder: one file an instance instead of output. */
  readonly collect: string | undefined;
  /** The requests that reached the instances, as the proxies of their hosts saw them. */
  readonly access: boolean;
}

/** How often a followed host is asked for containers that have come since. */
const WATCH_MS = 1000;

/** All instances' logs in one stream ordered by time; a followed one goes on in the container that replaces it. */
export async function logs(
  context: Context,
  targets: readonly string[],
  options: LogOptions,
): Promise<{ readonly files: readonly string[] }> {
  const { desired } = await openProject(context);
  const selected = selectInstances(desired, targets);
  const instances = options.access ? proxiedInstances(selected) : selected;
  const wanted = new Set(instances.map(({ host, service, instance }) => `${host}/${service}/${instance}`));
  await using session = openSession(context, desired);
  const names = new Set(instances.map((instance) => instance.host));
  const opened = await Promise.allSettled(
    desired.hosts.filter((target) => names.has(target.name)).map((target) => session.open(target)),
  );
  const failed = opened.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  const errors = failed.filter((error): error is CuError => error instanceof CuError);
  if (errors.length !== failed.length) throw failed.find((error) => !(error instanceof CuError));
  if (errors.length > 0 && !context.options.skipUnreachable) throw new CuErrors(errors);
  for (const error of errors) context.emit({ type: 'host-unreachable', host: error.host ?? '', error });
  const hosts = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const find = async (): Promise<readonly RunningContainer[]> => {
    if (options.access) return listProxies(hosts, context.signal);
    const lists = await Promise.all(hosts.map((host) => listContainers(host, desired, context.signal)));
    return lists.flat().filter((each) => wanted.has(sourceOf(each)));
  };
  const read: ReadLines = (container, window) => {
    const lines = linesOf(context, container, window);
    return options.access ? accessLines(lines, { host: container.host.name, desired, instances }) : lines;
  };
  const found = await find();
  if (found.length === 0 && !options.follow) {
    throw new CuError('STEP_FAILED', 'there is no container to read logs of', {
      hint: '`cu status` shows what is deployed',
    });
  }
  if (options.collect !== undefined)
    return { files: await collect(context, found, { ...options, read, directory: options.collect }) };
  const sources = options.follow
    ? followed(context, found, { ...options, find, read })
    : found.map((each) => read(each, options));
  const merged = options.follow
    ? mergeByTime(sources, { holdMs: 150, signal: context.signal })
    : mergeByTime(sources, { holdMs: undefined, signal: context.signal });
  for await (const line of merged) {
    if (options.grep !== undefined && !options.grep.test(line.text)) continue;
    await context.output({
      prefix: line.source,
      text: options.timestamps ? `${line.time} ${line.text}` : line.text,
      json: { type: 'log', source: line.source, stream: line.stream, time: line.time, text: line.text },
    });
  }
  if (context.signal.aborted) throw new CuError('CANCELLED', 'stopped reading the logs');
  return { files: [] };
}

type ReadLines = (container: RunningContainer, window: LogWindow) => AsyncIterable<LogLine>;

function sourceOf({ host, service, instance }: RunningContainer): string {
  return `${host.name}/${service}/${instance}`;
}

function linesOf(context: Context, container: RunningContainer, window: LogWindow): AsyncIterable<LogLine> {
  return readLog(container.host, container.id, { ...window, source: sourceOf(container), signal: context.signal });
}

/**
 * The logs of the containers there are, then of each that comes later, from its first line. The engine ends a
 * follow when its container stops: one that runs again is read on from where it was.
 */
async function* followed(
  context: Context,
  found: readonly RunningContainer[],
  options: LogOptions & { readonly find: () => Promise<readonly RunningContainer[]>; readonly read: ReadLines },
): AsyncGenerator<AsyncIterable<LogLine>> {
  const reading = new Set<string>();
  const lastTimes = new Map<string, string>();
  const read = async function* (container: RunningContainer, window: LogWindow): AsyncGenerator<LogLine> {
    const { id } = container;
    const last = lastTimes.get(id);
    try {
      for await (const line of options.read(container, window)) {
        if (last !== undefined && line.time <= last) continue;
        lastTimes.set(id, line.time);
        yield line;
      }
    } finally {
      reading.delete(id);
    }
  };
  const known = new Set(found.map((each) => each.id));
  for (const each of found) {
    reading.add(each.id);
    yield read(each, options);
  }
  while (!context.signal.aborted) {
    await sleep(WATCH_MS, undefined, { signal: context.signal }).catch(() => undefined);
    if (context.signal.aborted) return;
    for (const each of await options.find()) {
      if (reading.has(each.id) || !each.isRunning) continue;
      reading.add(each.id);
      const last = lastTimes.get(each.id);
      // One that logged nothing so far keeps the window that was asked for; lines read already are left out by time.
      const since = last === undefined ? (known.has(each.id) ? options.since : undefined) : Date.parse(last);
      yield read(each, { ...options, tail: undefined, since });
    }
  }
}

async function collect(
  context: Context,
  found: readonly RunningContainer[],
  options: LogOptions & { readonly directory: string; readonly read: ReadLines },
): Promise<readonly string[]> {
  const folder = resolve(context.cwd, options.directory);
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw cannotWrite(options.directory, error);
  });
  return Promise.all(
    found.map(async (container) => {
      const name = `${sourceOf(container).replaceAll('/', '_')}${container.isRunning ? '' : `_${container.id.slice(0, 8)}`}.log`;
      const file = createWriteStream(join(folder, name), { mode: 0o600 });
      const lines = async function* (): AsyncGenerator<string> {
        for await (const line of options.read(container, { ...options, follow: false })) {
          if (options.grep !== undefined && !options.grep.test(line.text)) continue;
          yield `${line.time} ${line.text}\n`;
        }
      };
      try {
        await pipeline(lines, file);
      } catch (error) {
        throw error instanceof CuError ? error : cannotWrite(join(options.directory, name), error);
      }
      return join(options.directory, name);
    }),
  );
}

function cannotWrite(path: string, cause: unknown): CuError {
  return new CuError('USAGE', `cannot write ${path}`, { hint: 'choose another folder with --collect', cause });
}
