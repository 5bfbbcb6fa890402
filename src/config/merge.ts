import type { Path } from './problem.ts';
import { mapTree, type Entry, type Tree } from './tree.ts';

export interface Unset {
  readonly path: Path;
  /** What could have been unset there. */
  readonly present: readonly string[];
}

export interface Merged {
  readonly tree: Tree;
  /** Keys set to null that were not there: most likely a typing error. */
  readonly unknown: readonly Unset[];
}

/** Lays one tree over another: a map merges, a list or scalar replaces, null takes the key away. */
export function mergeTrees(base: Tree, over: Tree, path: Path = []): Merged {
  if (base.type !== 'map' || over.type !== 'map') return { tree: over, unknown: [] };
  const entries = new Map<string, Entry>(base.entries);
  const unknown: Unset[] = [];
  for (const [key, entry] of over.entries) {
    const here = [...path, key];
    const before = base.entries.get(key);
    if (isNull(entry.value) && !nullIsValue(here)) {
      if (!entries.delete(key)) unknown.push({ path: here, present: [...base.entries.keys()] });
    } else if (before === undefined) {
      entries.set(key, entry);
    } else {
      const merged = mergeTrees(before.value, entry.value, here);
      // What both have stays where the base has it; only what replaces something stands at the override.
      const { keyOffset } = merged.tree.type === 'map' && before.value.type === 'map' ? before : entry;
      entries.set(key, { keyOffset, value: merged.tree });
      unknown.push(...merged.unknown);
    }
  }
  return { tree: mapTree(entries, base.offset), unknown };
}

/** In `images.NAME.build.args`, null means: from cu's environment. */
function nullIsValue(path: Path): boolean {
  return path.length === 5 && path[0] === 'images' && path[2] === 'build' && path[3] === 'args';
}

function isNull(tree: Tree): boolean {
  return tree.type === 'scalar' && tree.value === null;
}
