/**
 * The kind of tensors: values, so that a restore makes a new one and leaves the live one alone.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { isBranch, isDType, type Kind, type Node, type Target } from "../state/mod.ts";
import { holdAt, isInBackend, tensorOf } from "./tensor_data.ts";

// --- capture and restore

/**
 * A tensor from a node, checked against a live one.
 *
 * @param node The node.
 * @param target Receives the problems.
 * @param live The live tensor, whose dtype and shape the node must have.
 * @param at The path below the target.
 * @returns The tensor, or undefined after a problem.
 */
export function checkTensor(
  node: Node | undefined,
  target: Target,
  live?: tf.Tensor,
  at?: string,
): tf.Tensor | undefined {
  if (node === undefined || !isBranch(node) || node.is !== "array" || !isDType(node.held.element)) {
    target.problem("format", "a tensor", node === undefined ? "nothing" : "something else", at);
    return undefined;
  }
  const { element, shape } = node.held;
  if (live !== undefined) {
    const [isOtherDType, isOtherShape] = [live.dtype !== element, String(live.shape) !== String(shape)];
    if (live.isDisposed) {
      target.problem("data", "a tensor", "one that was disposed", at, "Do not dispose it before loading");
    }
    if (isOtherDType) target.differs("dtype", live.dtype, element, at);
    if (isOtherShape) target.differs("shape", `[${live.shape}]`, `[${shape}]`, at);
    if (isOtherDType || isOtherShape) return undefined;
  }
  const backend = tf.getBackend();
  if (element === "complex64" && !isInBackend(node.held) && tf.getKernel("Complex", backend) === undefined) {
    const remedy = "Restore on the cpu or webgpu backend";
    target.problem("dtype", `a dtype that the backend ${backend} has`, element, at, remedy);
    return undefined;
  }
  const tensor = tensorOf(node.held);
  if (tensor === undefined) target.problem("length", `${element} values of shape [${shape}]`, "other bytes", at);
  return tensor && target.made(tensor, () => tensor.dispose());
}

/** The shape of a tensor's node; [] for other nodes. */
export function shapeOf(node: Node | undefined): readonly number[] {
  return node !== undefined && isBranch(node) && node.is === "array" ? node.held.shape : [];
}

/** The kind of tensors. */
export const tensorKind: Kind<tf.Tensor> = {
  name: "Tensor",
  is: (u): u is tf.Tensor => u instanceof tf.Tensor && !(u instanceof tf.Variable) && !u.isDisposed,
  rejection: (value) => value instanceof tf.Tensor && value.isDisposed ? "a disposed tensor" : undefined,
  encode: (tensor, site) => site.hold(holdAt(tensor, site)),
  restore: (state, target, live) => {
    const tensor = checkTensor(state, target, live);
    return () => tensor as tf.Tensor;
  },
};
