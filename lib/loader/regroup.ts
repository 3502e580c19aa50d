/**
 * Transforms that regroup the items of a loader: filter, unbatch, window, shuffleWindow; and cache, which keeps them in memory.
 *
 * The items of the input are the samples of the result. With random access the result has random access too, except for {@link filter} and
 * {@link unbatch}, whose length is unknown until read. The cursors of a stream store the position in the input, so that a resume computes
 * no item again.
 *
 * @module
 */
import { cursorSeed } from "./cursor.ts";
import { type ItemReader, openReader } from "./iterate.ts";
import { checkUnowned, type Loader, withFields } from "./types.ts";
import { aFunction, checkCurried, checkOptionNames, demand, integer, shown } from "../validation/mod.ts";
import { gather, isPromise } from "./index_plan.ts";
import {
  type BeginEpoch,
  type DerivedEpoch,
  derivedLoader,
  deriveLoader,
  expandItems,
  indexedItems,
  itemsFingerprint,
  type PendingItem,
  pendingLoader,
  startOfPass,
  type StreamInputs,
} from "./derived_source.ts";
import { algorithm, type Seed, seedText } from "../values/mod.ts";
import { shuffleWindows, windowOrder } from "./shuffle.ts";
import { type IndexedSource, type OpenedEpochs, randomAccess } from "./source.ts";
import type { Start } from "./stream_reader.ts";

// --- combinators

/**
 * The items for which a predicate holds.
 *
 * Their number is unknown until read, so the result is a stream. As with every stream, each epoch must have the same number of items: put
 * it before `mapRandom`. Cursors count the items that passed. Put `shuffle` before it or `shuffleWindow` after it; put `shard` and `batch`
 * after it. A resume does not test earlier items again; over a stream it pulls them. `skip` and `at` test every item before theirs.
 *
 * @param holds The predicate; it returns a boolean or a promise of one, and must return the same for the same item.
 * @returns A function from loader to loader; a `TypeError` if `holds` is no function.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const even = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.filter((x) => x % 2 === 0), Loader.batch(2));
 * assert.deepEqual(await Loader.at(0)(even), [2, 4]);
 * ```
 */
export function filter<A>(holds: (item: A) => boolean | Promise<boolean>): (loader: Loader<A>) => Loader<A> {
  checkCurried(arguments, 1, "Loader.filter(holds)(loader)");
  demand("the predicate of Loader.filter", aFunction, holds);
  return (loader) => expandItems("filter", loader, async (item) => await holds(item) ? [item] : []);
}

/**
 * The items of groups, one at a time.
 *
 * The result is a stream, as with {@link filter}; cursors count the single items. Law: `unbatch ∘ batch(n)` gives the same items.
 *
 * @param loader A loader of arrays or typed arrays; another item rejects the iteration.
 * @returns The loader of their items.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const words = pipe(Loader.fromArray(["to be", "or not"]), Loader.map((line) => line.split(" ")), Loader.unbatch);
 * assert.equal(await Loader.at(2)(words), "or");
 * ```
 */
export function unbatch<A>(loader: Loader<ArrayLike<A>>): Loader<A> {
  return expandItems("unbatch", loader, (item) => {
    if (Array.isArray(item) || ArrayBuffer.isView(item)) return item as ArrayLike<unknown> as readonly A[];
    throw new TypeError(`Expected Loader.unbatch to be given arrays, found ${shown(item)}`);
  });
}

/**
 * Overlapping windows of consecutive items, such as the sequences of a time series.
 *
 * A window that would reach beyond the end of a pass is left out. Put it before `shuffle`, which then shuffles whole windows.
 *
 * @param n Items in a window, an integer from 1.
 * @param options `stride`: the distance between the starts of two windows, an integer from 1 to n, 1 by default.
 * @returns A function from loader to loader; a `TypeError` for a bad argument.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const triples = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.window(3, { stride: 2 }));
 * assert.deepEqual([Loader.length(triples), await Loader.at(1)(triples)], [2, [3, 4, 5]]);
 * ```
 */
