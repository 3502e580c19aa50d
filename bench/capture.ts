/**
 * `captureState` against copying the same tensors.
 *
 *     bun bench/capture.ts
 *
 * @module
 */
import { captureState, release } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { compare } from "./rounds.ts";

await tf.setBackend("cpu");
const weights = Array.from({ length: 200 }, (_, i) => tf.variable(tf.fill([2 ** 16], i)));
await compare(
  { name: "capture and release 50 MiB in 200 tensors", run: () => release(captureState({ weights }))() },
  { name: "copy their data", run: () => weights.map((weight) => weight.dataSync().slice()) },
  25,
);
