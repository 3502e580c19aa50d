/**
 * Computing a shuffled order of 10^6 indices one by one, against a Fisher-Yates shuffle of a table; and the memory of a shuffled loader over
 * 10^9 samples.
 *
 *     bun bench/shuffle.ts
 *
 * @module
 */
import { Loader, pipe } from "@dogear/dogear";
import process from "node:process";
import { permutation } from "../lib/values/permutation.ts";
import { compare } from "./rounds.ts";

const count = 1e6;
let sum = 0;

function byTable(): void {
  const table = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    const held = table[i]!;
    table[i] = table[j]!;
    table[j] = held;
  }
  for (let i = 0; i < count; i++) sum += table[i]!;
}

let epoch = 0;
const block = new Float64Array(32);

function bySequence(): void {
  const order = permutation(7, epoch++, count);
  for (let i = 0; i < count; i += block.length) {
    order.fill(i, block);
    for (let j = 0; j < block.length; j++) sum += block[j]!;
  }
}

function byIndex(): void {
  const order = permutation(7, epoch++, count);
  for (let i = 0; i < count; i++) sum += order.at(i);
}

const table = { name: "Fisher-Yates over a table", run: byTable };
await compare({ name: "10^6 indices in sequence", run: bySequence }, table, 11);
await compare({ name: "10^6 indices one by one", run: byIndex }, table, 11);

const memory = (): number => {
  (globalThis as { gc?: () => void; Bun?: { gc: (now: boolean) => void } }).Bun?.gc(true);
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};
const before = memory();
const loader = pipe(
  Loader.fromIndexed({ length: 1e9, at: (i) => i }),
  Loader.shuffle(7),
  Loader.batch(32),
  Loader.prefetch(2),
);
const iterator = Loader.iterate(loader)[Symbol.asyncIterator]();
for (let i = 0; i < 100; i++) sum += (await iterator.next()).value?.[0].length ?? 0;
const grown = memory() - before;
await iterator.return?.();
process.stdout.write(`a shuffled loader over 10^9 samples, being read: ${(grown / 2 ** 20).toFixed(2)} MiB\n`);
