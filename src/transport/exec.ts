import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';
import { demultiplex } from './demultiplex.ts';
import type { Host, RunResult } from './host.ts';

const created = z.object({ Id: z.string() });
const state = z.object({ Running: z.boolean(), ExitCode: z.nullish(z.number()) });

export interface ContainerExecOptions {
  readonly signal: AbortSignal;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
}

/** Runs a command in a running container through the Docker API and waits for its end. */
export async function runInContainer(
  host: Host,
  id: string,
  command: readonly string[],
  options: ContainerExecOptions,
): Promise<RunResult> {
  const docker = host.docker();
  const { signal } = options;
  const exec = created.parse(
    await docker.json({
      method: 'POST',
      path: `/containers/${id}/exec`,
      body: { AttachStdout: true, AttachStderr: true, Cmd: command, Env: options.env ?? [] },
      signal,
    }),
  );
  const answer = await docker.stream({
    method: 'POST',
    path: `/exec/${exec.Id}/start`,
    body: { Detach: false, Tty: false },
    signal,
  });
  const said = { stdout: '', stderr: '' };
  for await (const { stream, data } of demultiplex(answer.body)) said[stream] += data.toString('utf8');
  return { ...said, exitCode: await execExitCode(host, exec.Id, signal), signal: undefined };
}

/** It ended between the look at it and the command: 409 where the command is made, 500 where it is begun. */
export function isNotRunning(error: unknown): boolean {
  return error instanceof CuError && /is not running/i.test(error.message);
}

/** The engine may close the output a moment before it knows the exit code. */
export async function execExitCode(host: Host, execId: string, signal: AbortSignal): Promise<number> {
  for (;;) {
    const found = state.parse(await host.docker().json({ method: 'GET', path: `/exec/${execId}/json`, signal }));
    if (!found.Running) return found.ExitCode ?? 1;
    await sleep(20, undefined, { signal });
  }
}
