import type { Plan } from '../core/action.ts';
import { execute } from '../execute/execute.ts';
import type { ExecutionResult } from '../execute/execute.ts';
import { createRunner } from '../execute/handlers.ts';
import { engineAddress } from '../transport/local.ts';
import { DEFAULT_SOCKET } from '../transport/engine-socket.ts';
import type { Context } from './context.ts';
import type { Prepared } from './prepare.ts';

/** Steps under way at once over all hosts; a host is busy waiting most of the time. */
const DEFAULT_STEPS = 32;

/** Executes a plan over the connections that are open already. */
export async function runPlan(
  context: Context,
  prepared: Pick<Prepared, 'desired' | 'session' | 'observed' | 'images' | 'inputs'>,
  plan: Plan,
  options: { readonly rebuild: boolean; readonly pull: boolean } = { rebuild: false, pull: false },
): Promise<ExecutionResult> {
  const { desired, session } = prepared;
  const runner = createRunner({
    desired,
    hosts: session.hosts,
    observed: new Map(prepared.observed.map((host) => [host.name, host])),
    images: prepared.images,
    inputs: prepared.inputs,
    engineOf: async (name) => {
      const target = desired.hosts.find((host) => host.name === name) ?? {
        name,
        dockerSocket: undefined,
        connection: 'local',
      };
      return target.connection === 'local'
        ? engineAddress(target, context)
        : { type: 'unix', path: target.dockerSocket ?? DEFAULT_SOCKET };
    },
    openLocal: () => session.openLocal(),
    env: context.env,
    cacheDir: context.cacheDir,
    now: context.now,
    emit: context.emit,
    ...options,
  });
  try {
    return await execute(plan, {
      run: runner.run,
      emit: context.emit,
      now: context.now,
      signal: context.signal,
      parallel: context.options.parallel ?? DEFAULT_STEPS,
    });
  } finally {
    await runner[Symbol.asyncDispose]();
  }
}
