/**
 * An epoch through `fromArray |> shuffle |> map |> batch(32) |> prefetch(2)`, against a hand-written loop over a shuffled index array, and
 * against the same pipeline in `tf.data`. A sample is 64 numbers, and `map` scales them.
 *
 *     bun bench/pipeline.ts
 *
 * @module
 */
import { Loader, pipe, Rng } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { compare } from "./rounds.ts";

const [count, size, width] = [100_000, 32, 64];
const samples = Array.from({ length: count }, (_, i) => new Float32Array(width).fill(i % 255));
const scaled = (x: Float32Array): Float32Array => x.map((v) => v / 255);
let seen = 0;

for (const [name, f] of [["scale 64 numbers", scaled], ["one addition", (x: Float32Array) => x[0]! + 1]] as const) {
  const epoch = (xs: readonly Float32Array[]): () => Promise<void> => {
    const loader = pipe(
      Loader.fromArray(xs),
      Loader.shuffle(7),
      Loader.map<Float32Array, unknown>(f),
      Loader.batch(size),
      Loader.prefetch(2),
    );
    return async () => {
      for await (const [batch] of Loader.iterate(loader)) seen += batch.length;
    };
  };
  const byHand = async (): Promise<void> => {
    const order = Uint32Array.from(samples, (_, i) => i);
    const [draws] = Rng.floats(count)(Rng.make(7));
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(draws[i]! * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    for (let at = 0; at < count; at += size) {
      const batch: unknown[] = [];
      for (let i = at; i < Math.min(count, at + size); i++) batch.push(f(samples[order[i]!]!));
      seen += (await batch).length;
    }
  };
  // A tenth is enough to compare with tf.data.
  const few = samples.slice(0, count / 10);
  const dataset = tf.data.array(few as never).shuffle(few.length, "7").map(f as never).batch(size).prefetch(2);
  const inTfData = async (): Promise<void> => {
    await dataset.forEachAsync((batch) => (seen += (batch as tf.Tensor).shape[0]!, tf.dispose(batch)));
  };
  await compare({ name: `${name}, ${count} samples`, run: epoch(samples) }, { name: "by hand", run: byHand }, 15);
  await compare({ name: `${name}, ${few.length} samples`, run: epoch(few) }, { name: "tf.data", run: inTfData }, 3);
}
