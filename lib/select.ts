/**
 * From a loader one whose items are not those it was given, one for one: fewer, more, longer, mixed within windows, or kept.
 *
 * The items of the loader below are the samples of the one above. Over random access it has random access, but for
 * {@link filter} and {@link unbatch}, which no arithmetic can foresee; the cursors of a stream note where in the loader below
 * they stand, so that resuming computes nothing again.
 *
 * @module
 */
import { cursorSeed } from "./cursor.ts";
import { checkOptionNames } from "./option_names.ts";
import { changed, checked, type Loader, unowned } from "./pipeline.ts";
import { gather, isPromise } from "./plan.ts";
import { aFunction, demand, integer, shown } from "./rules.ts";
import { beginning, expanded, type Held, heldSamples, indexedItems, saidOf, sealed, shared, woven } from "./seal.ts";
import type { Seed } from "./seed.ts";
import { type Indexed, numbered, shuffledWindows, type Stream, together, windowed, windowOrder } from "./source.ts";
import { passOf, type Start, type Walk, walk } from "./walk.ts";

// --- combinators

/**
 * The items for which a predicate holds.
 *
 * How many there are is known only by reading, so the result is a stream, and as with every stream each epoch must have as
 * many: put it before `mapRandom`. Positions count the items that passed, `shuffle`
 * comes before it (or `shuffleWindow` after it), `shard` and `batch` after it. Its cursors note where in the loader below they
 * stand: over random access a resume tests nothing again, over a stream it pulls but tests nothing. `skip` and `at` test
 * all they pass.
 *
 * @param holds The predicate, or a promise of its answer; it must answer the same for the same item.
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
  demand("the predicate of Loader.filter", aFunction, holds);
  return (loader) =>
    expanded(
      "Loader.filter",
      checked("Loader.filter", loader),
      `filter(${saidOf(loader)})`,
      async (item) => await holds(item) ? [item] : [],
    );
}

/**
 * The items of groups, one at a time.
 *
 * A stream, as {@link filter} is: positions count the items inside. Law: `unbatch ∘ batch(n)` gives the same items.
 *
 * @param loader A loader of arrays.
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
  return expanded(
    "Loader.unbatch",
    checked("Loader.unbatch", loader),
    `unbatch(${saidOf(loader)})`,
    (item) => {
      if (Array.isArray(item) || ArrayBuffer.isView(item)) return item as ArrayLike<unknown> as readonly A[];
      throw new TypeError(`Expected Loader.unbatch to be given arrays, found ${shown(item)}`);
    },
  );
}

/**
 * Overlapping windows of consecutive items: sequences.
 *
 * A window that would reach beyond the end of a pass is left out. Put it before `shuffle`: windows are samples then.
 *
 * @param n Items in a window, an integer from 1.
 * @param options `stride`: from one window's start to the next one's, an integer from 1 to n, 1 by default.
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
  checkOptionNames("Loader.window", options, { stride: true });
  const { stride = 1 } = options;
  demand("n of Loader.window", integer(1), n);
  demand("stride of Loader.window", integer(1, n), stride);
  return <A>(loader: Loader<A>): Loader<A[]> => {
    const inner = indexedItems(unowned("Loader.window", loader));
    const said = `window ${n}/${stride}(${saidOf(loader)})`;
    if (inner !== null) {
      const length = inner.length < n ? 0 : Math.floor((inner.length - n) / stride) + 1;
      return sealed<A[]>({
        ...numbered(length, said, () => undefined, together([inner])),
        seed: inner.seed,
        at: (epoch, position) => gather(n, (j) => inner.at(epoch, position * stride + j)),
      }, [loader]);
    }
    return woven("Loader.window", [loader], { fingerprint: said, seed: loader.source.seed }, ({ pull }) => {
      /** The items of the last window, each with the place after it. */
      const ring: { readonly one: ReturnType<typeof shared>; readonly after: Start }[] = [];
      return {
        next: async () => {
          ring.splice(0, ring.length === n ? stride : 0).forEach(({ one }) => one.end());
          while (ring.length < n) {
            const pulled = await pull(0);
            if (pulled === null) return null;
            ring.push({ one: shared(pulled), after: pulled.after });
          }
          const held = ring.map(({ one }) => one.share());
          return { run: () => gather(n, (j) => held[j]!.run()), drop: () => held.forEach((one) => one.drop()) };
        },
        state: () => null,
        starts: () => [ring[stride - 1]!.after],
        close: () => ring.splice(0).forEach(({ one }) => one.end()),
      };
    });
  };
}

