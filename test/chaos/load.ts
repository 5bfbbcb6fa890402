import { setTimeout as sleep } from 'node:timers/promises';

/** Calls that were accepted: their ids, noted only once the webserver had answered. */
export interface Load {
  readonly accepted: readonly string[];
  /** Answers that refused, which is allowed: whoever asked knows. */
  readonly refused: number;
  stop(): Promise<void>;
}

/** Keeps submitting calls of 0 to 400 ms until it is stopped. */
export function startLoad(options: {
  readonly url: string;
  readonly token: string;
  readonly prefix: string;
  readonly random: () => number;
}): Load {
  const state = { accepted: [] as string[], refused: 0, isOver: false };
  const submit = async (id: string): Promise<void> => {
    try {
      const answer = await fetch(`${options.url}/v1/call/tasks.accept`, {
        method: 'POST',
        headers: { authorization: `Bearer ${options.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ id, seconds: [0, 0.02, 0.1, 0.4][Math.floor(options.random() * 4)] }),
        signal: AbortSignal.timeout(20_000),
      });
      await answer.text();
      if (answer.status === 202 || answer.status === 200) state.accepted.push(id);
      else state.refused += 1;
    } catch {
      state.refused += 1;
    }
  };
  const run = async (): Promise<void> => {
    for (let number = 0; !state.isOver; number += 1) {
      await submit(`${options.prefix}-${number}`);
      await sleep(30);
    }
  };
  const running = run();
  return {
    get accepted() {
      return state.accepted;
    },
    get refused() {
      return state.refused;
    },
    stop: async () => {
      state.isOver = true;
      await running;
    },
  };
}

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
