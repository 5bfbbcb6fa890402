import { describeIssue, didYouMean } from './issues.ts';
import { mergeTrees } from './merge.ts';
import { formatPath, show, type Complaint, type Path, type Problem } from './problem.ts';
import { readYaml } from './read-yaml.ts';
import { checkEnvironment, checkTogether } from './rules.ts';
import { configSchema, environmentSchema, environmentShape, environmentsSchema, type Config } from './schema.ts';
import { mapTree, offsetAt, toValue, type Entry, type MapTree, type Tree } from './tree.ts';

export type ConfigDocument = Readonly<Record<string, unknown>>;

/** Everything that one environment is made of, checked. */
export interface EnvironmentConfig {
  readonly name: string;
  readonly tag: string;
  readonly isDefault: boolean;
  readonly config: Config;
  /** What `config` was read from: plain data, overrides laid over it, nothing filled in. */
  readonly document: ConfigDocument;
  /** Gives a complaint about this environment its place in the file. */
  readonly locate: (complaint: Complaint) => Problem;
}

export interface ParsedConfig {
  readonly file: string;
  readonly project: string;
  /** At least one. */
  readonly environments: readonly EnvironmentConfig[];
}

export type ParseResult =
  | { readonly type: 'valid'; readonly parsed: ParsedConfig }
  | { readonly type: 'invalid'; readonly problems: readonly Problem[] };

/** The environment of a config that names none. */
const ONLY_ENVIRONMENT = 'dev';
/** One project seldom has more than five; each is checked as a whole. */
const MOST_ENVIRONMENTS = 50;
const MOST_PROBLEMS = 200;

/** Text to the config of each environment, or everything that is wrong with it, in the order of the file. */
export function parseConfig(text: string, file: string): ParseResult {
  const source = text.replace(/^\uFEFF/, '');
  const yaml = readYaml(source);
  const lines = source.slice(0, 2 * 1024 * 1024).split('\n');
  const toProblem = (offset: number, complaint: Omit<Problem, 'file' | 'line' | 'column' | 'source'>): Problem => {
    const { line, column } = yaml.position(offset);
    const shown = lines[line - 1]?.replace(/\r$/, '');
    return { file, line, column, source: shown === undefined || shown.trim() === '' ? undefined : shown, ...complaint };
  };
  const problems = yaml.problems.map(({ offset, hint, ...rest }) => toProblem(offset, { ...rest, hint }));
  if (yaml.tree === undefined) return invalid(problems);
  const parser = new ConfigParser(yaml.tree, toProblem);
  const environments = parser.parse();
  const all = [...problems, ...parser.problems];
  const [first] = environments;
  if (all.length > 0 || first === undefined) return invalid(all);
  return { type: 'valid', parsed: { file, project: first.config.project, environments } };
}

function invalid(problems: readonly Problem[]): ParseResult {
  const unique = new Map(
    problems.map((problem) => [`${problem.line}:${problem.column}:${problem.path}:${problem.message}`, problem]),
  );
  return {
    type: 'invalid',
    problems: [...unique.values()].sort((a, b) => a.line - b.line || a.column - b.column).slice(0, MOST_PROBLEMS),
  };
}

type ToProblem = (
  offset: number,
  complaint: { readonly path: string; readonly message: string; readonly hint: string | undefined },
) => Problem;

interface Head {
  readonly name: string;
  readonly tag: string;
  readonly isDefault: boolean;
  readonly overrides: Tree | undefined;
}

/** Collects what is wrong while it reads one environment after the other. */
class ConfigParser {
  readonly problems: Problem[] = [];
  readonly #ofEnvironments: { readonly name: string; readonly problem: Problem }[] = [];
  readonly #tree: Tree;
  readonly #toProblem: ToProblem;

  constructor(tree: Tree, toProblem: ToProblem) {
    this.#tree = tree;
    this.#toProblem = toProblem;
  }

  parse(): readonly EnvironmentConfig[] {
    const root = this.#tree;
    if (root.type !== 'map') {
      const isEmpty = root.type === 'scalar' && root.value === null;
      const message = isEmpty ? 'the file is empty' : `expected a map, got ${show(toValue(root))}`;
      this.#add(root, { path: [], message, hint: '`cu init` writes an example' });
      return [];
    }
    const base = mapTree(new Map([...root.entries].filter(([key]) => key !== 'environments')), root.offset);
    const heads = this.#heads(root.entries.get('environments')?.value);
    const environments = heads.flatMap((head) => this.#environment(base, head));
    this.#nameEnvironments(heads.length);
    for (const { environment, complaint } of checkTogether(environments))
      this.problems.push(environment.locate(complaint));
    return environments;
  }

  /** Once for what is wrong in all environments alike; what is wrong in some says in which. */
  #nameEnvironments(count: number): void {
    const found = new Map<string, { readonly problem: Problem; readonly names: string[] }>();
    for (const { name, problem } of this.#ofEnvironments) {
      const key = `${problem.line}:${problem.column}:${problem.path}:${problem.message}`;
      const known = found.get(key);
      if (known === undefined) found.set(key, { problem, names: [name] });
      else if (!known.names.includes(name)) known.names.push(name);
    }
    for (const { problem, names } of found.values()) {
      const suffix = names.length === count ? '' : ` (in environment ${names.join(', ')})`;
      this.problems.push({ ...problem, message: `${problem.message}${suffix}` });
    }
  }

