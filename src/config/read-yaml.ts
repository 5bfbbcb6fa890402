import { Composer, Lexer, LineCounter, Parser, type CST } from 'yaml';
import { buildTree, DEEPEST, type Tree, type TreeProblem } from './tree.ts';

export const LARGEST_BYTES = 1024 * 1024;

export interface YamlResult {
  readonly tree: Tree | undefined;
  readonly problems: readonly TreeProblem[];
  readonly position: (offset: number) => { readonly line: number; readonly column: number };
}

const MOST_ERRORS = 10;
/** About 15,000 lines; real configs have a few hundred. */
const MOST_LEXEMES = 100_000;

/** Reads YAML of any origin in bounded time, memory and stack. */
export function readYaml(text: string): YamlResult {
  const lines = new LineCounter();
  const position = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(Math.max(0, Math.min(offset, text.length)));
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  lines.addNewLine(0);
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1);
  const unreadable = findUnreadable(text);
  if (unreadable !== undefined) return { tree: undefined, problems: [unreadable], position };
  const tokens = parseTokens(text);
  if (!Array.isArray(tokens)) return { tree: undefined, problems: [tokens], position };
  return { ...compose(tokens, text), position };
}

function findUnreadable(text: string): TreeProblem | undefined {
  if (text.length > LARGEST_BYTES) {
    return {
      offset: 0,
      path: '',
      message: `the file is larger than ${LARGEST_BYTES / 1024 / 1024} MiB: is it the right one?`,
    };
  }
  const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(text);
  if (control === null) return undefined;
  const code = text.charCodeAt(control.index).toString(16).padStart(2, '0');
  return { offset: control.index, path: '', message: `a control character (0x${code}): is this a text file?` };
}

/** The parser keeps a stack of its own, so that depth is known, and bounded, before anything recurses over it. */
function parseTokens(text: string): CST.Token[] | TreeProblem {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    const offset = parser.offset;
    lexemes += 1;
    if (lexemes > MOST_LEXEMES)
      return {
        offset,
        path: '',
        message: `more than ${MOST_LEXEMES} words and signs up to here: is it the right file?`,
      };
    tokens.push(...parser.next(lexeme));
    // A map in a list takes two places on the stack, and what is read right now some more.
    if (parser.stack.length > 2 * DEEPEST)
      return { offset, path: '', message: `nested more than ${DEEPEST} levels deep` };
  }
  return [...tokens, ...parser.end()];
}

function compose(
  tokens: readonly CST.Token[],
  text: string,
): { readonly tree: Tree | undefined; readonly problems: readonly TreeProblem[] } {
  // Own checks replace its check of duplicate keys, which takes quadratic time, and its merge keys.
  const composer = new Composer({
    version: '1.2',
    schema: 'core',
    uniqueKeys: false,
    merge: false,
    prettyErrors: false,
    logLevel: 'silent',
  });
  const documents = [];
  for (const document of composer.compose(tokens, true, text.length)) {
    documents.push(document);
    if (documents.length > 1) break;
  }
  const [first, second] = documents;
  if (first === undefined) return { tree: undefined, problems: [] };
  const errors = [...first.errors, ...first.warnings].slice(0, MOST_ERRORS);
  const problems = errors.map(({ pos, code, message }) => ({ offset: pos[0], path: '', ...inOurWords(code, message) }));
  if (second !== undefined) {
    problems.push({
      offset: second.range[0],
      path: '',
      message: 'a second YAML document begins here: a config is one document',
    });
  }
  if (problems.length > 0) return { tree: undefined, problems };
  const built = buildTree(first.contents);
  return { tree: built.tree, problems: built.problems };
}

function inOurWords(code: string, message: string): { readonly message: string; readonly hint?: string } {
  if (code === 'TAB_AS_INDENT')
    return { message: 'a tab is used for indentation', hint: 'YAML allows only spaces there' };
  if (code === 'TAG_RESOLVE_FAILED')
    return { message: 'YAML tags (!name) are not supported', hint: 'a text that begins with ! stands in quotes' };
  const first = message.split('\n')[0] ?? message;
  const text = `${first.slice(0, 1).toLowerCase()}${first.slice(1, 200)}`;
  return text.includes('must be quoted') || !/unexpected|multiline|indent/.test(text)
    ? { message: text }
    : { message: text, hint: 'check the indentation, and quote texts that contain ": ", "#", "{", "[", "*" or "&"' };
}
