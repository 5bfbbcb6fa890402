import { inspectContainer } from '../observe/observe.ts';
import { demultiplex } from '../transport/demultiplex.ts';
import type { Host } from '../transport/host.ts';
import type { LogLine } from './log-merge.ts';

export interface LogWindow {
  readonly follow: boolean;
  readonly since: number | undefined;
  readonly until: number | undefined;
  readonly tail: number | undefined;
}

/** One container's log, line by line, each with the engine's time of it. A container that goes away ends it. */
export async function* readLog(
  host: Host,
  id: string,
  options: LogWindow & { readonly source: string; readonly signal: AbortSignal },
): AsyncGenerator<LogLine> {
  const { signal, source } = options;
  const container = await inspectContainer(host, id, signal);
  if (container === undefined) return;
  const answer = await host.docker().stream({
    method: 'GET',
    path: `/containers/${id}/logs`,
    query: {
      stdout: true,
      stderr: true,
      timestamps: true,
      follow: options.follow,
      tail: options.tail ?? 'all',
      since: seconds(options.since),
      until: seconds(options.until),
    },
    signal,
    // 409: it is being removed at this moment.
    allow: [404, 409],
  });
  if (answer.statusCode >= 400) {
    answer.body.resume();
    return;
  }
  const rests = { stdout: '', stderr: '' };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  try {
    for await (const { stream, data } of demultiplex(answer.body, container.hasTty)) {
      const lines = (rests[stream] + decoders[stream].decode(data, { stream: true })).split('\n');
      rests[stream] = lines.pop() ?? '';
      for (const line of lines) yield parseLine(line, { source, stream });
    }
  } catch (error) {
    // The follow was stopped, or the connection of a follow ended with its container.
    if (!signal.aborted && !options.follow) throw error;
    return;
  }
  for (const stream of ['stdout', 'stderr'] as const) {
    if (rests[stream] !== '') yield parseLine(rests[stream], { source, stream });
  }
}

/** `2026-11-23T10:00:00.123456789Z text` */
function parseLine(line: string, from: { readonly source: string; readonly stream: 'stdout' | 'stderr' }): LogLine {
  const space = line.indexOf(' ');
  const time = space < 0 ? line : line.slice(0, space);
  return { ...from, time, text: (space < 0 ? '' : line.slice(space + 1)).replace(/\r$/, '') };
}

function seconds(moment: number | undefined): string | undefined {
  return moment === undefined ? undefined : (moment / 1000).toFixed(3);
}