  #heads(tree: Tree | undefined): readonly Head[] {
    if (tree === undefined)
      return [{ name: ONLY_ENVIRONMENT, tag: ONLY_ENVIRONMENT, isDefault: true, overrides: undefined }];
    const heads =
      tree.type === 'map'
        ? mapTree(new Map([...tree.entries].map(([name, entry]) => [name, emptyWhenNull(entry)])), tree.offset)
        : tree;
    const result = environmentsSchema.safeParse(toValue(heads));
    const complaints = (result.error?.issues ?? [])
      .slice(0, MOST_PROBLEMS)
      .flatMap((issue) => describeIssue(issue, heads));
    for (const complaint of complaints)
      this.#add(this.#tree, { ...complaint, path: ['environments', ...complaint.path] });
    const entries = heads.type === 'map' ? [...heads.entries] : [];
    if (entries.length > MOST_ENVIRONMENTS)
      this.#add(this.#tree, { path: ['environments'], message: `more than ${MOST_ENVIRONMENTS} environments` });
    const read = entries.slice(0, MOST_ENVIRONMENTS).map(([name, { value }]) => {
      const own = environmentSchema.safeParse(toValue(value)).data;
      return { name, tag: own?.tag ?? name, isDefault: own?.default ?? false, overrides: value };
    });
    for (const { name } of read.filter((head) => head.isDefault).slice(1)) {
      this.#add(this.#tree, {
        path: ['environments', name, 'default'],
        message: 'another environment is the default already',
      });
    }
    return read;
  }

  #environment(base: MapTree, head: Head): readonly EnvironmentConfig[] {
    const overrides = this.#overridesOf(head);
    const { tree, unknown } = mergeTrees(base, overrides);
    for (const { path, present } of unknown) {
      const last = String(path.at(-1));
      this.#add(this.#tree, {
        path: ['environments', head.name, ...path],
        message: `there is no ${show(last)} to unset`,
        hint: didYouMean(last, present),
        isKey: true,
      });
    }
    const locate = (complaint: Complaint): Problem => this.#locate(tree, complaint);
    const document = toDocument(tree);
    const result = configSchema.safeParse(document);
    if (result.success) {
      const environment: EnvironmentConfig = {
        name: head.name,
        tag: head.tag,
        isDefault: head.isDefault,
        config: result.data,
        document,
        locate,
      };
      for (const complaint of checkEnvironment(environment))
        this.#ofEnvironments.push({ name: head.name, problem: locate(complaint) });
      return [environment];
    }
    const found = result.error.issues.slice(0, MOST_PROBLEMS).flatMap((issue) => describeIssue(issue, tree));
    for (const complaint of found) this.#ofEnvironments.push({ name: head.name, problem: locate(complaint) });
    this.#checkRest(tree, found, { ...head, locate });
    return [];
  }

  #overridesOf({ name, overrides }: Head): Tree {
    if (overrides?.type !== 'map') return mapTree(new Map(), -1);
    for (const key of ['project', 'environments']) {
      if (!overrides.entries.has(key)) continue;
      this.#add(this.#tree, {
        path: ['environments', name, key],
        message: `an environment cannot change ${show(key)}`,
        isKey: true,
      });
    }
    const own = [...Object.keys(environmentShape), 'project', 'environments'];
    return mapTree(new Map([...overrides.entries].filter(([key]) => !own.includes(key))), overrides.offset);
  }

  /** The rules look at what is left without the wrong parts, so that all that is wrong shows at once. */
  #checkRest(
    tree: Tree,
    found: readonly Complaint[],
    environment: Omit<EnvironmentConfig, 'config' | 'document'>,
  ): void {
    const rest = without(
      tree,
      found.map((complaint) => complaint.path),
    );
    const result = configSchema.safeParse(toValue(rest));
    if (!result.success) return;
    const isTouched = (path: Path): boolean =>
      found.some((complaint) => complaint.path.slice(0, 2).every((part, index) => part === path[index]));
    for (const complaint of checkEnvironment({ ...environment, config: result.data })) {
      if (isTouched(complaint.path)) continue;
      this.#ofEnvironments.push({ name: environment.name, problem: environment.locate(complaint) });
    }
  }

  #add(tree: Tree, complaint: Complaint): void {
    this.problems.push(this.#locate(tree, complaint));
  }

  #locate(tree: Tree, { path, message, hint, isKey = false }: Complaint): Problem {
    return this.#toProblem(offsetAt(tree, path, isKey), { path: formatPath(path), message, hint });
  }
}

function toDocument(tree: Tree): ConfigDocument {
  return tree.type === 'map'
    ? Object.fromEntries([...tree.entries].map(([key, { value }]) => [key, toValue(value)]))
    : {};
}

/** `dev:` with nothing after it is an environment that overrides nothing. */
function emptyWhenNull(entry: Entry): Entry {
  const isNull = entry.value.type === 'scalar' && entry.value.value === null;
  return isNull ? { ...entry, value: mapTree(new Map(), entry.keyOffset) } : entry;
}

/** The tree without what stands at these paths. */
function without(tree: Tree, paths: readonly Path[]): Tree {
  if (paths.length === 0 || tree.type === 'scalar') return tree;
  const below = (key: string | number): readonly Path[] =>
    paths.filter((path) => path.length > 1 && String(path[0]) === String(key)).map((path) => path.slice(1));
  const isGone = (key: string | number): boolean =>
    paths.some((path) => path.length === 1 && String(path[0]) === String(key));
  if (tree.type === 'list') {
    const items = tree.items.flatMap((item, index) => (isGone(index) ? [] : [without(item, below(index))]));
    return { ...tree, items };
  }
  const kept = [...tree.entries].filter(([key]) => !isGone(key));
  return mapTree(
    new Map(kept.map(([key, entry]) => [key, { ...entry, value: without(entry.value, below(key)) }])),
    tree.offset,
  );
}
