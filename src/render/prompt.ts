import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

export interface PromptOptions {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  readonly hidden: boolean;
  readonly signal: AbortSignal;
}

/** Asks on the terminal; with `hidden` what is typed is not shown. */
export async function askQuestion(question: string, { input, output, hidden, signal }: PromptOptions): Promise<string> {
  // readline rewrites the whole line at each key, so it has to know the question, and must not reach the screen when hidden.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: hidden ? silent : output, terminal: true });
  // On a terminal readline takes Ctrl-C for itself.
  const interrupted = new AbortController();
  lines.on('SIGINT', () => interrupted.abort());
  lines.on('close', () => interrupted.abort());
  if (hidden) output.write(question);
  try {
    return await lines.question(question, { signal: AbortSignal.any([signal, interrupted.signal]) });
  } finally {
    lines.close();
    if (hidden) output.write('\n');
  }
}
