/**
 * Every kind of source, by name, as a generator of tests picks them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import * as Loader from "../lib/loader.ts";

/** A loader by its name; each call is a new start, as in a new process. */
export interface Build {
  readonly name: string;
  readonly build: () => Loader.Loader<unknown>;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Sources in memory, by how many samples they have. */
export const inMemory: Readonly<Record<string, (length: number) => Loader.Loader<unknown>>> = {
  array: (length) => Loader.fromArray(range(length)),
  "typed array": (length) => Loader.fromArray(Float32Array.from(range(length))),
  indexed: (length) => Loader.fromIndexed({ length, at: (i) => i % 2 === 0 ? Promise.resolve(i) : i }),
  iterable: (length) => Loader.fromIterable((epoch) => range(length).map((i) => i + 4 * epoch)),
  "async iterable": (length) =>
    Loader.fromIterable(async function* () {
      await Promise.resolve();
      yield* range(length);
    }),
  dataset: (length) => Loader.fromDataset(tf.data.array(range(length + 1)).skip(1).shuffle(4, "7") as never),
};

/** Any source, of at most 11 samples. */
export const anySource: fc.Arbitrary<Build> = fc.tuple(fc.constantFrom(...Object.keys(inMemory)), fc.nat(11))
  .map(([name, length]) => ({ name: `${name} of ${length}`, build: () => inMemory[name]!(length) }));
