/**
 * Curves of metrics, reduced to what a screen can show.
 *
 * @module
 */
// --- types

/** The points of a curve. */
export interface Points {
  readonly steps: readonly number[];
  readonly values: readonly number[];
}

// --- combinators

/** At most `most` points of a curve: first, last, and the least and the greatest of equal spans of steps. */
export function decimate({ steps, values }: Points, most: number): Points {
  if (steps.length <= most) return { steps, values };
  const kept = new Set<number>([0, steps.length - 1]);
  const spans = Math.max(1, Math.floor((most - 2) / 2));
  const [first, last] = [steps[0]!, steps.at(-1)!];
  let [span, low, high] = [-1, 0, 0];
  const keep = (): void => void (span >= 0 && kept.add(low).add(high));
  for (let i = 0; i < steps.length; i++) {
    const own = Math.min(spans - 1, Math.floor(spans * (steps[i]! - first) / (last - first || 1)));
    if (own !== span) {
      keep();
      [span, low, high] = [own, i, i];
    }
    if (values[i]! < values[low]!) low = i;
    if (values[i]! > values[high]!) high = i;
  }
  keep();
  const order = [...kept].sort((a, b) => a - b);
  return { steps: order.map((i) => steps[i]!), values: order.map((i) => values[i]!) };
}
