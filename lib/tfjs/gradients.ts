/**
 * Gradient accumulation: the gradients of a large batch from micro-batches, of which only one at a time is in memory.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { aFunction, checkCurried, demand, must } from "../validation/mod.ts";

// --- types

/** The mean loss of some micro-batches, and its gradients by the variables' names: what `tf.variableGrads` gives of one. */
export type MeanGradients = { readonly value: tf.Scalar; readonly grads: tf.NamedTensorMap };

// --- combinators

const someBatches = must("an array of at least one micro-batch", (value) => Array.isArray(value) && value.length > 0);

/**
 * The mean loss of several micro-batches, and its gradients, computed one micro-batch after another: gradient accumulation, for batches that do
 * not fit in memory. `Loader.batch` twice gives the micro-batches of a step as one item, so that a checkpoint never falls between them.
 *
 * Each micro-batch has the same weight, as with `gradient_accumulation_steps` in Accelerate and Keras; where the losses are means and a
 * micro-batch is shorter, its samples count more.
 *
 * @param batches The micro-batches, at least one.
 * @returns A function from the loss of a micro-batch, a scalar, to the mean loss and its gradients by all trainable variables that the loss uses.
 *   You dispose them, or `tf.tidy` does.
 *
 * @example
 * ```ts
 * import { accumulateGrads, Loader, pipe } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const w = tf.variable(tf.scalar(0), true, "w");
 * const loss = (xs: readonly number[]) => tf.tensor1d([...xs]).sub(w).square().mean() as tf.Scalar;
 * const micros = await Loader.at(0)(pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2), Loader.batch(2)));
 * const { grads } = tf.tidy(() => accumulateGrads(micros)(loss));
 * assert.deepEqual(grads["w"]?.dataSync(), tf.variableGrads(() => loss([1, 2, 3, 4])).grads["w"]?.dataSync());
 * ```
 */
export function accumulateGrads<B>(batches: readonly B[]): (loss: (batch: B) => tf.Scalar) => MeanGradients {
  checkCurried(arguments, 1, "accumulateGrads(batches)(loss)");
  demand("the micro-batches of accumulateGrads", someBatches, batches);
  return (loss) => {
    demand("the loss of accumulateGrads", aFunction, loss);
    const add = (sum: MeanGradients | undefined, batch: B): MeanGradients =>
      tf.tidy(() => {
        const { value, grads } = tf.variableGrads(() => loss(batch).div(batches.length) as tf.Scalar);
        if (sum === undefined) return { value, grads };
        const names = [...new Set([...Object.keys(sum.grads), ...Object.keys(grads)])];
        const both = (name: string): tf.Tensor[] => [sum.grads[name], grads[name]].filter((one) => one !== undefined);
        const added = names.map((name) => [name, tf.addN(both(name))] as const);
        const total = { value: sum.value.add(value) as tf.Scalar, grads: Object.fromEntries(added) };
        tf.dispose([sum.value, Object.values(sum.grads)] as unknown as tf.TensorContainer);
        return total;
      });
    return batches.reduce(add, undefined as MeanGradients | undefined)!;
  };
}
