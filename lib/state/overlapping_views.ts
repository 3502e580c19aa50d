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
 * @param views Views of any buffers, in the order of the capture.
 * @returns The two views in that order, or undefined if no bytes are shared.
 */
export function overlapping(views: readonly View[]): readonly View[] | undefined {
  const buffers = new Map<ArrayBufferLike, View[]>();
  for (const view of views) {
    const { buffer } = view.array;
    const ofBuffer = buffers.get(buffer);
    if (ofBuffer === undefined) buffers.set(buffer, [view]);
    else ofBuffer.push(view);
  }
  for (const ofBuffer of buffers.values()) {
    const sorted = ofBuffer.filter(({ array }) => array.byteLength > 0)
      .toSorted((a, b) => a.array.byteOffset - b.array.byteOffset);
    const second = sorted.findIndex(({ array }, i) => i > 0 && array.byteOffset < endOf(sorted[i - 1]!));
    if (second > 0) return ofBuffer.filter((view) => view === sorted[second - 1] || view === sorted[second]);
  }
  return undefined;
}

function endOf({ array }: View): number {
  return array.byteOffset + array.byteLength;
}
