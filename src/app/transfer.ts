import type { CuEvent } from '../core/event.ts';
import type { Context } from './context.ts';

type Transfer = Extract<CuEvent, { type: 'transfer' }>;

const REPORT_MS = 100;

/** Passes bytes on and tells how many there were, ten times a second at most; `end` tells that it was all. */
export interface CountedTransfer {
  readonly bytes: () => number;
  count(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>;
  end(): void;
}

export function startTransfer(
  { emit, now }: Context,
  what: Pick<Transfer, 'direction' | 'name' | 'totalBytes'>,
): CountedTransfer {
  let bytes = 0;
  let toldAt = now();
  const tell = (isDone: boolean): void => emit({ type: 'transfer', ...what, bytes, isDone });
  tell(false);
  return {
    bytes: () => bytes,
    async *count(chunks) {
      bytes = 0;
      for await (const chunk of chunks) {
        bytes += chunk.length;
        yield chunk;
        if (now() - toldAt < REPORT_MS) continue;
        toldAt = now();
        tell(false);
      }
    },
    end: () => tell(true),
  };
}
