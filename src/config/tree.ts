import { isAlias, isMap, isScalar, isSeq, type Node, type Scalar } from 'yaml';
import { formatPath, show, type Path } from './problem.ts';

/** A value of the file that still knows where it stands: what YAML reads, without its surprises. */
export type Tree = MapTree | ListTree | ScalarTree;

interface Common {
  readonly offset: number;
  /** Values in it, itself included: aliases may make it far larger than the file. */
  readonly size: number;
  readonly depth: number;
}

export interface MapTree extends Common {
  readonly type: 'map';
  readonly entries: ReadonlyMap<string, Entry>;
}

export interface Entry {
  readonly keyOffset: number;
  readonly value: Tree;
}

interface ListTree extends Common {
  readonly type: 'list';
  readonly items: readonly Tree[];
}

interface ScalarTree extends Common {
  readonly type: 'scalar';
  readonly value: string | number | boolean | null;
}

export interface TreeProblem {
  readonly offset: number;
  readonly path: string;
  readonly message: string;
  readonly hint?: string;
}

export interface TreeResult {
  readonly tree: Tree;
  readonly problems: readonly TreeProblem[];
}

export const DEEPEST = 64;
const MOST_VALUES = 100_000;
const MOST_PROBLEMS = 100;
/** No name needs these, and as keys of a JavaScript object they are traps. */
const FORBIDDEN_KEYS = ['__proto__', 'constructor', 'prototype'];

/** Turns YAML nodes into a tree, with duplicate keys, alias bombs, odd keys and merge keys dealt with. */
export function buildTree(contents: Node | null): TreeResult {
  return new TreeBuilder().build(contents);
}

class TreeBuilder {
  readonly #problems: TreeProblem[] = [];
  readonly #anchors = new Map<string, Tree>();
  readonly #open = new Set<string>();

  build(contents: Node | null): TreeResult {
    const tree = this.#convert(contents, []);
    return { tree, problems: this.#problems };
  }

  #convert(node: unknown, path: Path): Tree {
    if (isAlias(node)) return this.#resolve(node.source, offsetOf(node), path);
    if (isScalar(node)) return this.#remember(node.anchor, scalarTree(node));
    if (!isMap(node) && !isSeq(node)) return scalarTree(null);
    const { anchor } = node;
    if (anchor !== undefined) this.#open.add(anchor);
    const tree = isMap(node) ? this.#map(node, path) : this.#list(node, path);
    if (anchor !== undefined) this.#open.delete(anchor);
    return this.#remember(anchor, this.#bounded(tree, path));
  }

  #remember(anchor: string | undefined, tree: Tree): Tree {
    if (anchor !== undefined) this.#anchors.set(anchor, tree);
    return tree;
  }

  #bounded(tree: Tree, path: Path): Tree {
    const message =
      tree.size > MOST_VALUES
        ? `aliases make this more than ${MOST_VALUES} values`
        : tree.depth > DEEPEST
          ? `is nested more than ${DEEPEST} levels deep`
          : undefined;
    if (message === undefined) return tree;
    this.#complain(tree.offset, path, message);
    return emptyScalar(tree.offset);
  }

  #map(node: { readonly items: readonly { readonly key: unknown; readonly value: unknown }[] }, path: Path): Tree {
    const entries = new Map<string, Entry>();
    const merged: Tree[] = [];
    for (const { key, value } of node.items) {
      const text = this.#key(key, path);
      if (text === undefined) continue;
      const keyOffset = offsetOf(key);
      const here = [...path, text];
      if (text === '<<' && isPlain(key)) {
        merged.push(...this.#mergeSources(this.#convert(value, here), here));
      } else if (FORBIDDEN_KEYS.includes(text)) {
        this.#complain(keyOffset, here, `the key ${show(text)} is not allowed`);
      } else if (entries.has(text)) {
        this.#complain(keyOffset, here, `the key ${show(text)} is given twice`);
      } else {
        const entry = this.#convert(value, here);
        // An empty value stands right after its key.
        entries.set(text, { keyOffset, value: entry.offset < 0 ? { ...entry, offset: keyOffset } : entry });
      }
    }
    for (const source of merged) {
      if (source.type !== 'map') continue;
      for (const [text, entry] of source.entries) if (!entries.has(text)) entries.set(text, entry);
    }
    return mapTree(entries, offsetOf(node));
  }

  #list(node: { readonly items: readonly unknown[] }, path: Path): Tree {
    const items = node.items.map((item, index) => this.#convert(item, [...path, index]));
    const size = items.reduce((sum, item) => sum + item.size, 1);
    return { type: 'list', items, offset: offsetOf(node), size, depth: 1 + deepest(items) };
  }

  #key(key: unknown, path: Path): string | undefined {
    if (isScalar(key) && key.value !== null) {
      this.#remember(key.anchor, scalarTree(key));
      return typeof key.value === 'string' ? key.value : (key.source ?? '');
    }
    this.#complain(offsetOf(key), path, 'a key must be a text');
    return undefined;
  }

  #mergeSources(tree: Tree, path: Path): readonly Tree[] {
    const sources = tree.type === 'list' ? tree.items : [tree];
    if (sources.every((source) => source.type === 'map')) return sources;
    this.#complain(tree.offset, path, 'expected a map, or a list of maps, to merge');
    return [];
  }

  #resolve(anchor: string, offset: number, path: Path): Tree {
    const tree = this.#anchors.get(anchor);
    if (tree !== undefined && !this.#open.has(anchor)) return tree;
    const message = this.#open.has(anchor)
      ? `the alias *${anchor} contains itself`
      : `no value before this is marked &${anchor}`;
    const hint = 'a text that begins with * stands in quotes, such as "*:8123"';
    this.#problems.push({ offset, path: formatPath(path), message, ...(this.#open.has(anchor) ? {} : { hint }) });
    return emptyScalar(offset);
  }

  #complain(offset: number, path: Path, message: string): void {
    if (this.#problems.length < MOST_PROBLEMS) this.#problems.push({ offset, path: formatPath(path), message });
  }
}

