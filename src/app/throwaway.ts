import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';
import { LABELS } from '../core/state.ts';
import { removeContainer, startContainer } from '../execute/engine.ts';
import { removeNetwork, removeVolume } from '../execute/resources.ts';
import { containerTail } from '../transport/container-log.ts';
import { wordsOf } from '../transport/errors.ts';
import { runInContainer } from '../transport/exec.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';

/** A network, a storage volume and a broker that only one run of `cu test` has; all of it goes with it. */
export interface Throwaway extends AsyncDisposable {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly brokerUrl: (database: number) => string;
}

export const TEST_ROLE = 'test';

const REMOVE_MS = 20_000;
const BROKER_READY_MS = 30_000;

/**
 * Redis in the background, and in the foreground what ends with the stream that cu holds open to it: so a broker that
 * runs is that of a `cu test` that lives, whatever became of the process. Its password is on no command line.
 */
const BROKER_SCRIPT = `printf 'requirepass %s\\nsave ""\\nappendonly no\\nmaxmemory-policy noeviction\\n' "$PASSWORD" | redis-server - &
exec cat >/dev/null`;

const created = z.object({ Id: z.string() });

export async function openThrowaway(
  context: Context,
  host: Host,
  { project, brokerImage }: { readonly project: string; readonly brokerImage: string },
): Promise<Throwaway> {
  const run = `${context.now().toString(36)}-${randomBytes(3).toString('hex')}`;
  const name = `${project}-test-${run}`;
  const labels = { [LABELS.project]: project, [LABELS.role]: TEST_ROLE, [LABELS.run]: run };
  const password = randomBytes(18).toString('base64url');
  const broker = `${name}-broker`;
  const close = new AsyncDisposableStack();
  // Declared first, removed last: both are held by containers.
  close.defer(() => remove(context, host, `volume ${name}`, (signal) => removeVolume(host, name, signal)));
  close.defer(() => remove(context, host, `network ${name}`, (signal) => removeNetwork(host, name, signal)));
  close.defer(() => remove(context, host, `container ${broker}`, (signal) => removeContainer(host, broker, signal)));
  try {
    const { signal } = context;
    const docker = host.docker();
    const body = { Name: name, Labels: labels };
    await docker.json({ method: 'POST', path: '/networks/create', body: { ...body, Driver: 'bridge' }, signal });
    await docker.json({ method: 'POST', path: '/volumes/create', body, signal });
    const id = await createBroker(context, host, { name: broker, network: name, labels, brokerImage, password });
    const lifeline = await docker.hijack({ method: 'POST', path: `/containers/${id}/attach`, query: LIFELINE, signal });
    lifeline.on('error', () => undefined);
    close.defer(async () => void lifeline.destroy());
    await startContainer(host, id, signal);
    await waitForBroker(context, host, { id, brokerImage });
  } catch (error) {
    await close.disposeAsync();
    throw error;
  }
  return {
    name,
    labels,
    brokerUrl: (database) => `redis://:${password}@broker:6379/${database}`,
    [Symbol.asyncDispose]: () => close.disposeAsync(),
  };
}

const LIFELINE = { stream: true, stdin: true };
