import type { ActionType, PlanNode } from '../core/action.ts';
import { describeAction } from '../core/describe.ts';
import { cleanLine } from './clean.ts';
import { duration } from './duration.ts';
import { createEventLines } from './event-lines.ts';
import type { Renderer } from './renderer.ts';
import { stepPrefix, stepStarted } from './step-text.ts';
import type { Theme } from './theme.ts';

export interface PlainOptions {
  readonly write: (text: string) => void;
  readonly theme: Theme;
  readonly verbose: boolean;
  readonly now: () => number;
  readonly heartbeatMs?: number;
}

const LONG: readonly ActionType[] = ['build-image', 'push-image', 'ship-image', 'pull-image', 'replace-container'];

/** One line per change of state, for logs and CI; a heartbeat says what is still running. */
export function createPlainRenderer({ write, theme, verbose, now, heartbeatMs = 30_000 }: PlainOptions): Renderer {
  const eventLines = createEventLines(theme, verbose);
  const running = new Map<string, { readonly node: PlanNode; readonly startedAt: number }>();
  let lastLineAt = now();
  const line = (text: string): void => {
    lastLineAt = now();
    write(`${text}\n`);
  };
  const heartbeat = setInterval(() => {
    if (running.size === 0 || now() - lastLineAt < heartbeatMs) return;
    line(
      `still running: ${[...running.values()].map(({ node, startedAt }) => runningText(node, now() - startedAt)).join(', ')}`,
    );
  }, heartbeatMs);
  heartbeat.unref();

  return {
    on(event) {
      if (event.type === 'phase') line(theme.dim(cleanLine(event.text)));
      if (event.type === 'step-started') {
        running.set(event.node.id, { node: event.node, startedAt: now() });
        if (verbose || LONG.includes(event.node.action.type)) line(stepStarted(event.node, theme));
      }
      if (event.type === 'step-progress' && verbose) line(`${stepPrefix(event.node, theme)} ${cleanLine(event.text)}`);
      if (event.type === 'step-done' || event.type === 'step-failed') running.delete(event.node.id);
      for (const text of eventLines(event)) line(text);
    },
    pause() {},
    resume() {},
    close() {
      clearInterval(heartbeat);
    },
  };
}

function runningText(node: PlanNode, ms: number): string {
  const { verb, object } = describeAction(node.action);
  return `${node.host} ${verb} ${object} (${duration(ms)})`;
}
