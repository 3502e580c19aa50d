/**
 * Bounded concurrency over a list, with the results in the order of the list.
 *
 * @module
 */
// --- constructors

/** The most items in progress at once. */
const concurrency = 16;

// --- combinators

/**
 * Runs a function on each item, up to 16 at a time.
 *
 * @param items The items; the next one is taken only when its run can start.
 * @param run What to do with each.
 * @returns Each item with its result, in the order of the items. At most 16 results are held.
 */
export async function* inOrder<A, B>(
  items: Iterable<A>,
  run: (item: A) => Promise<B>,
): AsyncGenerator<readonly [A, B]> {
  const inProgress: Promise<readonly [A, B]>[] = [];
  for (const item of items) {
    inProgress.push(run(item).then((result) => [item, result] as const));
    const first = inProgress.length < concurrency ? undefined : inProgress.shift();
    if (first !== undefined) yield await first;
  }
  for (const next of inProgress) yield await next;
}
