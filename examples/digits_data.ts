/**
 * Handwritten digits as samples and as tensors; a small network for them, and its loss.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { readFile } from "node:fs/promises";

/** An image of 8 by 8 pixels, each from 0 to 1, and the digit that it shows. */
export interface Digit {
  readonly pixels: readonly number[];
  readonly label: number;
}

/** Reads digits: so many to train on, and 297 to evaluate with. */
export async function readDigits(
  count = 1500,
): Promise<{ readonly train: readonly Digit[]; readonly test: readonly Digit[] }> {
  const text = await readFile(new URL("./data/digits.csv", import.meta.url), "utf8");
  const digits = text.trim().split("\n").map((line) => {
    const values = line.split(",").map(Number);
    return { pixels: values.slice(0, 64).map((value) => value / 16), label: values[64] ?? 0 };
  });
  return { train: digits.slice(0, count), test: digits.slice(1500) };
}

/** Images of shape `[digits, 8, 8, 1]`, and labels, one-hot. */
export function tensors(digits: readonly Digit[]): { readonly images: tf.Tensor4D; readonly labels: tf.Tensor } {
  return {
    images: tf.tensor4d(digits.flatMap(({ pixels }) => pixels), [digits.length, 8, 8, 1]),
    labels: tf.oneHot(tf.tensor1d(digits.map(({ label }) => label), "int32"), 10),
  };
}

/** A network with dropout. */
export function buildModel(): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.flatten({ inputShape: [8, 8, 1] }),
      tf.layers.dense({ units: 32, activation: "relu" }),
      tf.layers.dropout({ rate: 0.3 }),
      tf.layers.dense({ units: 10 }),
    ],
  });
}

/** The cross-entropy of a model on digits; with dropout, if it is training. */
export function crossEntropy(model: tf.LayersModel, digits: readonly Digit[], training: boolean): tf.Scalar {
  const { images, labels } = tensors(digits);
  return tf.losses.softmaxCrossEntropy(labels, model.apply(images, { training }) as tf.Tensor);
}
