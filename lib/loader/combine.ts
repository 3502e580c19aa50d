/**
 * Combines several loaders into one: zip, concat, mix.
 *
 * The items of the inputs are the samples of the result: cursors count them, and `shuffle`, `batch` and `shard` may follow. The result has
 * random access if all inputs have it; else it is a stream.
 *
 * @module
 */
import { checkUnowned, type Loader } from "./types.ts";
import { gather, whenReady } from "./index_plan.ts";
import { checkCurried, demand, integer, isPlainRecord, listOf, must, shown } from "../validation/mod.ts";
import { type BeginEpoch, countFromState, deriveLoader, isEndless, itemsFingerprint } from "./derived_source.ts";
import { combinedFingerprint } from "./fingerprint.ts";
import { consecutive, type IndexedSource, randomAccess } from "./source.ts";
import { mismatchError, type PulledItem } from "./stream_reader.ts";

// --- types

/** Loaders in an array or by name. */
export type LoaderParts = readonly Loader<unknown>[] | { readonly [name: string]: Loader<unknown> };

/** The items of {@link LoaderParts}, in an array or by name. */
export type Zipped<P> = { -readonly [K in keyof P]: P[K] extends Loader<infer A> ? A : never };

// --- constructors

function checkLoaders(name: string, parts: readonly Loader<unknown>[]): void {
  if (!Array.isArray(parts)) {
    throw new TypeError(`Expected ${name} to be given an array of loaders, found ${shown(parts)}`);
  }
  if (parts.length === 0) throw new TypeError(`Expected ${name} to be given at least one loader, found none`);
  parts.forEach((part) => checkUnowned(name, part));
}

/**
 * The items of several loaders at the same position, together.
 *
 * All loaders must have the same number of items; an endless loader goes with any.
 *
 * @param parts The loaders, in an array or by name.
 * @returns A loader of tuples or records. Known lengths that differ are a `TypeError`; streams whose lengths turn out to differ reject the
 * iteration with the cause `CursorMismatch`.
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
export function zip<const P extends LoaderParts>(parts: P): Loader<Zipped<P>> {
  demand(
    "the argument of Loader.zip",
    must("an array or a record of loaders", (x) => Array.isArray(x) || isPlainRecord(x)),
    parts,
  );
  const names = Array.isArray(parts) ? null : Object.keys(parts);
  const list = Object.values(parts) as readonly Loader<unknown>[];
  checkLoaders("Loader.zip", list);
  const join = (values: readonly unknown[]): unknown =>
    names === null ? values : Object.fromEntries(names.map((name, k) => [name, values[k]]));
  const texts = list.map((part, k) => `${names === null ? "" : `${names[k]}: `}${itemsFingerprint(part)}`);
  const about = { fingerprint: combinedFingerprint("zip", texts), seed: null };
  const access = (sources: readonly IndexedSource[], fingerprint: string): IndexedSource => {
    checkSameLength(sources);
    const at = (position: number, epoch: number): unknown =>
      whenReady(gather(sources.length, (k) => sources[k]!.at(epoch, position)), join);
    return randomAccess(Math.min(...sources.map(({ length }) => length)), fingerprint, at);
  };
  const paths = list.map((part, k) => isEndless(part) ? null : `zip/${names?.[k] ?? k}`);
  return deriveLoader("Loader.zip", list, about, access, zippedEpoch(paths, join));
}

function checkSameLength(sources: readonly IndexedSource[]): void {
  const lengths = [...new Set(sources.map(({ length }) => length))].filter((length) => length !== Infinity);
  if (lengths.length <= 1) return;
  throw new TypeError(
    `Expected the loaders of Loader.zip to have the same number of items, found ${lengths.join(" and ")}: ` +
      "put Loader.take on the longer ones",
  );
}

/** An epoch of zipped streams. `paths` name the inputs in errors, with null for an endless one. */
function zippedEpoch(paths: readonly (string | null)[], join: (values: readonly unknown[]) => unknown): BeginEpoch {
  return ({ pull }, _, state) => {
    let count = countFromState(state);
    return {
      next: async () => {
        const pulled = await pullAll(paths.map((_, k) => pull(k)));
        const present = pulled.filter((one) => one !== null);
        const drop = (): void => present.forEach((one) => one.drop());
        if (present.length < pulled.length) {
          drop();
          const path = paths.find((path, k) => path !== null && pulled[k] !== null);
          if (path === undefined || path === null) return null;
          throw mismatchError([{ path, kind: "length", expected: `${count}`, found: `at least ${count + 1}` }]);
        }
        count++;
        return { run: async () => join(await gather(present.length, (k) => present[k]!.run())), drop };
      },
      state: () => count,
    };
  };
}

