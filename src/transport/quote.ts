import { CuError } from '../core/error.ts';

/** Turns an argv into one word list that any POSIX shell reads back byte for byte. */
export function quote(argv: readonly string[]): string {
  return argv.map(quoteWord).join(' ');
}

function quoteWord(word: string): string {
  if (word.includes('\0')) throw new CuError('USAGE', 'a command cannot carry a NUL byte');
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  // Inside single quotes everything but the single quote stands for itself.
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
