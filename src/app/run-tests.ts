import { z } from 'zod/mini';
import { STORAGE_TARGET } from '../config/instance.ts';
import type { ContainerSpec } from '../core/container.ts';
import { CuError } from '../core/error.ts';
import type { Desired, UserChoice } from '../core/state.ts';
import { createContainer, putFiles, startContainer } from '../execute/engine.ts';
import { inspectContainer } from '../observe/observe.ts';
import { makeFolderArchive } from '../transport/archive.ts';
import { demultiplex } from '../transport/demultiplex.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';
import type { Tested } from './test-image.ts';
import type { Throwaway } from './throwaway.ts';

export interface TestRun {
  readonly host: Host;
  readonly throwaway: Throwaway;
  readonly desired: Desired;
  readonly tested: Tested;
  readonly imageId: string;
  readonly version: string;
  readonly command: readonly string[];
  /** For the web API of the tests; the secrets of the deploy are none of their business. */
  readonly token: string;
}

/** The tests' user may not write beside the code, and pytest would complain of that each time. */
const DEFAULT_COMMAND = ['python', '-m', 'pytest', '-q', '-o', 'cache_dir=/tmp/.pytest_cache'];
/** The longest that a timer of Node can wait, 24 days: how long tests take is their own affair. */
const NO_LIMIT_MS = 2 ** 31 - 1;
const KEPT_BYTES = 4096;

const waited = z.object({ StatusCode: z.number() });

/** Runs the tests' container to its end, what they print passed on as it comes; returns their exit code. */
export async function runTests(context: Context, run: TestRun): Promise<number> {
  const { signal } = context;
  const { host, throwaway } = run;
  const docker = host.docker();
  const spec = await testSpec(run, signal);
  const name = `${throwaway.name}-tests`;
  const id = await createContainer(host, spec, { name, imageId: run.imageId }, signal);
  await putFiles(host, id, spec, signal);
  // A new volume is root's, and the tests run as anybody.
  const body = await makeFolderArchive({ path: STORAGE_TARGET, mode: 0o1777 });
  await docker.json({ method: 'PUT', path: `/containers/${id}/archive`, query: { path: '/' }, body, signal });
  const query = { stream: true, stdout: true, stderr: true };
  const output = await docker.hijack({ method: 'POST', path: `/containers/${id}/attach`, query, signal });
  await startTests(host, id, { command: commandOf(run.command), signal });
  const said = await passOn(context, output);
  signal.throwIfAborted();
  const ended = await docker.json({ method: 'POST', path: `/containers/${id}/wait`, timeoutMs: NO_LIMIT_MS, signal });
  const { StatusCode: exitCode } = waited.parse(ended);
  if (exitCode !== 0) await explain(context, { ...run, id, exitCode, said });
  return exitCode;
}

/** Words that begin with a dash are for pytest. */
export function commandOf(words: readonly string[]): readonly string[] {
  return isForPytest(words) ? [...DEFAULT_COMMAND, ...words] : words;
}

function isForPytest([first]: readonly string[]): boolean {
  return first === undefined || first.startsWith('-');
}

async function testSpec(run: TestRun, signal: AbortSignal): Promise<ContainerSpec> {
  const { host, throwaway, desired, tested, version, token } = run;
  const { instance } = tested;
  const { uid, gid } = await userOf(instance?.user, host, signal);
  const network = throwaway.name;
  return {
    name: throwaway.name,
    service: 'test',
    instance: '1',
    kind: 'container',
    image: tested.source.name,
    env: {
      ...instance?.env,
      CU_PROJECT: desired.project,
      CU_ENV: 'test',
      CU_HOST: host.name,
      CU_SERVICE: 'test',
      CU_INSTANCE: '1',
      CU_VERSION: version,
      CU_BROKER_URL: throwaway.brokerUrl(0),
      CU_RESULT_URL: throwaway.brokerUrl(1),
      CU_STORAGE: `file://${STORAGE_TARGET}`,
      API_TOKEN: token,
    },
    files: [{ path: '/run/secrets/API_TOKEN', mode: 0o444, content: [token] }],
    uid,
    gid,
    volumes: [STORAGE_TARGET],
    labels: throwaway.labels,
    body: {
      Cmd: commandOf(run.command),
      ...(instance?.workdir === undefined ? {} : { WorkingDir: instance.workdir }),
      ...(uid === undefined ? {} : { User: `${uid}:${gid ?? uid}` }),
      HostConfig: {
        NetworkMode: network,
        Mounts: [{ Type: 'volume', Source: throwaway.name, Target: STORAGE_TARGET }],
        // What they print goes to whoever runs them, and nowhere else.
        LogConfig: { Type: 'none', Config: {} },
      },
    },
    network,
    health: { type: 'none', intervalMs: 0, timeoutMs: 0, retries: 0, startPeriodMs: 0, stableMs: 0 },
    probeSecret: undefined,
    drainMs: 0,
  };
}