/** The items of all pulls; if one fails, the others are dropped. */
async function pullAll<A>(pulls: readonly Promise<PulledItem<A> | null>[]): Promise<readonly (PulledItem<A> | null)[]> {
  try {
    return await Promise.all(pulls);
  } catch (cause) {
    for (const one of pulls) one.then((pulled) => pulled?.drop(), () => {});
    throw cause;
  }
}

/**
 * The items of several loaders, one loader after another.
 *
 * @param parts The loaders; only the last may be endless.
 * @returns The loader; a `TypeError` for an endless loader before the last.
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
  checkLoaders("Loader.concat", parts);
  const endless = parts.slice(0, -1).findIndex(isEndless);
  if (endless >= 0) {
    throw new TypeError(
      `Expected only the last loader of Loader.concat to be endless, found an endless one at ${endless}: ` +
        "give its repeat a number of epochs",
    );
  }
  const about = { fingerprint: combinedFingerprint("concat", parts.map(itemsFingerprint)), seed: null };
  const access = (sources: readonly IndexedSource[], fingerprint: string): IndexedSource => {
    const { ends, locate } = consecutive(sources.map(({ length }) => length));
    return pickedFrom(sources, ends.at(-1)!, fingerprint, locate);
  };
  return deriveLoader("Loader.concat", parts, about, access, ({ pull }, _, state) => {
    let part = countFromState(state);
    return {
      next: async () => {
        for (; part < parts.length; part++) {
          const pulled = await pull(part);
          if (pulled !== null) return pulled;
        }
        return null;
      },
      state: () => part,
    };
  });
}

/** Samples that each come from one of several sources; `pick` maps a position to the number of a source and a position in it. */
function pickedFrom(
  sources: readonly IndexedSource[],
  length: number,
  fingerprint: string,
  pick: (position: number) => readonly [source: number, position: number],
): IndexedSource {
  return randomAccess(length, fingerprint, (position, epoch) => {
    const [k, inside] = pick(position);
    return sources[k]!.at(epoch, inside);
  });
}

const weightsRule = listOf(integer(1, 1 << 20));

/**
 * The items of several loaders in exact proportions: each round of as many items as the sum of the weights has as many items of each
 * loader as its weight.
 *
 * The order in a round is fixed and even: the loader furthest behind its share comes next. So any item can be found by its number. The mix
 * ends before the first item that its loader no longer has; put `repeat` on the shorter loaders.
 *
 * @param weights Integers from 1, one for each loader: 7 and 3, not 0.7 and 0.3. Their sum is at most 2^20.
 * @returns A function from loaders to a loader; a `TypeError` for bad weights, or for another number of loaders.
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
  checkCurried(arguments, 1, "Loader.mix(weights)(loaders)");
  demand("weights of Loader.mix", weightsRule, weights);
  const round = weights.reduce((a, b) => a + b, 0);
  demand("the sum of the weights of Loader.mix", integer(1, 1 << 20), round);
  const turns = turnsOf(weights, round);
  const counts = weights.map(() => 0);
  /** For each place in a round: how many items of the same loader come before it in the round. */
  const ranks = turns.map((part) => counts[part]!++);
  const pick = (position: number): readonly [number, number] => {
    const [rounds, i] = [Math.floor(position / round), position % round];
    const part = turns[i]!;
    return [part, rounds * weights[part]! + ranks[i]!];
  };
  /** The items of the mix before the first one that this loader no longer has. */
  const endOf = ({ length }: IndexedSource, part: number): number => {
    if (length === Infinity) return Infinity;
    const weight = weights[part]!;
    const i = turns.findIndex((one, i) => one === part && ranks[i] === length % weight);
    return Math.floor(length / weight) * round + i;
  };
  const access = (sources: readonly IndexedSource[], fingerprint: string): IndexedSource =>
    pickedFrom(sources, Math.min(...sources.map(endOf)), fingerprint, pick);
  return <A>(parts: readonly Loader<A>[]) => {
    checkLoaders("Loader.mix", parts);
    if (parts.length !== weights.length) {
      throw new TypeError(
        `Expected ${weights.length} loaders, one for each weight of Loader.mix, found ${parts.length}`,
      );
    }
    const fingerprint = combinedFingerprint(`mix ${weights.join(":")}`, parts.map(itemsFingerprint));
    return deriveLoader("Loader.mix", parts, { fingerprint, seed: null }, access, ({ pull }, _, state) => {
      let i = countFromState(state);
      return { next: () => pull(turns[i++ % round]!), state: () => i };
    });
  };
}

/** The loader of each place in a round: always the one furthest behind its share. */
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