export function mapTree(entries: ReadonlyMap<string, Entry>, offset: number): MapTree {
  let size = 1;
  let depth = 0;
  for (const { value } of entries.values()) {
    size += value.size;
    depth = Math.max(depth, value.depth);
  }
  return { type: 'map', entries, offset, size, depth: depth + 1 };
}

/** Plain JavaScript values. */
export function toValue(tree: Tree): unknown {
  if (tree.type === 'scalar') return tree.value;
  if (tree.type === 'list') return tree.items.map(toValue);
  return Object.fromEntries([...tree.entries].map(([key, { value }]) => [key, toValue(value)]));
}

/** Where a path stands, or the nearest thing around it that is in the file. */
export function offsetAt(tree: Tree, path: Path, isKey: boolean): number {
  let current = tree;
  let offset = tree.offset;
  for (const [index, part] of path.entries()) {
    if (current.type === 'map') {
      const entry = current.entries.get(String(part));
      if (entry === undefined) return offset;
      if (isKey && index === path.length - 1) return entry.keyOffset;
      // What is missing in a map is shown at the map's key, which says more than its first line.
      offset = index === path.length - 1 ? entry.value.offset : entry.keyOffset;
      current = entry.value;
    } else {
      const item = current.type === 'list' ? current.items[Number(part)] : undefined;
      if (item === undefined) return offset;
      offset = item.offset;
      current = item;
    }
  }
  return offset;
}

/** The value at a path, undefined where there is none. */
export function valueAt(tree: Tree, path: Path): Tree | undefined {
  let current: Tree | undefined = tree;
  for (const part of path) {
    if (current?.type === 'map') current = current.entries.get(String(part))?.value;
    else current = current?.type === 'list' ? current.items[Number(part)] : undefined;
  }
  return current;
}

function scalarTree(node: Scalar | null): ScalarTree {
  const { value, source } = node ?? { value: null, source: undefined };
  const common = { offset: node === null ? -1 : offsetOf(node), size: 1, depth: 1, type: 'scalar' } as const;
  if (typeof value === 'number' || typeof value === 'boolean') {
    // `3.10`, `007` and `1e3` stay what they are written as: a version is no number.
    return { ...common, value: source === undefined || source === String(value) ? value : source };
  }
  return { ...common, value: typeof value === 'string' || value === null ? value : (source ?? '') };
}

function emptyScalar(offset: number): ScalarTree {
  return { type: 'scalar', value: null, offset, size: 1, depth: 1 };
}

function isPlain(key: unknown): boolean {
  return isScalar(key) && key.type === 'PLAIN';
}

function deepest(trees: readonly Tree[]): number {
  return trees.reduce((most, tree) => Math.max(most, tree.depth), 0);
}

function offsetOf(node: unknown): number {
  const range =
    typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range) ? node.range : [];
  return typeof range[0] === 'number' ? range[0] : -1;
}
