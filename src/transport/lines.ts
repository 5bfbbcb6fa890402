/** Makes whole lines of text that comes in pieces; `end` gives the one that no line end follows. */
export interface LineSplitter {
  push(text: string): void;
  end(): void;
}

export function createLineSplitter(onLine: (line: string) => void): LineSplitter {
  let rest = '';
  return {
    push(text) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line.replace(/\r$/, ''));
    },
    end() {
      if (rest !== '') onLine(rest);
      rest = '';
    },
  };
}
