/**
 * Draws of `Rng` against the mutable generator of pure-rand that they come from; `Rng.withRandom` with asynchronous thunks against synchronous
 * ones.
 *
 *     bun bench/rng.ts
 *
 * @module
 */
import { Rng } from "@dogear/dogear";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import { compare } from "./rounds.ts";

const [draws, calls] = [1e6, 1e4];
let sum = 0;

// --- draws

function mutable(): void {
  const generator = xoroshiro128plusFromState(Rng.make(1).state);
  for (let i = 0; i < draws; i++) sum += uniformFloat64(generator);
}

function mutableInto(): void {
  const generator = xoroshiro128plusFromState(Rng.make(1).state);
  const values = new Float64Array(draws);
  for (let i = 0; i < draws; i++) values[i] = uniformFloat64(generator);
  sum += values[draws - 1]!;
}

function single(): void {
  let rng = Rng.make(1);
  for (let i = 0; i < draws; i++) {
    const [value, next] = Rng.float(rng);
    sum += value;
    rng = next;
  }
}

function array(): void {
  sum += Rng.floats(draws)(Rng.make(1))[0][draws - 1]!;
}

await compare({ name: "10^6 Rng.float", run: single }, { name: "pure-rand's mutable draws", run: mutable });
await compare({ name: "Rng.floats(10^6)", run: array }, { name: "into an array", run: mutableInto }, 11);

// --- Math.random

function drawAll(): void {
  for (let i = 0; i < draws; i++) sum += Math.random();
}

await compare(
  { name: "10^6 draws after an await", run: () => Rng.withRandom(Rng.make(1))(() => Promise.resolve().then(drawAll)) },
  { name: "in a synchronous thunk", run: () => Rng.withRandom(Rng.make(1))(drawAll) },
);
await compare({
  name: "10^4 asynchronous calls of withRandom",
  run: async () => {
    let rng = Rng.make(1);
    for (let i = 0; i < calls; i++) [, rng] = await Rng.withRandom(rng)(() => Promise.resolve(Math.random()));
  },
}, {
  name: "synchronous ones, awaited",
  run: async () => {
    let rng = Rng.make(1);
    for (let i = 0; i < calls; i++) [, rng] = await Promise.resolve(Rng.withRandom(rng)(() => Math.random()));
  },
});
