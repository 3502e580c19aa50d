/**
 * The first batch after `skip(n)` on a shuffled source of 10^12 samples, n = 10^9 against n = 10.
 *
 *     bun bench/skip.ts
 *
 * @module
 */
import { Loader, pipe, skip } from "@dogear/dogear";
import { compare } from "./rounds.ts";

const batches = pipe(
  Loader.fromIndexed({ length: 1e12, at: (i) => i }),
  Loader.shuffle(7),
  Loader.batch(32),
  Loader.repeat(),
);
const first = async (n: number): Promise<void> => {
  for await (const _ of Loader.iterate(pipe(batches, skip(n)))) return;
};
await compare({ name: "skip(1e9)", run: () => first(1e9) }, { name: "skip(10)", run: () => first(10) }, 101);
