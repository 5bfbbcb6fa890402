import { warningLine } from './event-lines.ts';
import type { Renderer } from './renderer.ts';
import type { Theme } from './theme.ts';

/** Nothing but warnings; errors are printed at the end by `main`. */
export function createQuietRenderer(write: (text: string) => void, theme: Theme): Renderer {
  return {
    on(event) {
      if (event.type === 'warning') write(`${warningLine(event, theme)}\n`);
    },
    pause() {},
    resume() {},
    close() {},
  };
}
