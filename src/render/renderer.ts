import type { CuEvent } from '../core/event.ts';

/** Turns what happens into text for one reader. */
export interface Renderer {
  on(event: CuEvent): void;
  /** Between pause and resume the terminal belongs to a question or to a result. */
  pause(): void;
  resume(): void;
  close(): void;
}

export interface RenderTarget {
  readonly write: (text: string) => void;
  readonly columns: () => number;
  readonly rows: () => number;
}
