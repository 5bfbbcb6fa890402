import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';
import { LABELS } from '../core/state.ts';
import { startContainer } from '../execute/engine.ts';
import { inspectContainer } from '../observe/observe.ts';
import { containerTail } from '../transport/container-log.ts';
import { isNotRunning, runInContainer } from '../transport/exec.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';
import { newRun, removeRun, TEST_ROLE } from './throwaway-leftovers.ts';

/** A network, a storage volume and a broker that only one run of `cu test` has; all of it goes with it. */
export interface Throwaway extends AsyncDisposable {
  /** Of the network and the volume; names of containers begin with it. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly brokerUrl: (database: number) => string;
}

export interface ThrowawayOptions {
  readonly project: string;
  /** A reference or an id that the host has. */
  readonly brokerImage: string;
}

const READY_MS = 30_000;

/**
 * Redis in the background, and in the foreground what ends with the stream that cu holds open to it: so a broker that
 * runs is that of a `cu test` that lives, whatever became of its process. The password is on no command line.
 */
const BROKER_SCRIPT = `for program in redis-server redis-cli; do
  command -v $program >/dev/null || { echo "there is no $program in this image" >&2; exit 1; }
done
printf 'requirepass %s\\nsave ""\\nappendonly no\\nmaxmemory-policy noeviction\\n' "$PASSWORD" | redis-server - &
exec cat >/dev/null`;

const created = z.object({ Id: z.string() });

export async function openThrowaway(
  context: Context,
  host: Host,
  { project, brokerImage }: ThrowawayOptions,
): Promise<Throwaway> {
  const { signal } = context;
  const docker = host.docker();
  const run = newRun(context.now());
  const name = `${project}-test-${run}`;
  const labels = { [LABELS.project]: project, [LABELS.role]: TEST_ROLE, [LABELS.run]: run };
  const password = randomBytes(18).toString('base64url');
  let letGo = (): void => undefined;
  const close = async (): Promise<void> => {
    letGo();
    await removeRun(context, host, { project, run });
  };
  try {
    const body = { Name: name, Labels: labels };
    await docker.json({ method: 'POST', path: '/networks/create', body: { ...body, Driver: 'bridge' }, signal });
    await docker.json({ method: 'POST', path: '/volumes/create', body, signal });
    const broker = await docker.json({
      method: 'POST',
      path: '/containers/create',
      query: { name: `${name}-broker` },
      body: {
        Image: brokerImage,
        Entrypoint: ['sh', '-c', BROKER_SCRIPT],
        Cmd: [],
        Env: [`PASSWORD=${password}`],
        Labels: labels,
        OpenStdin: true,
        StdinOnce: true,
        HostConfig: { NetworkMode: name },
        NetworkingConfig: { EndpointsConfig: { [name]: { Aliases: ['broker'] } } },
      },
      signal,
    });
    const { Id: id } = created.parse(broker);
    const query = { stream: true, stdin: true };
    const lifeline = await docker.hijack({ method: 'POST', path: `/containers/${id}/attach`, query });
    lifeline.on('error', () => undefined);
    letGo = () => void lifeline.destroy();
    await startContainer(host, id, signal);
    await waitForBroker(host, id, { brokerImage, signal });
  } catch (error) {
    await close();
    throw error;
  }
  const brokerUrl = (database: number): string => `redis://:${password}@broker:6379/${database}`;
  return { name, labels, brokerUrl, [Symbol.asyncDispose]: close };
}

async function waitForBroker(
  host: Host,
  id: string,
  { brokerImage, signal }: { readonly brokerImage: string; readonly signal: AbortSignal },
): Promise<void> {
  const deadline = AbortSignal.timeout(READY_MS);
  for (;;) {
    const container = await inspectContainer(host, id, signal);
    if (container?.observed.state !== 'running' || deadline.aborted) {
      throw new CuError('STEP_FAILED', `no throwaway broker came up from the image ${brokerImage}`, {
        host: host.name,
        detail: await containerTail(host, id, 20),
        hint: 'it has to have redis-server, redis-cli and sh, as redis:8 has: name such an image under images.redis.ref',
      });
    }
    if (await hasBroker(host, id, signal)) return;
    await sleep(100, undefined, { signal });
  }
}

async function hasBroker(host: Host, id: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { stdout } = await runInContainer(host, id, ['redis-cli', 'ping'], { signal });
    // Asked without the password: that it wants one is answer enough.
    return /PONG|NOAUTH/.test(stdout);
  } catch (error) {
    // The next look tells how it ended.
    if (isNotRunning(error)) return false;
    throw error;
  }
}
