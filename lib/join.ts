/**
 * One loader from several: side by side, one after another, mixed.
 *
 * The items of the parts are the samples of the whole: positions count them, and `shuffle`, `batch` and `shard` go on from
 * there. Over random access the whole has random access; where one part is a stream it is a stream.
 *
 * @module
 */
import { type Loader, unowned } from "./pipeline.ts";
import { gather } from "./plan.ts";
import { demand, integer, isPlainRecord, listOf, must, shown } from "./rules.ts";
import { type Held, indexedItems, isEndless, saidOf, saidOfAll, sealed, woven } from "./seal.ts";
import { type Indexed, picked, zipped as zippedSource } from "./source.ts";
import { mismatched } from "./walk.ts";

// --- types

/** Loaders by place or by name. */
export type Parts = readonly Loader<unknown>[] | { readonly [name: string]: Loader<unknown> };

/** The items of {@link Parts}, by place or by name. */
export type Zipped<P> = { -readonly [K in keyof P]: P[K] extends Loader<infer A> ? A : never };

// --- constructors

function allIndexed(parts: readonly Loader<unknown>[]): readonly Indexed[] | null {
  const sources = parts.map(indexedItems);
  return sources.every((source) => source !== null) ? sources : null;
}

function someLoaders(name: string, parts: readonly Loader<unknown>[]): void {
  if (!Array.isArray(parts)) {
    throw new TypeError(`Expected ${name} to be given an array of loaders, found ${shown(parts)}`);
  }
  if (parts.length === 0) throw new TypeError(`Expected ${name} to be given at least one loader, found none`);
  parts.forEach((part) => unowned(name, part));
}

/**
 * Several loaders side by side: the items of one place together.
 *
 * All must have as many items; one that never ends goes with any.
 *
 * @param parts The loaders, in an array or by name.
 * @returns A loader of tuples, or of records. Known lengths that differ are a `TypeError`; streams that turn out to differ reject
 * the iteration with the cause `CursorMismatch`.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const labelled = Loader.zip({ x: Loader.fromArray(["a", "b"]), y: Loader.fromArray([0, 1]) });
 * assert.deepEqual(await Loader.at(1)(labelled), { x: "b", y: 1 });
 * ```
 */
export function zip<const P extends Parts>(parts: P): Loader<Zipped<P>> {
  demand(
    "what Loader.zip is given",
    must("an array or a record of loaders", (x) => Array.isArray(x) || isPlainRecord(x)),
    parts,
  );
  const names = Array.isArray(parts) ? null : Object.keys(parts);
  const list = Object.values(parts) as readonly Loader<unknown>[];
  someLoaders("Loader.zip", list);
  const join = (values: readonly unknown[]): unknown =>
    names === null ? values : Object.fromEntries(names.map((name, k) => [name, values[k]]));
  const said = saidOfAll("zip", list.map((part, k) => `${names === null ? "" : `${names[k]}: `}${saidOf(part)}`));
  const indexed = allIndexed(list);
  if (indexed !== null) {
    const lengths = [...new Set(indexed.map(({ length }) => length))].filter((length) => length !== Infinity);
    if (lengths.length <= 1) return sealed(zippedSource(indexed, said, join), list);
    throw new TypeError(
      `Expected the loaders of Loader.zip to have as many items, found ${lengths.join(" and ")}: take as many of each`,
    );
  }
  const bounded = list.map((part) => !isEndless(part));
  return woven("Loader.zip", list, { fingerprint: said, seed: null }, ({ pull }, _, state) => {
    let count = typeof state === "number" ? state : 0;
    return {
      next: async () => {
        const pulls = list.map((_, k) => pull(k));
        const pulled = await Promise.all(pulls).catch((cause) => {
          for (const one of pulls) one.then((there) => there?.drop(), () => {});
          throw cause;
        });
        const there = pulled.filter((one) => one !== null);
        const drop = (): void => there.forEach((one) => one.drop());
        if (there.length < pulled.length) {
          drop();
          const longer = pulled.findIndex((one, k) => one !== null && bounded[k]);
          if (longer < 0) return null;
          const path = `zip/${names?.[longer] ?? longer}`;
          throw mismatched([{ path, kind: "length", expected: String(count), found: `at least ${count + 1}` }]);
        }
        count++;
        const run = async (): Promise<unknown> => join(await gather(there.length, (k) => there[k]!.run()));
        return { run, drop };
      },
      state: () => count,
    };
  });
}

