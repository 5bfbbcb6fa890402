/** Meaning never rests on colour alone: every function may return its text unchanged. */
export interface Theme {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly info: (text: string) => string;
  /** The same name always has the same colour. */
  readonly name: (text: string) => string;
}

const same = (text: string): string => text;

export const plainTheme: Theme = { bold: same, dim: same, good: same, bad: same, warn: same, info: same, name: same };

/** chalk is loaded only where there is colour. */
export async function loadTheme(isColoured: boolean): Promise<Theme> {
  if (!isColoured) return plainTheme;
  const { Chalk } = await import('chalk');
  const chalk = new Chalk({ level: 1 });
  const names = [
    chalk.cyan,
    chalk.green,
    chalk.yellow,
    chalk.magenta,
    chalk.blue,
    chalk.cyanBright,
    chalk.magentaBright,
  ];
  return {
    bold: (text) => chalk.bold(text),
    dim: (text) => chalk.dim(text),
    good: (text) => chalk.green(text),
    bad: (text) => chalk.red(text),
    warn: (text) => chalk.yellow(text),
    info: (text) => chalk.cyan(text),
    name: (text) => (names[sumOfCodes(text) % names.length] ?? same)(text),
  };
}

function sumOfCodes(text: string): number {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 1_000_003;
  return sum;
}
