/**
 * Typed arrays that share bytes: a write through one is visible through the other, which a restore could not reproduce.
 *
 * @module
 */
import type { TypedArray } from "./array.ts";

// --- types

/** A typed array in plain data, and its path. */
export interface View {
  readonly array: TypedArray;
  readonly path: string;
}

// --- combinators

/**
 * The first two views of one buffer that overlap.
 *
 * @param views The views of one buffer, in the order of the capture.
 * @returns The two views in that order, or undefined if no bytes are shared.
 */
export function overlapping(views: readonly View[]): readonly [first: View, second: View] | undefined {
  if (views.length < 2) return undefined;
  const sorted = views.filter(({ array }) => array.byteLength > 0)
    .toSorted((a, b) => a.array.byteOffset - b.array.byteOffset);
  let last = sorted[0];
  for (const view of sorted.slice(1)) {
    if (last !== undefined && view.array.byteOffset < endOf(last)) {
      return views.indexOf(last) < views.indexOf(view) ? [last, view] : [view, last];
    }
    last = view;
  }
  return undefined;
}

function endOf({ array }: View): number {
  return array.byteOffset + array.byteLength;
}
