import type { ActionType, PlanNode } from '../core/action.ts';
import { describeAction } from '../core/describe.ts';
import { cleanLine } from './clean.ts';
import { createDrainNews } from './drain-news.ts';
import { duration } from './duration.ts';
import { createEventLines } from './event-lines.ts';
import { createJobNews } from './job-news.ts';
import { createLiveCalls } from './live-calls.ts';
import { callText, jobChanged } from './job-text.ts';
import type { Renderer } from './renderer.ts';
import { stepPrefix, stepStarted, stepWaits } from './step-text.ts';
import type { Theme } from './theme.ts';

export interface PlainOptions {
  readonly write: (text: string) => void;
  readonly theme: Theme;
  readonly verbose: boolean;
  readonly now: () => number;
  readonly heartbeatMs?: number;
}

const LONG: readonly ActionType[] = [
  'build-image',
  'push-image',
  'ship-image',
  'pull-image',
  'run-task',
  'replace-container',
];

/** One line per change of state, for logs and CI; a heartbeat says what is still running. */
export function createPlainRenderer({ write, theme, verbose, now, heartbeatMs = 30_000 }: PlainOptions): Renderer {
  const eventLines = createEventLines(theme, verbose);
  const running = new Map<string, { readonly node: PlanNode; readonly startedAt: number }>();
  const calls = createLiveCalls(now);
  const isNews = createJobNews(now);
  const isDrainNews = createDrainNews(now);
  let lastLineAt = now();
  const line = (text: string): void => {
    lastLineAt = now();
    write(`${text}\n`);
  };
  const heartbeat = setInterval(() => {
    const texts = [
      ...[...running.values()].map(({ node, startedAt }) => runningText(node, now() - startedAt)),
      ...calls.all().map(({ event, ms }) => `${callText(event)} (${duration(ms)})`),
    ];
    if (texts.length === 0 || now() - lastLineAt < heartbeatMs) return;
    line(`still running: ${texts.join(', ')}`);
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
      if (event.type === 'step-progress' && !verbose && isDrainNews(event))
        line(stepWaits(event.node, event.text, theme));
      if (event.type === 'step-done' || event.type === 'step-failed') running.delete(event.node.id);
      const lines = eventLines(event);
      calls.take(event);
      if (event.type === 'job-changed' && isNews(event) && lines.length === 0) line(jobChanged(event, theme));
      for (const text of lines) line(text);
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
