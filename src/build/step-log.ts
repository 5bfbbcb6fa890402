/** What the current step of a build printed, so that a failure shows that and not the steps before it. */
export interface StepLog {
  /** `heading` tells where a step begins. */
  add(text: string, heading?: RegExp): void;
  tail(): string;
}

const KEPT_LINES = 20;

export function startStepLog(onOutput: ((line: string) => void) | undefined): StepLog {
  let heading = '';
  let lines: string[] = [];
  let rest = '';
  const take = (line: string, pattern: RegExp | undefined): void => {
    if (line.trim() === '') return;
    onOutput?.(line);
    if (pattern?.test(line) === true) {
      heading = line;
      lines = [];
      return;
    }
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
  };

  return {
    add(text, pattern) {
      const parts = (rest + text).split(/\r\n|\n|\r/);
      rest = parts.pop() ?? '';
      for (const line of parts) take(line, pattern);
    },
    tail() {
      return [heading, ...lines, rest].filter((line) => line !== '').join('\n');
    },
  };
}
