import { createInterface } from 'node:readline';
import type { CuOptions, Scenario } from './scenario.ts';

/** One line of `--json`; only what tests look at. */
export interface CuLine {
  readonly type: string;
  readonly step?: string;
  readonly host?: string;
  readonly action?: string;
  readonly text?: string;
  /** Of a plan. */
  readonly steps?: readonly PlannedStep[];
}

export interface PlannedStep {
  readonly step: string;
  readonly host: string;
  readonly action: string;
  readonly after: readonly string[];
}

export interface FollowedCu {
  readonly lines: readonly CuLine[];
  /** Resolves as soon as a line is such; fails when cu ends without one. */
  until(isIt: (line: CuLine) => boolean): Promise<void>;
  /** What it has said to people so far. */
  stderr(): string;
  kill(signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void;
  /** Whatever its exit code was; undefined after SIGKILL. */
  readonly ended: Promise<{ readonly exitCode: number | undefined; readonly all: string }>;
}

/** Runs cu with `--json` and tells at once what it says, so that a test acts at a moment and not after a time. */
export function followCu(scenario: Scenario, options: CuOptions, ...argv: readonly string[]): FollowedCu {
  const running = scenario.start(options, '--json', ...argv);
  const lines: CuLine[] = [];
  let said = '';
  running.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
  const listeners = new Set<(line: CuLine | undefined) => void>();
  const reader = createInterface({ input: running.stdout });
  reader.on('line', (text) => {
    const line: CuLine = JSON.parse(text);
    lines.push(line);
    for (const listener of listeners) listener(line);
  });
  const ended = running.then(({ exitCode, all }) => {
    for (const listener of listeners) listener(undefined);
    return { exitCode, all };
  });
  return {
    lines,
    until: (isIt) =>
      new Promise((resolve, reject) => {
        const listener = (line: CuLine | undefined): void => {
          if (line !== undefined && !isIt(line)) return;
          listeners.delete(listener);
          if (line === undefined)
            reject(new Error(`cu ended before the moment came:\n${JSON.stringify(lines, undefined, 1)}`));
          else resolve();
        };
        listeners.add(listener);
        if (lines.some(isIt)) listener(lines.find(isIt));
      }),
    stderr: () => said,
    kill: (signal) => void running.kill(signal),
    ended,
  };
}
