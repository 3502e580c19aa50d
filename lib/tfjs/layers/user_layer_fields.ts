/**
 * The fields of user-defined layers that are neither weights nor in the config.
 *
 * - Variables, such as running averages, are state: training changes them, and tfjs does not save them.
 * - Plain data is recorded beside the state. tfjs rebuilds a layer from its config alone, and a class that inherits `getConfig` omits the
 *   arguments of its own constructor there. So a freshly built layer is compared with the record, and a difference is an error.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  aside,
  copyOfData,
  entry,
  isSameData,
  isTypedArray,
  join,
  type Named,
  type Node,
  record,
  type Site,
  type Target,
  unwrap,
} from "../../state/mod.ts";
import { shown } from "../../validation/mod.ts";
import { recordEntries } from "../mod.ts";
import { isPlainData } from "../optimizers/mod.ts";
import { isTfjsClass, nearestTfjsClass } from "./class_name.ts";
import { givenLayerName } from "./layer_name.ts";

// --- types

type PlainFields = Readonly<Record<string, unknown>>;

// --- constructors

function isVariable(value: unknown): value is tf.Variable {
  return value instanceof tf.Variable && !value.isDisposed;
}

/** Larger values are not recorded, because every capture would copy them. */
const maxRecordedValues = 1000;

/** The number of values in plain data, or more than `limit`. */
function countValues(value: unknown, limit: number): number {
  if (typeof value !== "object" || value === null) return 1;
  if (isTypedArray(value)) return value.length;
  let count = 1;
  for (const part of Object.values(value)) {
    count += countValues(part, limit - count);
    if (count > limit) break;
  }
  return count;
}

/** Whether plain data contains a layer's generated name, which differs in a freshly built layer. */
function containsName(value: unknown, name: string): boolean {
  if (typeof value === "string") return value.includes(name);
  return typeof value === "object" && value !== null && !isTypedArray(value) &&
    Object.values(value).some((part) => containsName(part, name));
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
  const fields = layer as unknown as Record<string, unknown>;
  for (const [name, node] of recordEntries(entry(state, "variables"))) {
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

/**
 * The state entry `fields`: the plain data in a user-defined layer's fields that its config omits. It is in no id and no difference.
 *
 * @param config The layer's config.
 */
export function encodePlainFields(layer: tf.layers.Layer, config: PlainFields, site: Site): readonly Named[] {
  if (isTfjsClass(layer)) return [];
  const tfjsFields = nearestTfjsClass(Object.getPrototypeOf(layer))?.fields;
  const isGenerated = givenLayerName(layer) === null;
  const fields = Object.entries(layer).filter(([name, value]) =>
    !tfjsFields?.has(name) && !Object.hasOwn(config, name) && value !== null && isPlainData(value) &&
    countValues(value, maxRecordedValues) <= maxRecordedValues && !(isGenerated && containsName(value, layer.name))
  );
  if (fields.length === 0) return [];
  return [["fields", aside(record(fields.map(([name, value]) => [name, site.plain(copyOfData(value))])))]];
}

/** Reports each recorded field that a freshly built layer has otherwise. */
export function checkPlainFields(state: Node, target: Target, layer: tf.layers.Layer): void {
  if (!target.fresh) return;
  const className = layer.getClassName();
  for (const [name, node] of recordEntries(unwrap(entry(state, "fields") ?? null))) {
    const built = Object.hasOwn(layer, name) ? (layer as unknown as PlainFields)[name] : undefined;
    const saved = target.plain(node);
    if ((built !== undefined && !isPlainData(built)) || isSameData(built, saved)) continue;
    const [was, is] = [shown(saved), shown(built)];
    const remedy =
      `Let getConfig of ${className} return ${name} and its constructor take it, or load into a model that has it`;
    const found = was === is
      ? `other values in ${name} after building it from its config`
      : `${is} after building it from its config`;
    target.problem("class", shown(saved), found, join("fields", name), remedy);
  }
}