export function window(n: number, options: { readonly stride?: number } = {}): <A>(loader: Loader<A>) => Loader<A[]> {
  checkCurried(arguments, 2, "Loader.window(n, options)(loader)");
  checkOptionNames("Loader.window", options, { stride: true });
  const { stride = 1 } = options;
  demand("n of Loader.window", integer(1), n);
  demand("stride of Loader.window", integer(1, n), stride);
  const access = ([inner]: readonly IndexedSource[], fingerprint: string): IndexedSource => {
    const { length, at } = inner!;
    const count = length < n ? 0 : Math.floor((length - n) / stride) + 1;
    return randomAccess(count, fingerprint, (position, epoch) => gather(n, (j) => at(epoch, position * stride + j)));
  };
  return <A>(loader: Loader<A>): Loader<A[]> => {
    const { seed } = checkUnowned("Loader.window", loader).source;
    const about = { fingerprint: `window ${n}/${stride}(${itemsFingerprint(loader)})`, seed };
    return deriveLoader("Loader.window", [loader], about, access, (inputs) => windowedEpoch(inputs, n, stride));
  };
}

/** An epoch of a stream's windows; an item that several windows share is computed once. */
function windowedEpoch({ pull }: StreamInputs, n: number, stride: number): DerivedEpoch {
  /** The items of the last window, each with the position after it. */
  const last: { readonly item: ReturnType<typeof shareItem>; readonly after: Start }[] = [];
  return {
    next: async () => {
      last.splice(0, last.length === n ? stride : 0).forEach(({ item }) => item.end());
      while (last.length < n) {
        const pulled = await pull(0);
        if (pulled === null) return null;
        last.push({ item: shareItem(pulled), after: pulled.after });
      }
      const shares = last.map(({ item }) => item.share());
      return { run: () => gather(n, (j) => shares[j]!.run()), drop: () => shares.forEach((share) => share.drop()) };
    },
    state: () => null,
    starts: () => [last[stride - 1]!.after],
    close: () => last.splice(0).forEach(({ item }) => item.end()),
  };
}

/** An item that several samples share: it is computed once, and dropped if every share and `end` drop it. */
function shareItem({ run, drop }: PendingItem) {
  let [value, isComputed, references]: [unknown, boolean, number] = [undefined, false, 1];
  const release = (): void => {
    if (--references === 0 && !isComputed) drop();
  };
  return {
    share: (): PendingItem => {
      references++;
      return {
        run: () => {
          if (!isComputed) [value, isComputed] = [run(), true];
          release();
          return value;
        },
        drop: release,
      };
    },
    end: release,
  };
}

/**
 * Shuffles each window of `n` items on its own: a shuffle for streams, and for files that are best read in sequence.
 *
 * Windows do not overlap, and the order is a function of the seed, the epoch and the position. So no item moves by n positions or more, a
 * resume pulls only the current window again, and the batch size and the number of ranks may change. Put it before `batch` and `shard`.
 *
 * @param n Items in a window, an integer from 2; a stream keeps that many in memory.
 * @param seed A safe integer, a bigint or a string.
 * @returns A function from loader to loader; a `TypeError` for a bad argument.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const mixed = pipe(Loader.fromIterable(() => [1, 2, 3, 4]), Loader.shuffleWindow(2, "seed"), Loader.batch(2));
 * assert.deepEqual((await Loader.at(1)(mixed)).toSorted(), [3, 4]);
 * ```
 */
export function shuffleWindow(n: number, seed: Seed): <A>(loader: Loader<A>) => Loader<A> {
  checkCurried(arguments, 2, "Loader.shuffleWindow(n, seed)(loader)");
  demand("n of Loader.shuffleWindow", integer(2), n);
  const [held, order] = [cursorSeed(seed), `${algorithm}/window ${n}:${seedText(seed).join(":")}`];
  const access = ([inner]: readonly IndexedSource[]): IndexedSource => shuffleWindows(n, seed, inner!);
  return <A>(loader: Loader<A>) => {
    checkUnowned("Loader.shuffleWindow", loader);
    const about = { fingerprint: `${itemsFingerprint(loader)} ${order}`, seed: held };
    const shuffled = deriveLoader<A>("Loader.shuffleWindow", [loader], about, access, shuffledWindowEpoch(n, seed));
    return withFields<A>(shuffled, { range: null });
  };
}

