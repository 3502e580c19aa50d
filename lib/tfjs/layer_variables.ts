/**
 * Variables in the fields of layers of the user's own that are none of their weights, such as running averages: training changes them, and
 * tfjs saves them nowhere.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Site, Target } from "../component.ts";
import { entry, isBranch, type Named, type Node, record } from "../state_tree.ts";
import { isTfjsClass } from "./classes.ts";

// --- constructors

function isOwn(value: unknown): value is tf.Variable {
  return value instanceof tf.Variable && !value.isDisposed;
}

// --- capture and restore

/** The entry of a state for the variables in a layer's fields. */
export function encodeVariables(layer: tf.layers.Layer, site: Site): readonly Named[] {
  if (isTfjsClass(layer)) return [];
  const own = Object.entries(layer).filter(([, value]) => isOwn(value) && !site.names.has(value));
  if (own.length === 0) return [];
  return [["variables", record(own.map(([name, value]) => [name, site.part(["variables", name], value)]))]];
}

/** Restores them in place; a layer that was built afresh and makes one at its first call is given it. */
export function restoreVariables(state: Node, target: Target, layer: tf.layers.Layer): void {
  const saved = entry(state, "variables");
  const fields = layer as unknown as Record<string, unknown>;
  for (const [name, node] of saved !== undefined && isBranch(saved) && saved.is === "record" ? saved.entries : []) {
    const live = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (isOwn(live)) {
      target.part(["variables", name], live, node, (shared) => {
        fields[name] = shared;
        live.dispose();
      });
    } else {
      const variable = target.value(["variables", name], node);
      target.commit(() => void (fields[name] = variable()));
    }
  }
}
