/**
 * Which layers of a saved model are which of a live one, if the two do not have the same layers.
 *
 * @module
 */

// --- types

/** What a layer is recognized by. */
export interface LayerMark {
  /** The name that the user gave; null if there is none. */
  readonly name: string | null;
  /** Its class and its config as text. */
  readonly likeness: () => string;
  /** The shapes of its weights as text; undefined if they are not known. */
  readonly shapes: () => string | undefined;
}

/** The layers that are the same, and those that only one side has, by position. */
export interface LayerAlignment {
  readonly pairs: readonly (readonly [saved: number, live: number])[];
  readonly gone: readonly number[];
  readonly added: readonly number[];
  /** Layers that both sides have, by name, in another order. */
  readonly moved: readonly (readonly [saved: number, live: number])[];
  /** Layers with other names that are alike, more on one side than on the other: which is which is not known. */
  readonly unsure: readonly { readonly saved: readonly number[]; readonly live: readonly number[] }[];
}

// --- constructors

/** How sure it is that two layers are one: by the same name, by likeness without names, by likeness and shapes under another name. */
const [sameName, unnamed, renamed] = [5, 4, 2];

function haveSameShapes(saved: LayerMark, live: LayerMark): boolean {
  const [before, now] = [saved.shapes(), live.shapes()];
  return before === undefined || now === undefined || before === now;
}

/** @param common The names that both sides have. */
function scoreOf(saved: LayerMark, live: LayerMark, common: ReadonlySet<string | null>): number {
  if (saved.name !== null && saved.name === live.name) return sameName;
  if (common.has(saved.name) || common.has(live.name)) return 0;
  if (saved.likeness() !== live.likeness()) return 0;
  if (saved.name === null && live.name === null) return unnamed;
  return haveSameShapes(saved, live) ? renamed : 0;
}

/** Whether layers belong together by position: the names that both lists have are in the same places, or both have the same names. */
function agreesByPosition(saved: readonly LayerMark[], live: readonly LayerMark[]): boolean {
  if (saved.length !== live.length) return false;
  const [before, now] = [saved, live].map((side) =>
    new Map(side.flatMap(({ name }, i) => name === null ? [] : [[name, i]]))
  );
  const common = [...before!].filter(([name]) => now!.has(name));
  const isPermutation = common.length === before!.size && common.length === now!.size;
  if (isPermutation) return true;
  // A layer of another name and other shapes is another layer.
  const isOther = (mark: LayerMark, i: number): boolean =>
    mark.name !== null && live[i]!.name !== null && mark.name !== live[i]!.name && !haveSameShapes(mark, live[i]!);
  return common.every(([name, i]) => now!.get(name) === i) && !saved.some(isOther);
}

/** A mark that computes its texts once. */
function remembered({ name, likeness, shapes }: LayerMark): LayerMark {
  let [text, shapesText] = [undefined as string | undefined, undefined as string | undefined];
  return { name, likeness: () => text ??= likeness(), shapes: () => shapesText ??= shapes() };
}

/** The most pairs of layers that are compared, so that models of thousands of layers need little memory. */
const mostPairs = 4_000_000;

/** The pairs with the best score in sum, in the order of both lists. */
function bestPairs(saved: readonly LayerMark[], live: readonly LayerMark[]): LayerAlignment["pairs"] {
  const [n, m] = [saved.length, live.length];
  const names = new Set(live.map(({ name }) => name));
  const common = new Set(saved.map(({ name }) => name).filter((name) => name !== null && names.has(name)));
  // The best score of the layers from each pair of positions to the ends.
  const best = Array.from({ length: n + 1 }, () => new Array<number>(m + 1).fill(0));
  const paired = (i: number, j: number): number => {
    const score = scoreOf(saved[i]!, live[j]!, common);
    return score === 0 ? 0 : score + best[i + 1]![j + 1]!;
  };
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) best[i]![j] = Math.max(paired(i, j), best[i + 1]![j]!, best[i]![j + 1]!);
  }
  const pairs: (readonly [number, number])[] = [];
  for (let [i, j] = [0, 0]; i < n && j < m;) {
    const rest = best[i]![j]!;
    if (rest > 0 && paired(i, j) === rest) pairs.push([i++, j++]);
    else if (best[i]![j + 1] === rest) j++;
    else i++;
  }
  return pairs;
}

/** Layers with other names that are alike, where one side has more of them. */
function unsureAmong(
  saved: readonly LayerMark[],
  live: readonly LayerMark[],
  pairs: LayerAlignment["pairs"],
): LayerAlignment["unsure"] {
  const renamed = pairs.filter(([i, j]) => saved[i]!.name !== live[j]!.name);
  const sure = pairs.filter(([i, j]) => saved[i]!.name === live[j]!.name);
  const names = new Set(live.map(({ name }) => name));
  const savedNames = new Set(saved.map(({ name }) => name));
  const groups = new Map<string, { readonly saved: readonly number[]; readonly live: readonly number[] }>();
  for (const [, j] of renamed) {
    const isLike = (mark: LayerMark): boolean =>
      mark.likeness() === live[j]!.likeness() && haveSameShapes(mark, live[j]!);
    const alike = {
      saved: [...saved.keys()].filter((i) =>
        !sure.some((pair) => pair[0] === i) && !names.has(saved[i]!.name ?? "") && isLike(saved[i]!)
      ),
      live: [...live.keys()].filter((k) =>
        !sure.some((pair) => pair[1] === k) && !savedNames.has(live[k]!.name ?? "") && isLike(live[k]!)
      ),
    };
    if (alike.saved.length !== alike.live.length) groups.set(String(alike.live), alike);
  }
  return [...groups.values()];
}

// --- combinators

/**
 * Aligns two lists of layers, in order, so that as much as possible is the same: a longest common subsequence with scores.
 *
 * @param saved The saved layers.
 * @param live The live layers.
 * @returns The alignment. Undefined if both sides are left with layers without names, which could be the same ones with other configs, or if there
 *   are too many layers to compare.
 */
export function alignLayers(saved: readonly LayerMark[], live: readonly LayerMark[]): LayerAlignment | undefined {
  if (agreesByPosition(saved, live)) {
    return { pairs: saved.map((_, i) => [i, i]), gone: [], added: [], moved: [], unsure: [] };
  }
  if (saved.length * live.length > mostPairs) return undefined;
  const [own, theirs] = [live.map(remembered), saved.map(remembered)];
  const best = bestPairs(theirs, own);
  const unsure = unsureAmong(theirs, own, best);
  const pairs = best.filter(([i, j]) => !unsure.some((group) => group.saved.includes(i) || group.live.includes(j)));
  const isTaken = (side: "saved" | "live", i: number): boolean =>
    pairs.some((pair) => pair[side === "saved" ? 0 : 1] === i) || unsure.some((group) => group[side].includes(i));
  const before = [...saved.keys()].filter((i) => !isTaken("saved", i));
  const now = [...live.keys()].filter((j) => !isTaken("live", j));
  const moved = before.flatMap((i) =>
    now.filter((j) => saved[i]!.name !== null && saved[i]!.name === live[j]!.name).map((j) => [i, j] as const)
  );
  const gone = before.filter((i) => !moved.some(([from]) => from === i));
  const added = now.filter((j) => !moved.some(([, to]) => to === j));
  const isOpen = gone.some((i) => saved[i]!.name === null) && added.some((j) => live[j]!.name === null);
  return isOpen ? undefined : { pairs, gone, added, moved, unsure };
}
