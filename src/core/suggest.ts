/** Longer texts are no typing errors of a name, and comparing them costs time. */
const LONGEST = 64;

/** The name that was probably meant, or undefined when none is near. */
export function suggest(text: string, names: readonly string[]): string | undefined {
  if (text.length === 0 || text.length > LONGEST) return undefined;
  const wanted = text.toLowerCase();
  const allowed = Math.max(1, Math.floor(wanted.length / 3));
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of names) {
    if (name.length > LONGEST) continue;
    const distance = editDistance(wanted, name.toLowerCase());
    if (
      distance <= allowed &&
      distance < Math.max(wanted.length, name.length) &&
      (best === undefined || distance < best.distance)
    ) {
      best = { name, distance };
    }
  }
  return best?.name ?? names.find((name) => wanted.length >= 3 && name.toLowerCase().startsWith(wanted));
}

/** Insertions, deletions, replacements and swapped neighbours between two texts. */
function editDistance(left: string, right: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const isSame = left[row - 1] === right[column - 1];
      let cost = Math.min(at(last, column) + 1, at(current, column - 1) + 1, at(last, column - 1) + (isSame ? 0 : 1));
      const isSwapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (isSwapped) cost = Math.min(cost, at(beforeLast, column - 2) + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, right.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