/**
 * Items in an order that mixes each window of `n` in itself: a shuffle for streams, and for files best read in sequence.
 *
 * Windows do not overlap and each is a permutation of its own, so that the order is a function of seed, epoch and
 * place alone: no item moves by n places or more, resuming pulls the window it stands in again and no more, and batch size and
 * number of ranks may change. Put it before `batch` and `shard`.
 *
 * @param n Items in a window, an integer from 2; a stream holds as many.
 * @param seed A safe integer, a bigint or a string.
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
  demand("n of Loader.shuffleWindow", integer(2), n);
  const held = cursorSeed(seed);
  return <A>(loader: Loader<A>) => {
    const inner = indexedItems(unowned("Loader.shuffleWindow", loader));
    if (inner !== null) return changed<A>(sealed<A>(shuffledWindows(n, seed)(inner), [loader]), { range: null });
    const about = { fingerprint: windowed(saidOf(loader), n, seed), seed: held };
    return woven<A>("Loader.shuffleWindow", [loader], about, ({ pull, at }, epoch, state) => {
      let [number, skipped] = Array.isArray(state) ? state as unknown as readonly [number, number] : [0, 0];
      let given = 0;
      let window: readonly Held[] = [];
      let order = (i: number): number => i;
      let start = at(0);
      const fill = async (): Promise<void> => {
        start = at(0);
        const next: Held[] = [];
        for (let pulled = await pull(0); pulled !== null; pulled = next.length < n ? await pull(0) : null) {
          next.push(pulled);
        }
        if (next.length > 0) order = windowOrder(seed, epoch, number++, next.length);
        for (given = 0; given < Math.min(skipped, next.length); given++) next[order(given)]!.drop();
        [window, skipped] = [next, 0];
      };
      return {
        next: async () => {
          if (given >= window.length) await fill();
          return given < window.length ? window[order(given++)]! : null;
        },
        state: () => given < window.length ? [number - 1, given] : [number, 0],
        starts: () => [given < window.length ? start : at(0)],
        close: () => {
          for (; given < window.length; given++) window[order(given)]!.drop();
        },
      };
    });
  };
}

/**
 * Keeps each item in memory once it was computed, and gives it again in every later pass.
 *
 * What is kept are the items of the first pass, whichever pass a run resumes in: put it before `shuffle` and `mapRandom`,
 * which change from epoch to epoch. Nothing is ever let go of, and tensors that are kept must not be disposed.
 *
 * @param loader The loader; one of `tf.data` is a `TypeError`, as its first pass cannot be read twice.
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
  const inner = indexedItems(unowned("Loader.cache", loader));
  const kept = new Map<number, unknown>();
  const keep = (position: number, compute: () => unknown): unknown => {
    if (kept.has(position)) return kept.get(position);
    const value = compute();
    kept.set(position, value);
    if (isPromise(value)) value.then((there) => kept.set(position, there), () => kept.delete(position));
    return value;
  };
  if (inner === null) return cachedStream(loader, kept, keep);
  const source: Indexed = {
    ...inner,
    fingerprint: loader.range === null ? `cache(${inner.fingerprint})` : inner.fingerprint,
    at: (_, position) => keep(position, () => inner.at(0, position)),
    index: (_, position) => inner.index(0, position),
  };
  return sealed<A>(source, [loader]);
}

function cachedStream<A>(
  loader: Loader<A>,
  kept: ReadonlyMap<number, unknown>,
  keep: (position: number, compute: () => unknown) => unknown,
): Loader<A> {
  if (loader.source._tag === "Stream" && loader.source.once) {
    throw new TypeError(
      "Expected Loader.cache to be given a loader whose pass can be read twice, found one of tf.data, which shuffles anew each " +
        "time: read it into an array first",
    );
  }
  let total = Infinity;
  const source: Stream = {
    _tag: "Stream",
    length: null,
    once: false,
    fingerprint: `cache(${saidOf(loader)})`,
    seed: loader.source.seed,
    open: (_, run) => {
      let [going, pulled, position]: [Walk<A> | undefined, number, number] = [undefined, 0, 0];
      return {
        next: async () => {
          const here = position++;
          if (here >= total) return { done: true, value: undefined };
          if (kept.has(here)) {
            const value = kept.get(here);
            return { done: false, value: { run: () => value, drop: () => {} } satisfies Held };
          }
          going ??= walk(passOf(loader, 0), beginning(loader), run);
          for (; pulled < here; pulled++) (await going.next())?.drop();
          const fresh = await going.next();
          pulled++;
          if (fresh !== null) return { done: false, value: { run: () => keep(here, fresh.run), drop: fresh.drop } };
          total = here;
          await going.close();
          return { done: true, value: undefined };
        },
        return: () => going?.close(),
      };
    },
    drop: (held) => (held as Held).drop(),
  };
  return heldSamples<A>(source, [loader]);
}
