import type { CallArgument } from '../app/call-values.ts';
import { CuError } from '../core/error.ts';

/** `zoom=3`, `zoom:=3`, `region=@FILE`, `points=-`: what stands after the method of a call. */
export function parseCallArguments(words: readonly string[]): readonly CallArgument[] {
  const found = words.map(parseCallArgument);
  const twice = found.find(({ name }, index) => found.findIndex((each) => each.name === name) !== index);
  if (twice !== undefined)
    throw new CuError('USAGE', `the argument ${twice.name} is given twice`, {
      hint: `a list is ${twice.name}='[1, 2]'`,
    });
  const [, second] = found.filter(({ type }) => type === 'stdin');
  if (second !== undefined)
    throw new CuError('USAGE', `stdin can be read for one argument only, not for ${second.name} too`, {
      hint: 'put the other one into a file: NAME:="$(cat FILE)"',
    });
  return found;
}

function parseCallArgument(word: string): CallArgument {
  const [, name, colon, value = ''] = /^([^\s:=@]+)(:?)=(.*)$/s.exec(word) ?? [];
  if (name === undefined) {
    throw new CuError('USAGE', `"${word}" is no argument of a call`, {
      hint: 'give NAME=VALUE, NAME:=JSON, NAME=@FILE, or NAME=- for JSON from stdin',
    });
  }
  if (colon === ':') {
    const problem = jsonProblem(value);
    if (problem === undefined) return { name, type: 'json', text: value };
    throw new CuError('USAGE', `${word} is not JSON: ${problem}`, { hint: `${name}=VALUE passes it as text` });
  }
  if (value === '-' || value === '@-') return { name, type: 'stdin' };
  if (value === '@')
    throw new CuError('USAGE', `${word} names no file`, { hint: `${name}=@FILE; the text "@" is ${name}:='"@"'` });
  if (value.startsWith('@')) return { name, type: 'file', path: value.slice(1) };
  return { name, type: 'json', text: jsonProblem(value) === undefined ? value : JSON.stringify(value) };
}

function jsonProblem(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
