/**
 * Shuffles of sources with random access: the whole range at once, or window by window. Neither keeps a table.
 *
 * @module
 */
import { cursorSeed } from "./cursor.ts";
import { algorithm, permutation, type Seed, seedText } from "../values/mod.ts";
import type { IndexedSource, SampleRange } from "./source.ts";

// --- constructors

/** A source whose samples come in another order; `orderOf` maps an epoch and a position to a position of the source below. */
function reordered(source: IndexedSource, orderOf: (epoch: number, position: number) => number): IndexedSource {
  return {
    ...source,
    at: (epoch, position) => source.at(epoch, orderOf(epoch, position)),
    index: (epoch, position) => source.index(epoch, orderOf(epoch, position)),
  };
}

// --- combinators

/** Shuffles a range of samples by seed and epoch; the samples outside keep their positions. */
export function shuffleRange(seed: Seed): (range: SampleRange) => (source: IndexedSource) => IndexedSource {
  const held = cursorSeed(seed);
  return (range) => (source) => {
    const part = range.high - range.low === source.length ? "" : `[${range.low},${range.high})`;
    const fingerprint = `${source.fingerprint} ${algorithm}${part}:${seedText(seed).join(":")}`;
    return { ...reordered(source, shuffledPositions(seed, range)), seed: held, fingerprint };
  };
}

/** How many consecutive values of a permutation are computed at a time. */
const blockLength = 32;

/** The shuffled positions of a range in each epoch. Consecutive ones are computed a block at a time, which is faster. */
function shuffledPositions(seed: Seed, { low, high }: SampleRange): (epoch: number, position: number) => number {
  const length = high - low;
  let currentEpoch = 0;
  let order = permutation(seed, 0, length);
  const block = new Float64Array(blockLength);
  // The block has the values of `filled` indices of the current epoch, from `first` on. A new block is computed only if index `next` is requested.
  let [first, filled, next] = [0, 0, -1];
  const compute = (epoch: number, i: number): number => {
    if (currentEpoch !== epoch) [currentEpoch, order, filled, next] = [epoch, permutation(seed, epoch, length), 0, -1];
    if (i !== next) {
      [filled, next] = [0, i + 1];
      return order.at(i);
    }
    const count = Math.min(block.length, length - i);
    order.fill(i, count === block.length ? block : block.subarray(0, count));
    [first, filled, next] = [i, count, i + count];
    return block[0]!;
  };
  return (epoch, position) => {
    const i = position - low;
    const j = i - first;
    return low + (epoch === currentEpoch && j >= 0 && j < filled ? block[j]! : compute(epoch, i));
  };
}

/** Shuffles each window of `size` samples on its own, by {@link windowOrder}. The caller sets the seed and the fingerprint. */
export function shuffleWindows(size: number, seed: Seed, source: IndexedSource): IndexedSource {
  let [key, order] = ["", (i: number): number => i];
  return reordered(source, (epoch, position) => {
    const window = Math.floor(position / size);
    const next = `${epoch}:${window}`;
    if (key !== next) {
      [key, order] = [next, windowOrder(seed, epoch, window, Math.min(size, source.length - window * size))];
    }
    return window * size + order(position - window * size);
  });
}

/** The order within one window of this many samples. */
export function windowOrder(seed: Seed, epoch: number, window: number, length: number): (index: number) => number {
  return permutation(JSON.stringify([...seedText(seed), window]), epoch, length).at;
}
