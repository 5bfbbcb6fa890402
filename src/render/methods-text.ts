import { clean, cleanLine } from './clean.ts';
import { table } from './table.ts';
import type { Theme } from './theme.ts';

export interface MethodParameter {
  readonly name: string;
  /** JSON Schema. */
  readonly schema: Readonly<Record<string, unknown>>;
  readonly isRequired: boolean;
  readonly preset?: unknown;
  readonly doc: string;
  readonly isFile: boolean;
}

/** A function that the web API publishes. */
export interface Method {
  readonly name: string;
  readonly summary: string;
  readonly doc: string;
  readonly scope: string;
  readonly parameters: readonly MethodParameter[];
  readonly returns: Readonly<Record<string, unknown>>;
}

/** What can be called; an argument in brackets may be left out. */
export function methodsText(methods: readonly Method[], theme: Theme): string {
  if (methods.length === 0)
    return 'there is nothing to call: put @call(public=True) on a function, and `cu deploy` again';
  const columns = [{ title: 'method' }, { title: 'arguments' }, { title: 'does' }] as const;
  const rows = methods.map(({ name, parameters, summary }) => [
    name,
    parameters.map((each) => (each.isRequired ? each.name : `[${each.name}]`)).join(' '),
    cleanLine(summary),
  ]);
  return table(columns, rows, (cell, column, row) =>
    row < 0 ? theme.dim(cell) : column === 0 ? theme.name(cell) : cell,
  );
}

/** A method's own documentation, and a line that calls it. */
export function methodText(method: Method, theme: Theme): string {
  const { name, summary, doc, parameters, returns, scope } = method;
  const rest = withoutSummary(clean(doc).trim(), cleanLine(summary));
  const title = `${theme.name(name)}${summary === '' ? '' : `  ${cleanLine(summary)}`}`;
  const rows = parameters.map((each) => [
    `  ${each.name}`,
    typeText(each),
    each.isRequired ? 'required' : `default ${JSON.stringify(each.preset ?? null)}`,
    cleanLine(each.doc),
  ]);
  const columns = [{ title: '  argument' }, { title: 'type' }, { title: '' }, { title: '' }] as const;
  const list =
    rows.length === 0
      ? '  takes no arguments'
      : table(columns, rows, (cell, column, row) => (row < 0 ? theme.dim(cell) : cell));
  return [
    title,
    ...(rest === '' ? [] : ['', rest.replaceAll(/^(?=.)/gm, '  ')]),
    '',
    list,
    '',
    ...(schemaText(returns) === 'any' ? [] : [`  returns ${schemaText(returns)}`]),
    ...(scope === '' ? [] : [`  needs a token with the scope ${cleanLine(scope)}`]),
    `  ${theme.dim(`$ cu call ${[name, ...parameters.filter((each) => each.isRequired).map(exampleText)].join(' ')} --wait`)}`,
  ].join('\n');
}

/** A docstring begins with what the title says already. */
function withoutSummary(doc: string, summary: string): string {
  const [first = '', ...others] = doc.split(/\n\s*\n/);
  return cleanLine(first) === summary ? others.join('\n\n') : doc;
}

function exampleText({ name, isFile }: MethodParameter): string {
  return isFile ? `${name}=@FILE` : `${name}=...`;
}

function typeText({ schema, isFile }: MethodParameter): string {
  return isFile ? 'file' : schemaText(schema);
}

/** A JSON Schema in a few words. */
export function schemaText(schema: Readonly<Record<string, unknown>>): string {
  const { type, enum: choices, const: only, items, format } = schema;
  if (Array.isArray(choices)) return choices.map((each) => JSON.stringify(each)).join(' | ');
  if (only !== undefined) return JSON.stringify(only);
  const options = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(options)) return options.map((each) => (isSchema(each) ? schemaText(each) : 'any')).join(' | ');
  if (type === 'array') return `list${isSchema(items) ? ` of ${schemaText(items)}` : ''}`;
  const name = typeof type === 'string' ? type : Array.isArray(type) ? type.join(' | ') : 'any';
  return typeof format === 'string' ? `${name} (${cleanLine(format)})` : cleanLine(name);
}

function isSchema(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
