import type { Renderer } from './renderer.ts';
import { wireEvent } from './wire.ts';

/** One JSON object a line; also what `--log-file` holds, there with the time. */
export function createJsonRenderer(options: {
  readonly write: (text: string) => void;
  readonly verbose: boolean;
  readonly now?: () => number;
}): Renderer {
  const { write, verbose, now } = options;
  return {
    on(event) {
      if (event.type === 'debug' && !verbose) return;
      const time = now === undefined ? {} : { time: new Date(now()).toISOString() };
      write(`${JSON.stringify({ ...wireEvent(event), ...time })}\n`);
    },
    pause() {},
    resume() {},
    close() {},
  };
}
