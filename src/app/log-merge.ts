export interface LogLine {
  /** `HOST/SERVICE/INSTANCE` */
  readonly source: string;
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339 with nanoseconds, as the engine gives it: two of one form compare as text. */
  readonly time: string;
  readonly text: string;
}

type Sources = AsyncIterable<AsyncIterable<LogLine>> | readonly AsyncIterable<LogLine>[];

/**
 * Many logs in one, ordered by time. Complete logs are merged exactly; followed ones are held back for `holdMs`,
 * so that a line which arrives a moment late still takes its place.
 */
export async function* mergeByTime(
  sources: Sources,
  options: { readonly holdMs: number | undefined; readonly signal: AbortSignal },
): AsyncGenerator<LogLine> {
  if (options.holdMs === undefined) {
    yield* mergeComplete(sources);
    return;
  }
  yield* mergeLive(sources, options.holdMs, options.signal);
}

/** A k-way merge: only one line of each log is in memory. */
async function* mergeComplete(sources: Sources): AsyncGenerator<LogLine> {
  const heads: { line: LogLine; readonly rest: AsyncIterator<LogLine> }[] = [];
  for await (const source of sources) {
    const rest = source[Symbol.asyncIterator]();
    const first = await rest.next();
    if (first.done !== true) heads.push({ line: first.value, rest });
  }
  while (heads.length > 0) {
    let earliest = 0;
    for (const [index, head] of heads.entries()) {
      if (head.line.time < (heads[earliest]?.line.time ?? '')) earliest = index;
    }
    const head = heads[earliest];
    if (head === undefined) return;
    yield head.line;
    const next = await head.rest.next();
    if (next.done === true) heads.splice(earliest, 1);
    else head.line = next.value;
  }
}

async function* mergeLive(sources: Sources, holdMs: number, signal: AbortSignal): AsyncGenerator<LogLine> {
  const held: { readonly line: LogLine; readonly due: number }[] = [];
  let open = 1;
  let failure: unknown;
  let wake = (): void => undefined;
  const pump = async (source: AsyncIterable<LogLine>): Promise<void> => {
    try {
      for await (const line of source) {
        held.push({ line, due: performance.now() + holdMs });
        wake();
      }
    } catch (error) {
      failure ??= error;
    } finally {
      open -= 1;
      wake();
    }
  };
  const start = async (): Promise<void> => {
    try {
      for await (const source of sources) {
        open += 1;
        void pump(source);
      }
    } catch (error) {
      failure ??= error;
    } finally {
      open -= 1;
      wake();
    }
  };
  signal.addEventListener('abort', () => wake(), { once: true });
  void start();
  while ((open > 0 || held.length > 0) && !signal.aborted) {
    if (failure !== undefined) throw failure;
    const now = performance.now();
    const ready = held.filter((each) => each.due <= now || open === 0);
    if (ready.length === 0) {
      const next = held[0]?.due;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (next !== undefined) setTimeout(resolve, Math.max(1, next - now));
      });
      continue;
    }
    const isReady = new Set(ready);
    held.splice(0, held.length, ...held.filter((each) => !isReady.has(each)));
    for (const { line } of ready.toSorted((a, b) => (a.line.time < b.line.time ? -1 : 1))) yield line;
  }
  if (failure !== undefined && !signal.aborted) throw failure;
}
