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

/** What the readers of followed logs hand over, and how they stand. */
interface Intake {
  readonly held: { readonly line: LogLine; readonly due: number }[];
  /** Readers that may still bring lines. */
  open: number;
  failure: Error | undefined;
  wake: () => void;
}

async function* mergeLive(sources: Sources, holdMs: number, signal: AbortSignal): AsyncGenerator<LogLine> {
  const intake: Intake = { held: [], open: 1, failure: undefined, wake: () => undefined };
  signal.addEventListener('abort', () => intake.wake(), { once: true });
  void readAll(sources, holdMs, intake);
  while ((intake.open > 0 || intake.held.length > 0) && !signal.aborted) {
    if (intake.failure !== undefined) throw intake.failure;
    const now = performance.now();
    const ready = intake.held.filter((each) => each.due <= now || intake.open === 0);
    if (ready.length === 0) {
      await nextLine(intake, now);
      continue;
    }
    const isReady = new Set(ready);
    intake.held.splice(0, intake.held.length, ...intake.held.filter((each) => !isReady.has(each)));
    for (const { line } of ready.toSorted((a, b) => (a.line.time < b.line.time ? -1 : 1))) yield line;
  }
  if (intake.failure !== undefined && !signal.aborted) throw intake.failure;
}

/** Starts a reader for each log as it becomes known; never rejects, what goes wrong stands in `failure`. */
async function readAll(sources: Sources, holdMs: number, intake: Intake): Promise<void> {
  const readers: Promise<void>[] = [];
  await attempt(intake, async () => {
    for await (const source of sources) {
      intake.open += 1;
      readers.push(
        attempt(intake, async () => {
          for await (const line of source) {
            intake.held.push({ line, due: performance.now() + holdMs });
            intake.wake();
          }
        }),
      );
    }
  });
  await Promise.all(readers);
}

async function attempt(intake: Intake, read: () => Promise<void>): Promise<void> {
  try {
    await read();
  } catch (error) {
    intake.failure ??= error instanceof Error ? error : new Error(String(error));
  } finally {
    intake.open -= 1;
    intake.wake();
  }
}

/** Until a line comes, a reader ends, or the line that is held longest is due. */
function nextLine(intake: Intake, now: number): Promise<void> {
  return new Promise((resolve) => {
    intake.wake = resolve;
    const due = intake.held[0]?.due;
    if (due !== undefined) setTimeout(resolve, Math.max(1, due - now));
  });
}