async function userOf(
  user: UserChoice | undefined,
  host: Host,
  signal: AbortSignal,
): Promise<{ readonly uid: number | undefined; readonly gid: number | undefined }> {
  switch (user?.type) {
    case undefined:
      return { uid: undefined, gid: undefined };
    case 'root':
      return { uid: 0, gid: 0 };
    case 'ids':
      return { uid: user.uid, gid: user.gid };
    case 'host': {
      const { stdout } = await host.run(['sh', '-c', 'id -u; id -g'], { signal });
      const [uid = 0, gid = uid] = stdout.trim().split('\n').map(Number);
      return { uid, gid };
    }
  }
}

async function startTests(
  host: Host,
  id: string,
  { command, signal }: { readonly command: readonly string[]; readonly signal: AbortSignal },
): Promise<void> {
  try {
    await startContainer(host, id, signal);
  } catch (error) {
    if (!(error instanceof CuError) || !/executable file not found|no such file/i.test(error.message)) throw error;
    throw new CuError('STEP_FAILED', `${command[0] ?? ''} is not in the image`, {
      host: host.name,
      detail: error.message,
      hint: 'name a command that is: `cu test -- CMD`',
      cause: error,
    });
  }
}

/** Returns the end of what went to stderr. */
async function passOn(context: Context, output: AsyncIterable<unknown>): Promise<string> {
  const { terminal, options } = context;
  const rests = { stdout: '', stderr: '' };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  let end = Buffer.alloc(0);
  const line = (stream: 'stdout' | 'stderr', text: string): Promise<void> =>
    context.output({ text, json: { type: 'output', stream, text } });
  for await (const { stream, data } of demultiplex(output)) {
    if (stream === 'stderr') end = Buffer.concat([end, data]).subarray(-KEPT_BYTES);
    if (!options.json) {
      await write(terminal[stream], data);
      continue;
    }
    const lines = (rests[stream] + decoders[stream].decode(data, { stream: true })).split('\n');
    rests[stream] = lines.pop() ?? '';
    for (const text of lines) await line(stream, text);
  }
  for (const stream of ['stdout', 'stderr'] as const) if (rests[stream] !== '') await line(stream, rests[stream]);
  return end.toString('utf8');
}

function write(to: NodeJS.WritableStream, data: Buffer): Promise<void> {
  return new Promise((resolve) => {
    // Nobody reads any more: `main` ends the command for it.
    to.write(data, () => resolve());
  });
}

async function explain(
  { emit, signal }: Context,
  ended: TestRun & { readonly id: string; readonly exitCode: number; readonly said: string },
): Promise<void> {
  const { host, id, command, tested, said } = ended;
  const name = tested.source.name;
  const warn = (text: string): void => emit({ type: 'warning', host: host.name, text });
  if (isForPytest(command) && /No module named '?pytest/.test(said))
    warn(
      `pytest is not in image ${name}: add it to what the image installs, or name another command: \`cu test -- CMD\``,
    );
  const container = await inspectContainer(host, id, signal);
  if (container?.observed.isOomKilled === true) warn('the tests were killed for lack of memory on the host');
}
