/**
 * What recurrent layers keep between calls and outside their weights: the states of stateful layers, and dropout masks.
 *
 * A layer of the class `RNN` keeps the dropout masks of its first call; SimpleRNN, GRU and LSTM draw new ones at each call
 * (tfjs-layers 4.22, `layers/recurrent.ts`).
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { entry, type Named, type Node, record, type Site, type Target } from "../../state/mod.ts";
import { layerFields, listItems } from "../mod.ts";

// --- constructors

const maskNames = ["dropoutMask", "recurrentDropoutMask"] as const;

/** The cells of a layer that keeps dropout masks. */
function maskedCells(layer: tf.layers.Layer): readonly Record<string, unknown>[] {
  if (layer.getClassName() !== "RNN") return [];
  const { cell } = layerFields(layer) as {
    readonly cell?: tf.layers.Layer & { readonly cells?: readonly tf.layers.Layer[] };
  };
  return [cell?.cells ?? cell ?? []].flat().map(layerFields);
}

// --- capture and restore

/** The states of a stateful layer, or null. */
export function encodeStates(layer: tf.layers.Layer, site: Site): Node {
  const { states_ } = layerFields(layer);
  return states_ ? states_.map((state, i) => site.part(["states", i], state)) : null;
}

/** Restores what {@link encodeStates} returned. */
export function restoreStates(saved: Node, target: Target, layer: tf.layers.Layer): void {
  const fields = layerFields(layer);
  if (fields.states_ === undefined) return;
  const tensors = Array.isArray(saved) ? saved.map((node: Node, i) => target.value(["states", i], node)()) : null;
  target.commit(() => {
    tf.dispose(fields.states_ ?? []);
    fields.states_ = tensors && tensors.map((tensor) => tf.keep(tensor as tf.Tensor));
  });
}

/** The state entry `masks`, if any cell has a mask. A mask is null, a tensor or a list of tensors. */
export function encodeMasks(layer: tf.layers.Layer, site: Site): readonly Named[] {
  const cells = maskedCells(layer);
  if (cells.every((cell) => maskNames.every((name) => !cell[name]))) return [];
  const encodeMask = (mask: unknown, path: readonly (string | number)[]): Node =>
    mask ? [mask as tf.Tensor | tf.Tensor[]].flat().map((tensor, k) => site.part([...path, k], tensor)) : null;
  const encodeCell = (cell: Record<string, unknown>, i: number): Node =>
    record(maskNames.map((name) => [name, encodeMask(cell[name], ["masks", i, name])]));
  return [["masks", cells.map(encodeCell)]];
}

/** Restores what {@link encodeMasks} returned. */
export function restoreMasks(saved: Node, target: Target, layer: tf.layers.Layer): void {
  for (const [i, cell] of maskedCells(layer).entries()) {
    for (const name of maskNames) {
      const masks = listItems(entry(listItems(saved)[i], name)).map((node, k) =>
        target.value(["masks", i, name, k], node)() as tf.Tensor
      );
      target.commit(() => {
        tf.dispose((cell[name] ?? []) as tf.Tensor[]);
        masks.forEach((mask) => tf.keep(mask));
        // tfjs makes one mask for a cell with one gate, and a list for others.
        cell[name] = masks.length > 1 ? masks : masks[0] ?? null;
      });
    }
  }
}
