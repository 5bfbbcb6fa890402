import type { PlanNode } from '../core/action.ts';
import { describeAction } from '../core/describe.ts';
import { cleanLine } from './clean.ts';
import { duration } from './duration.ts';
import { createEventLines } from './event-lines.ts';
import { liveCall } from './job-text.ts';
import { createLiveCalls } from './live-calls.ts';
import type { Renderer, RenderTarget } from './renderer.ts';
import { truncate, width } from './table.ts';
import type { Theme } from './theme.ts';

export interface TtyOptions {
  readonly target: RenderTarget;
  readonly theme: Theme;
  readonly verbose: boolean;
  readonly now: () => number;
  /** Shows a wait that belongs to no step; returns the function that ends it. */
  readonly spin: (text: string) => () => void;
}

interface RunningStep {
  readonly node: PlanNode;
  readonly startedAt: number;
  progress: string;
}

const REDRAW_MS = 100;

/** Lines that stay above, and below them one line for each running step, redrawn at most ten times a second. */
export function createTtyRenderer({ target, theme, verbose, now, spin }: TtyOptions): Renderer {
  const eventLines = createEventLines(theme, verbose);
  const running = new Map<string, RunningStep>();
  const calls = createLiveCalls(now);
  let waiting: string[] = [];
  let drawn = 0;
  let isPaused = false;
  let stopSpinner: (() => void) | undefined;

  const endSpinner = (): void => {
    stopSpinner?.();
    stopSpinner = undefined;
  };
  const draw = (live: readonly string[]): void => {
    const erase = drawn === 0 ? '' : `\u001B[${drawn}A\u001B[J`;
    const text = [...waiting, ...live].map((line) => `${line}\n`).join('');
    waiting = [];
    drawn = live.length;
    if (erase !== '' || text !== '') target.write(erase + text);
  };
  const tick = (): void => {
    if (isPaused) return;
    const live = [
      ...liveLines([...running.values()], target, now(), theme),
      ...calls.all().map(({ event, ms }) => liveCall(event, { columns: target.columns(), ms, theme })),
    ];
    if (live.length > 0 || drawn > 0 || waiting.length > 0) draw(live);
  };
  const timer = setInterval(tick, REDRAW_MS);
  timer.unref();

  return {
    on(event) {
      if (event.type === 'step-started')
        running.set(event.node.id, { node: event.node, startedAt: now(), progress: '' });
      if (event.type === 'step-progress') {
        const step = running.get(event.node.id);
        if (step !== undefined) step.progress = cleanLine(event.text);
      }
      if (event.type === 'step-done' || event.type === 'step-failed') running.delete(event.node.id);
      const lines = eventLines(event);
      waiting.push(...lines);
      const isLive = calls.take(event) || event.type === 'step-started';
      if (event.type === 'phase' || isLive || lines.length > 0) endSpinner();
      if (event.type === 'phase' && !isPaused && running.size === 0) {
        draw([]);
        stopSpinner = spin(cleanLine(event.text));
      }
    },
    pause() {
      endSpinner();
      draw([]);
      isPaused = true;
    },
    resume() {
      isPaused = false;
    },
    close() {
      clearInterval(timer);
      endSpinner();
      running.clear();
      calls.clear();
      draw([]);
    },
  };
}

function liveLines(steps: readonly RunningStep[], target: RenderTarget, now: number, theme: Theme): readonly string[] {
  const room = Math.max(1, target.rows() - 2);
  const shown = steps.slice(0, steps.length > room ? room - 1 : room);
  const hostWidth = Math.max(0, ...shown.map((step) => width(step.node.host)));
  const lines = shown.map((step) => liveLine(step, { hostWidth, columns: target.columns(), now, theme }));
  return shown.length < steps.length ? [...lines, `  and ${steps.length - shown.length} more`] : lines;
}

interface LiveOptions {
  readonly hostWidth: number;
  readonly columns: number;
  readonly now: number;
  readonly theme: Theme;
}

function liveLine({ node, startedAt, progress }: RunningStep, { hostWidth, columns, now, theme }: LiveOptions): string {
  const { verb, object } = describeAction(node.action);
  const start = `  ${node.host.padEnd(hostWidth)}  `;
  const time = duration(now - startedAt);
  // One column stays free: a full line makes some terminals wrap.
  const room = columns - 1 - width(start) - width(time) - 2;
  const middle = truncate(progress === '' ? `${verb} ${object}` : `${verb} ${object}  ${progress}`, Math.max(room, 1));
  return `  ${theme.name(node.host)}${' '.repeat(hostWidth - width(node.host))}  ${middle}  ${theme.dim(time)}`;
}
