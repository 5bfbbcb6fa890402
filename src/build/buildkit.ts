import { access, constants, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CuError } from '../core/error.ts';
import type { BuildJob } from './job.ts';
import { stageContext, type StagedContext } from './stage.ts';
import { startStepLog } from './step-log.ts';
import { writeDockerConfig } from './docker-config.ts';

/** A docker client that speaks BuildKit: by its buildx plugin, or by itself when older than 23. */
export interface BuildKitClient {
  readonly type: 'buildx' | 'docker-buildkit';
  readonly command: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The first on the PATH that can: two clients may be installed side by side. */
export async function findBuildKit(env: Environment, signal?: AbortSignal): Promise<BuildKitClient | undefined> {
  const { execa } = await import('execa');
  const ask = async (command: string, argv: readonly string[]): Promise<string | undefined> => {
    const result = await execa(command, argv, {
      env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: 20_000,
      ...(signal === undefined ? {} : { cancelSignal: signal }),
    });
    signal?.throwIfAborted();
    return result.exitCode === 0 ? result.stdout : undefined;
  };
  const older: BuildKitClient[] = [];
  for (const folder of new Set((env['PATH'] ?? '').split(path.delimiter).filter((part) => path.isAbsolute(part)))) {
    const command = path.join(folder, 'docker');
    if (!(await isExecutable(command))) continue;
    if ((await ask(command, ['buildx', 'version'])) !== undefined) return { type: 'buildx', command };
    const version = /version (\d+)\./.exec((await ask(command, ['--version'])) ?? '')?.[1];
    if (version !== undefined && Number(version) >= 19 && Number(version) < 23)
      older.push({ type: 'docker-buildkit', command });
  }
  return older[0];
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/**
 * The client reads the context itself, with BuildKit's own `.dockerignore`, and sends only what the engine has not
 * seen. With the runtime in it, it is a copy in a folder of its own, which is sent whole; layers are cached all the same.
 */
export async function buildWithBuildKit(job: BuildJob, client: BuildKitClient): Promise<void> {
  // Short, because the path of a unix socket has at most 104 bytes.
  const folder = await mkdtemp(path.join(tmpdir(), 'cu-'));
  const server = createServer((connection) => {
    connection.on('error', () => undefined);
    job.host.dial(job.engine, job.signal).then(
      (engine) =>
        Promise.all([pipeline(connection, engine), pipeline(engine, connection)]).catch(() => connection.destroy()),
      () => connection.destroy(),
    );
  });
  try {
    const socket = path.join(folder, 'docker.sock');
    await listenOn(server, socket);
    const secretFlags = [];
    for (const [index, secret] of job.source.secrets.entries()) {
      const file = path.join(folder, `secret-${index}`);
      await writeFile(file, secret.reveal(), { mode: 0o600 });
      secretFlags.push('--secret', `id=${secret.name},src=${file}`);
    }
    const config = await writeDockerConfig(folder, job.registries, job.env);
    const env = {
      ...job.env,
      DOCKER_HOST: `unix://${socket}`,
      DOCKER_BUILDKIT: '1',
      BUILDX_NO_DEFAULT_ATTESTATIONS: '1',
      ...(config === undefined ? {} : { DOCKER_CONFIG: config }),
    };
    await using staged = await openContext(job, folder);
    await runClient(job, client, {
      argv: [...argvOf(job, client), '--file', staged.dockerfile, ...secretFlags, staged.root],
      env: withoutContext(env),
    });
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function openContext({ context, signal }: BuildJob, folder: string): Promise<StagedContext> {
  if (context.runtime.length > 0) return stageContext(context, { folder, signal });
  const dockerfile = path.join(context.root, context.dockerfile);
  return { root: context.root, dockerfile, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** A chosen docker context or a TLS setting of the user's would go before our socket. */
function withoutContext(env: Environment): Environment {
  const {
    DOCKER_CONTEXT: _context,
    DOCKER_TLS_VERIFY: _tls,
    DOCKER_CERT_PATH: _certificates,
    BUILDX_BUILDER: _builder,
    ...rest
  } = env;
  return rest;
}

function listenOn(server: Server, socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function argvOf(job: BuildJob, client: BuildKitClient): readonly string[] {
  const { source } = job;
  const args = Object.entries(source.args).flatMap(([name, value]) => {
    // A value that comes from the environment stays there: the client looks it up, and no process list shows it.
    if (value === null) return job.env[name] === undefined ? [] : ['--build-arg', name];
    return ['--build-arg', `${name}=${value}`];
  });
  return [
    ...(client.type === 'buildx' ? ['buildx', 'build', '--builder', 'default', '--load'] : ['build']),
    '--progress=plain',
    '--tag',
    job.reference,
    ...Object.entries(job.labels).flatMap(([name, value]) => ['--label', `${name}=${value}`]),
    ...args,
    ...(source.target === undefined ? [] : ['--target', source.target]),
    ...(source.platform === undefined ? [] : ['--platform', source.platform]),
    ...(job.pull ? ['--pull'] : []),
    ...(job.noCache ? ['--no-cache'] : []),
  ];
}

interface Run {
  readonly argv: readonly string[];
  readonly env: Environment;
}

async function runClient(job: BuildJob, client: BuildKitClient, { argv, env }: Run): Promise<void> {
  const { execa } = await import('execa');
  const log = startBuildKitLog(job.onOutput);
  const child = execa(client.command, argv, {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    all: true,
    buffer: false,
    forceKillAfterDelay: 5000,
    ...(job.signal === undefined ? {} : { cancelSignal: job.signal }),
  });
  for await (const line of child.iterable({ from: 'all' })) log.add(line);
  const result = await child;
  job.signal?.throwIfAborted();
  if (result.exitCode === 0) return;
  throw new CuError('BUILD_FAILED', `${job.host.name}: building ${job.reference} failed`, {
    host: job.host.name,
    detail: log.tail(),
    hint: 'the lines above are the last of the step that failed; `cu build -v` shows all of them',
  });
}

/** BuildKit's steps run side by side and number their lines: `#7 0.312 text`. */
export function startBuildKitLog(onOutput: ((line: string) => void) | undefined): {
  add(line: string): void;
  tail(): string;
} {
  const steps = new Map<string, ReturnType<typeof startStepLog>>();
  const general = startStepLog(undefined);
  let failed: string | undefined;
  return {
    add(line) {
      if (line.trim() === '') return;
      onOutput?.(line);
      const [, id, text = ''] = /^#(\d+) (.*)$/.exec(line) ?? [];
      if (id === undefined) {
        general.add(`${line}\n`);
        return;
      }
      const step = steps.get(id) ?? startStepLog(undefined);
      steps.set(id, step);
      if (text.startsWith('ERROR')) failed ??= id;
      // The digest of the step, which tells a reader nothing.
      if (text.startsWith('sha256:')) return;
      step.add(`${text.replace(/^\d+\.\d+ /, '')}\n`, /^\[.*\] /);
    },
    tail: () => (failed === undefined ? general : (steps.get(failed) ?? general)).tail(),
  };
}
