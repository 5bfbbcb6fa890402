import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/** Tasks that flow through the API to the workers; accepted once the API has answered. */
export interface TaskFlow {
  /** Submits no more, waits until what was accepted is done, and tells what was lost. */
  stop(timeoutMs: number): Promise<TaskReport>;
}

export interface TaskReport {
  readonly accepted: number;
  /** What the client was told failed: it knows, so nothing is lost. */
  readonly refused: number;
  /** Accepted minus done. */
  readonly lost: readonly string[];
  /** Versions that did the work. */
  readonly versions: ReadonlySet<string>;
}

export interface TaskOptions {
  readonly url: string;
  readonly token: string;
  /** `S ID VERSION` at the start of a task, `D ID VERSION` at its end. */
  readonly readMarks: () => Promise<readonly string[]>;
  readonly seconds?: () => number;
  readonly everyMs?: number;
}

export function startTasks(options: TaskOptions): TaskFlow {
  const { seconds = () => 0.1 + Math.random() * 0.9, everyMs = 250 } = options;
  const prefix = randomBytes(4).toString('hex');
  const accepted: string[] = [];
  let refused = 0;
  const over = new AbortController();
  const run = async (): Promise<void> => {
    for (let number = 0; !over.signal.aborted; number += 1) {
      const id = `${prefix}-${number}`;
      if (await submit(options, id, seconds())) accepted.push(id);
      else refused += 1;
      await sleep(everyMs);
    }
  };
  const running = run();
  return {
    stop: async (timeoutMs) => {
      over.abort();
      await running;
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        const done = (await options.readMarks()).map((line) => line.split(' ')).filter(([what]) => what === 'D');
        const ids = new Set(done.map(([, id]) => id));
        const lost = accepted.filter((id) => !ids.has(id));
        const own = done.filter(([, id]) => id?.startsWith(`${prefix}-`));
        const versions = new Set(own.map(([, , version = '']) => version));
        if (lost.length === 0 || Date.now() > deadline) return { accepted: accepted.length, refused, lost, versions };
        await sleep(500);
      }
    },
  };
}

async function submit({ url, token }: TaskOptions, id: string, seconds: number): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/v1/call/tasks.accept`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ id, seconds }),
      signal: AbortSignal.timeout(20_000),
    });
    await answer.text();
    return answer.status === 202 || answer.status === 200;
  } catch {
    return false;
  }
}