/**
 * Loaders one after another.
 *
 * @param parts The loaders; only the last may be without end.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(await Loader.at(2)(Loader.concat([Loader.fromArray([1, 2]), Loader.fromArray([3])])), 3);
 * ```
 */
export function concat<A>(parts: readonly Loader<A>[]): Loader<A> {
  someLoaders("Loader.concat", parts);
  const endless = parts.slice(0, -1).findIndex(isEndless);
  if (endless >= 0) {
    throw new TypeError(
      `Expected only the last loader of Loader.concat to be without end, found one at ${endless}: give its repeat a number of epochs`,
    );
  }
  const said = saidOfAll("concat", parts.map(saidOf));
  const indexed = allIndexed(parts);
  if (indexed === null) {
    return woven("Loader.concat", parts, { fingerprint: said, seed: null }, ({ pull }, _, state) => {
      let part = typeof state === "number" ? state : 0;
      const next = async (): Promise<Held | null> => {
        for (; part < parts.length; part++) {
          const pulled = await pull(part);
          if (pulled !== null) return pulled;
        }
        return null;
      };
      return { next, state: () => part };
    });
  }
  const ends = indexed.map(((end) => ({ length }: Indexed) => end += length)(0));
  const pick = (position: number): readonly [number, number] => {
    const part = ends.findIndex((end) => position < end);
    return [part, position - (ends[part - 1] ?? 0)];
  };
  return sealed(picked(indexed, ends.at(-1)!, said, pick), parts);
}

const weightsRule = listOf(integer(1, 1 << 20));

/**
 * Loaders mixed in exact proportions: of every so many items as the weights add up to, each loader gives as many as its weight says.
 *
 * The order in which they take turns is fixed and even (the loader furthest behind its share comes next), so that any item
 * can be found by its number. The mix ends before the first item that its loader no longer has: repeat those that are short.
 *
 * @param weights Integers from 1, one for each loader: 7 and 3, not 0.7 and 0.3. Their sum is at most 2^20.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const [web, books] = [Loader.fromArray(["w", "w", "w", "w", "w", "w"]), pipe(Loader.fromArray(["b"]), Loader.repeat())];
 * const seen: string[] = [];
 * for await (const [item] of Loader.iterate(pipe([web, books], Loader.mix([3, 1])))) seen.push(item);
 * assert.equal(seen.join(""), "wwbwwwbw");
 * ```
 */
export function mix(weights: readonly number[]): <A>(parts: readonly Loader<A>[]) => Loader<A> {
  demand("weights of Loader.mix", weightsRule, weights);
  const round = weights.reduce((a, b) => a + b, 0);
  demand("the sum of the weights of Loader.mix", integer(1, 1 << 20), round);
  const turns = turnsOf(weights, round);
  const before = weights.map(() => 0);
  const rank = turns.map((part) => before[part]!++);
  const places = weights.map((_, k) => turns.flatMap((part, i) => part === k ? [i] : []));
  const pick = (position: number): readonly [number, number] => {
    const [whole, i] = [Math.floor(position / round), position % round];
    const part = turns[i]!;
    return [part, whole * weights[part]! + rank[i]!];
  };
  return <A>(parts: readonly Loader<A>[]) => {
    someLoaders("Loader.mix", parts);
    if (parts.length !== weights.length) {
      throw new TypeError(
        `Expected ${weights.length} loaders for as many weights of Loader.mix, found ${parts.length}`,
      );
    }
    const said = saidOfAll(`mix ${weights.join(":")}`, parts.map(saidOf));
    const indexed = allIndexed(parts);
    if (indexed === null) {
      return woven<A>("Loader.mix", parts, { fingerprint: said, seed: null }, ({ pull }, _, state) => {
        let i = typeof state === "number" ? state : 0;
        return { next: () => pull(turns[i++ % round]!), state: () => i };
      });
    }
    const ends = indexed.map(({ length }, k) => {
      if (length === Infinity) return Infinity;
      const weight = weights[k]!;
      return Math.floor(length / weight) * round + places[k]![length % weight]!;
    });
    return sealed(picked(indexed, Math.min(...ends), said, pick), parts);
  };
}

/** Whose turn it is in a round: that of the part furthest behind its share. */
function turnsOf(weights: readonly number[], round: number): readonly number[] {
  const behind = weights.map(() => 0);
  return Array.from({ length: round }, () => {
    let most = 0;
    for (const [k, weight] of weights.entries()) {
      behind[k]! += weight;
      if (behind[k]! > behind[most]!) most = k;
    }
    behind[most]! -= round;
    return most;
  });
}
