import { CuError } from '../core/error.ts';
import { authConfigHeaders } from '../ship/registry.ts';
import { exchange } from '../ship/engine-stream.ts';
import { packContext } from './context.ts';
import type { BuildJob } from './job.ts';
import { startStepLog } from './step-log.ts';

/** The engine's own builder, through its API; the context is sent while it is read. */
export async function buildClassic(job: BuildJob): Promise<void> {
  const { source, host } = job;
  const messages = exchange(host.docker(), {
    path: '/build',
    query: {
      version: '1',
      t: job.reference,
      dockerfile: job.context.dockerfile,
      buildargs: JSON.stringify(resolveArgs(job)),
      labels: JSON.stringify(job.labels),
      target: source.target,
      platform: source.platform,
      pull: job.pull ? '1' : undefined,
      nocache: job.noCache || undefined,
      rm: true,
      forcerm: true,
    },
    headers: authConfigHeaders(job.registries),
    body: packContext(job.context),
    what: `build of ${job.reference}`,
    host: host.name,
    signal: job.signal,
    // A step may compile for a long time without a word.
    silenceMs: 3_600_000,
  });
  const log = startStepLog(job.onOutput);
  try {
    for await (const message of messages) {
      if (message.stream !== undefined) log.add(message.stream, /^Step \d+\/\d+ : (.*)/);
      else if (message.status !== undefined && message.current === undefined)
        log.add(`${[message.id, message.status].filter(Boolean).join(' ')}\n`);
      if (message.error !== undefined) throw failure(job, message.error, log.tail());
    }
  } catch (error) {
    if (error instanceof CuError && error.code === 'DOCKER_API')
      throw failure(job, error.detail ?? error.message, log.tail());
    throw error;
  }
}

/** null: from cu's environment, and left out when it is not set there. */
export function resolveArgs({ source, env }: Pick<BuildJob, 'source' | 'env'>): Readonly<Record<string, string>> {
  const args: Record<string, string> = {};
  for (const [name, value] of Object.entries(source.args)) {
    const resolved = value ?? env[name];
    if (resolved !== undefined) args[name] = resolved;
  }
  return args;
}

function failure(job: BuildJob, message: string, tail: string): CuError {
  return new CuError('BUILD_FAILED', `${job.host.name}: building ${job.reference} failed: ${message.trim()}`, {
    host: job.host.name,
    detail: tail,
    hint: hintFor(message),
  });
}

function hintFor(message: string): string {
  if (/COPY failed|ADD failed|not found in build context|no source files/i.test(message))
    return 'the path must lie in the build context and not be left out by .dockerignore';
  if (/pull access denied|manifest unknown|manifest for/i.test(message))
    return 'check the image named in FROM; a private one needs its registry under registries';
  if (/dial tcp|no such host|i\/o timeout/i.test(message))
    return 'the engine that builds does not reach the registry named in FROM';
  if (/no space left on device/i.test(message))
    return 'free space on the host that builds: `docker builder prune`, `cu purge images`';
  return 'the lines above are the last of the step that failed; `cu build -v` shows all of them';
}
