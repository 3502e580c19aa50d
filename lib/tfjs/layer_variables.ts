/**
 * Variables in fields of user-defined layers that are not weights, such as running averages: training changes them, and tfjs does not save
 * them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Site, Target } from "../component.ts";
import { entry, type Named, type Node, record } from "../state_tree.ts";
import { isTfjsClass } from "./classes.ts";
import { recordEntries } from "./state_nodes.ts";

// --- constructors

function isVariable(value: unknown): value is tf.Variable {
  return value instanceof tf.Variable && !value.isDisposed;
}

// --- capture and restore

/** The state entry `variables`: the variables in a layer's fields. */
export function encodeVariables(layer: tf.layers.Layer, site: Site): readonly Named[] {
  if (isTfjsClass(layer)) return [];
  const own = Object.entries(layer).filter(([, value]) => isVariable(value) && !site.names.has(value));
  if (own.length === 0) return [];
  return [["variables", record(own.map(([name, value]) => [name, site.part(["variables", name], value)]))]];
}

/** Restores them in place. A freshly built layer that makes its variable at its first call receives it before. */
export function restoreVariables(state: Node, target: Target, layer: tf.layers.Layer): void {
  const saved = entry(state, "variables");
  const fields = layer as unknown as Record<string, unknown>;
  for (const [name, node] of recordEntries(saved)) {
    const live = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (isVariable(live)) {
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