/** An epoch of a stream's shuffled windows. Its state is the number of the current window, and how many of its items were delivered. */
function shuffledWindowEpoch(n: number, seed: Seed): BeginEpoch {
  return ({ pull, at }, epoch, state) => {
    let [number, toSkip] = Array.isArray(state) ? state as unknown as readonly [number, number] : [0, 0];
    let window: readonly PendingItem[] = [];
    let given = 0;
    /** Where the input was before the current window. */
    let start = at(0);
    const fill = async (): Promise<void> => {
      start = at(0);
      const pulled: PendingItem[] = [];
      for (let item = await pull(0); item !== null; item = pulled.length < n ? await pull(0) : null) pulled.push(item);
      const order = pulled.length > 0 ? windowOrder(seed, epoch, number++, pulled.length) : () => 0;
      window = pulled.map((_, i) => pulled[order(i)]!);
      for (given = 0; given < Math.min(toSkip, window.length); given++) window[given]!.drop();
      toSkip = 0;
    };
    return {
      next: async () => {
        if (given >= window.length) await fill();
        return given < window.length ? window[given++]! : null;
      },
      state: () => given < window.length ? [number - 1, given] : [number, 0],
      starts: () => [given < window.length ? start : at(0)],
      close: () => {
        for (; given < window.length; given++) window[given]!.drop();
      },
    };
  };
}

/**
 * Keeps each item in memory once it was computed, and delivers it again in every later pass.
 *
 * It keeps the items of the first pass, in whichever pass a run resumes: put it before `shuffle` and `mapRandom`, which differ from epoch to
 * epoch. Kept items are never released; do not dispose tensors among them.
 *
 * @param loader The loader.
 * @returns The loader; a `TypeError` for a loader of tf.data, whose first pass cannot be read twice.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * let decoded = 0;
 * const data = pipe(Loader.fromArray([1, 2, 3]), Loader.map((x) => (decoded++, x)), Loader.cache, Loader.shuffle(7), Loader.repeat(4));
 * for await (const _ of Loader.iterate(data));
 * assert.equal(decoded, 3);
 * ```
 */
export function cache<A>(loader: Loader<A>): Loader<A> {
  const inner = indexedItems(checkUnowned("Loader.cache", loader));
  const kept = new Map<number, unknown>();
  if (inner === null) return cachedStream(loader, kept);
  const source: IndexedSource = {
    ...inner,
    fingerprint: loader.range === null ? `cache(${inner.fingerprint})` : inner.fingerprint,
    at: (_, position) => keptItem(kept, position, () => inner.at(0, position)),
    index: (_, position) => inner.index(0, position),
  };
  return derivedLoader<A>(source, [loader]);
}

/** The kept item of a position, or a newly computed one, which is then kept. A promise that rejects is not kept. */
function keptItem(kept: Map<number, unknown>, position: number, compute: () => unknown): unknown {
  if (kept.has(position)) return kept.get(position);
  const value = compute();
  kept.set(position, value);
  if (isPromise(value)) value.then((ready) => kept.set(position, ready), () => kept.delete(position));
  return value;
}

/** A stream of cached items. The input is opened at the first item that is not kept. */
function cachedStream<A>(loader: Loader<A>, kept: Map<number, unknown>): Loader<A> {
  const { source } = loader;
  if (source._tag === "Stream" && source.singleUse) {
    throw new TypeError(
      "Expected Loader.cache to be given a loader whose first pass can be read twice, found one of tf.data, which shuffles each " +
        "pass differently: read it into an array first",
    );
  }
  /** The length of the first pass, once it is known. */
  let length = Infinity;
  async function* samples(opened: OpenedEpochs): AsyncGenerator<PendingItem, void> {
    let reader: ItemReader<A> | undefined;
    let pulled = 0;
    try {
      for (let at = 0; at < length; at++) {
        if (kept.has(at)) {
          const value = kept.get(at);
          yield { run: () => value, drop: () => {} };
          continue;
        }
        reader ??= openReader(loader, startOfPass(loader), opened);
        for (; pulled < at; pulled++) (await reader.next())?.drop();
        const fresh = await reader.next();
        pulled++;
        if (fresh === null) length = at;
        else yield { run: () => keptItem(kept, at, fresh.run), drop: fresh.drop };
      }
    } finally {
      await reader?.close();
    }
  }
  const fingerprint = `cache(${itemsFingerprint(loader)})`;
  return pendingLoader<A>({ fingerprint, seed: source.seed, open: (_, opened) => samples(opened) }, [loader]);
}
