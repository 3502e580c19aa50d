/**
 * The nearest name to a misspelt one, for the hints in errors.
 *
 * @module
 */

// --- combinators

/** The Damerau-Levenshtein distance (optimal string alignment) of two words, ignoring case: edits and exchanges of neighbours. */
function editDistance(a: string, b: string): number {
  const [from, to] = [a.toLowerCase(), b.toLowerCase()];
  const rows = [Array.from({ length: to.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      const exchanged = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      row.push(Math.min(
        rows[i - 1]![j]! + 1,
        row[j - 1]! + 1,
        rows[i - 1]![j - 1]! + (same ? 0 : 1),
        exchanged ? rows[i - 2]![j - 2]! + 1 : Infinity,
      ));
    }
    rows.push(row);
  }
  return rows.at(-1)!.at(-1)!;
}

/**
 * The name nearest to a misspelt one.
 *
 * @param found The misspelt name.
 * @param names The names there are.
 * @param allowed The most edits for a word of that many letters.
 * @returns The nearest name, undefined if none is near, or if the word has more than 60 letters.
 */
export function nearest(
  found: string,
  names: readonly string[],
  allowed: (letters: number) => number,
): string | undefined {
  // Longer words take long to compare.
  if (found.length > 60) return undefined;
  const most = (name: string): number => allowed(Math.max(found.length, name.length));
  return names.filter((name) => Math.abs(found.length - name.length) <= most(name))
    .map((name) => ({ name, far: editDistance(found, name) }))
    .filter(({ name, far }) => far <= most(name))
    .sort((a, b) => a.far - b.far)[0]?.name;
}
