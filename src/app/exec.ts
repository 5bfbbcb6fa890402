import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod/mini';
import { demultiplex } from '../transport/demultiplex.ts';
import { execExitCode } from '../transport/exec.ts';
import type { Context } from './context.ts';
import { findRunning } from './running.ts';
import type { RunningContainer } from './running.ts';

export interface ExecOptions {
  readonly tty: boolean;
  readonly stdin: boolean;
}

const created = z.object({ Id: z.string() });

/** Runs a command in a running instance, its streams joined to ours; returns its exit code. */
export async function exec(
  context: Context,
  target: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<{ readonly exitCode: number }> {
  const { session, container } = await findRunning(context, target);
  await using _session = session;
  const docker = container.host.docker();
  const { signal, terminal } = context;
  const body = {
    AttachStdin: options.stdin,
    AttachStdout: true,
    AttachStderr: true,
    Tty: options.tty,
    Cmd: argv,
    Env: options.tty ? [`TERM=${context.env['TERM'] ?? 'xterm'}`] : [],
  };
  const { Id: id } = created.parse(
    await docker.json({ method: 'POST', path: `/containers/${container.id}/exec`, body, signal }),
  );
  const stream = await docker.hijack({
    method: 'POST',
    path: `/exec/${id}/start`,
    body: { Detach: false, Tty: options.tty },
  });
  const stop = (): void => void stream.destroy();
  signal.addEventListener('abort', stop, { once: true });
  const stopResizing = options.tty ? followSize(context, container, id) : () => undefined;
  if (options.tty) terminal.setRawMode(true);
  try {
    if (options.stdin) terminal.stdin.pipe(stream);
    await show(context, stream, options.tty);
  } finally {
    terminal.stdin.unpipe(stream);
    terminal.stdin.pause();
    if (options.tty) terminal.setRawMode(false);
    stopResizing();
    stream.destroy();
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  return { exitCode: await execExitCode(container.host, id, signal) };
}

async function show(context: Context, stream: Duplex, hasTty: boolean): Promise<void> {
  const { stdout, stderr } = context.terminal;
  if (hasTty) {
    await pipeline(stream, stdout, { end: false });
    return;
  }
  for await (const { stream: name, data } of demultiplex(stream)) (name === 'stdout' ? stdout : stderr).write(data);
}

/** The far terminal has the size of ours, also after ours was resized. */
function followSize(context: Context, container: RunningContainer, id: string): () => void {
  const resize = (): void => {
    const { columns, rows } = context.terminal;
    const query = { w: columns, h: rows };
    // A size that could not be told only looks bad; the command itself goes on.
    container.host
      .docker()
      .json({ method: 'POST', path: `/exec/${id}/resize`, query })
      .catch(() => undefined);
  };
  setTimeout(resize, 50);
  return context.terminal.onResize(resize);
}
