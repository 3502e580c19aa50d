/**
 * Random loaders: chains of transforms over any source, and the same chain over an array and a stream of its items.
 *
 * @module
 */
import fc from "fast-check";
import { pipe } from "fp-ts/lib/function.js";
import * as Loader from "../../lib/loader/loader.ts";
import * as Rng from "../../lib/values/rng.ts";
import { anySource, type Build } from "./sources.ts";

const { skip } = Loader;

export type Any = Loader.Loader<unknown>;

/** A number that depends on every value of an item. */
function sum(item: unknown): number {
  if (typeof item === "number") return item;
  if (typeof item === "string") return item.length;
  if (typeof item === "bigint") return Number(item);
  if (ArrayBuffer.isView(item)) return sum([...item as Uint8Array]);
  return Object.values(item as object).map(sum).reduce((a, b) => a + b, 0);
}

function soon<A>(value: A, i: number): A | Promise<A> {
  return i % 3 === 0 ? value : new Promise((resolve) => setTimeout(resolve, i % 2, value));
}

/** Whether a filter that no item passes would never end. */
export function endless({ source, plan }: Any): boolean {
  return plan(source.length ?? 9).epochs === Infinity || source.fingerprint.includes("repeat(Infinity)");
}

/** A named transform. It is left out where the loader rejects it. */
export interface Step {
  readonly name: string;
  readonly put: (loader: Any) => Any;
}

/** Applies a step, unless it is a `TypeError` here, such as a shuffle of a stream. */
function putIfLawful({ put }: Step): (loader: Any) => Any {
  return (loader) => {
    try {
      return put(loader);
    } catch (error) {
      if (error instanceof TypeError) return loader;
      throw error;
    }
  };
}

const small = fc.integer({ min: 1, max: 4 });
const step = (name: string, put: (loader: Any) => Any): Step => ({ name, put });

function anyStep(other: fc.Arbitrary<Build>): fc.Arbitrary<Step> {
  return fc.oneof(
    fc.boolean().map((later) => step(`map ${later}`, Loader.map((x) => later ? soon([x], sum(x)) : [x]))),
    small.map((concurrency) => step(`map by ${concurrency}`, Loader.map((x) => soon(x, sum(x)), { concurrency }))),
    fc.nat(5).map((seed) => step(`mapRandom ${seed}`, Loader.mapRandom((x, rng) => [x, Rng.float(rng)[0]], { seed }))),
    fc.nat(3).map((k) =>
      step(
        `filter ${k}`,
        (loader) => endless(loader) ? loader : Loader.filter((x) => soon(sum(x) % 4 !== k, sum(x)))(loader),
      )
    ),
    fc.tuple(small, fc.boolean()).map(([n, dropLast]) => step(`batch ${n} ${dropLast}`, Loader.batch(n, { dropLast }))),
    fc.constant(
      step("unbatch", (loader) => Loader.unbatch(pipe(loader, Loader.map((x) => Array.isArray(x) ? x : [x, x])))),
    ),
    fc.nat(9).map((seed) => step(`shuffle ${seed}`, Loader.shuffle(seed))),
    fc.integer({ min: 2, max: 5 }).map((n) => step(`shuffleWindow ${n}`, Loader.shuffleWindow(n, n))),
    fc.tuple(fc.nat(3), fc.nat(3), fc.boolean(), fc.boolean(), fc.boolean()).map(([a, b, ...options]) => {
      const [evenBatches, splitBatches, dropLast] = options as [boolean, boolean, boolean];
      const share = { rank: Math.min(a, b), world: Math.max(a, b) + 1, evenBatches, splitBatches, dropLast };
      return step(`shard ${JSON.stringify(share)}`, Loader.shard(share));
    }),
    fc.nat(9).map((n) => step(`take ${n}`, Loader.take(n))),
    fc.nat(4).map((n) => step(`skip ${n}`, (loader) => skip(n)(loader))),
    fc.constantFrom(1, 2, Infinity).map((n) => step(`repeat ${n}`, Loader.repeat(n))),
    fc.tuple(small, small).map(([a, b]) =>
      step(`window ${Math.max(a, b)}/${Math.min(a, b)}`, Loader.window(Math.max(a, b), { stride: Math.min(a, b) }))
    ),
    fc.nat(3).map((n) => step(`prefetch ${n}`, Loader.prefetch(n))),
    fc.constant(step("cache", (loader) => Loader.cache(loader))),
    fc.constant(
      step(
        "zip itself",
        (loader) =>
          loader.source._tag === "Stream" && loader.source.singleUse
            ? loader
            : Loader.zip({ a: loader, b: pipe(loader, Loader.map(sum)) }),
      ),
    ),
    other.map(({ name, build }) =>
      step(`concat ${name}`, (loader) => Loader.concat([pipe(loader, Loader.take(5)), build()]))
    ),
    fc.tuple(other, small, small).map(([{ name, build }, a, b]) =>
      step(`mix ${a}:${b} ${name}`, (loader) => pipe([loader, pipe(build(), Loader.repeat(50))], Loader.mix([a, b])))
    ),
  );
}

/** Any chain of up to four transforms. */
export const anyPipeline: fc.Arbitrary<Build> = fc.tuple(anySource, fc.array(anyStep(anySource), { maxLength: 4 }))
  .map(([{ name, build }, steps]) => ({
    name: [name, ...steps.map(({ name }) => name)].join(" | "),
    build: () => steps.reduce((loader, one) => putIfLawful(one)(loader), build()),
  }));

/** A loader of an array, and one of a stream of the same items. */
export type Both = readonly [array: Any, stream: Any];

/**
 * Steps with many `shard` with `evenBatches` and `repeat`, which read samples twice. `mapRandom` comes first: after other steps it counts
 * the samples of a stream in the order of delivery, and those of an array by index.
 */
export const streamStep: fc.Arbitrary<Step> = fc.oneof(
  {
    arbitrary: anyStep(fc.constant({ name: "stream", build: () => Loader.fromIterable(() => [70, 80, 90]) }))
      .filter(({ name }) => !name.startsWith("mapRandom")),
    weight: 4,
  },
  {
    arbitrary: fc.tuple(fc.nat(3), fc.nat(3), fc.boolean()).map(([a, b, splitBatches]) => {
      const share = { rank: Math.min(a, b), world: Math.max(a, b) + 1, evenBatches: true, splitBatches };
      return step(`shard ${JSON.stringify(share)}`, Loader.shard(share));
    }),
    weight: 2,
  },
  { arbitrary: fc.constantFrom(2, 3, Infinity).map((n) => step(`repeat ${n}`, Loader.repeat(n))), weight: 2 },
);

/** A step over both loaders, or over neither if one of them rejects it. */
export function putOverBoth({ put }: Step): (both: Both) => Both {
  return (both) => {
    try {
      return both.map(put) as unknown as Both;
    } catch (error) {
      if (error instanceof TypeError) return both;
      throw error;
    }
  };
}
