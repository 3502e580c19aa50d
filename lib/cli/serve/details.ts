/**
 * What is in a checkpoint, as the page shows it: models, optimizers, schedules, positions in data, other components, tensors.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { LazyCheckpoint } from "../../checkpoint/mod.ts";
import {
  arraysOf,
  elementBytes,
  entry,
  isBranch,
  isCase,
  kindOf,
  type Node,
  nodesByPath,
  segment,
  sizeOf,
} from "../../state/mod.ts";
import { Schedule } from "../../values/schedule/mod.ts";
import { valueText } from "../format.ts";
import { cut } from "../../terminal/mod.ts";
import { entriesOf, modelTables, plainOf } from "../model_table.ts";
import { rateCurve } from "./schedule_curve.ts";

// --- types

/** What is in a checkpoint. */
export type Details = Readonly<Record<string, readonly unknown[]>>;

/** The longest text of a value, in columns. */
const longestValue = 400;

/** Of a text of megabytes, what is measured for it. */
const longestText = 2000;

// --- constructors

function optimizerOf(name: string, state: Node): unknown {
  const settings = Object(plainOf(entry(state, "config")) ?? plainOf(entry(state, "build")));
  const iterations = plainOf(entry(state, "iterations"));
  const slots = entriesOf(entry(state, "slots")).map(([slot, node]) => {
    const arrays = arraysOf(node, "").map(([, { held }]) => held);
    return { name: slot, tensors: arrays.length, elements: arrays.reduce((sum, { shape }) => sum + sizeOf(shape), 0) };
  });
  const counted = typeof iterations === "number" ? { iterations } : {};
  return { name, type: plainOf(entry(state, "class")) ?? "?", settings: { ...settings, ...counted }, slots };
}

function scheduleOf(name: string, state: Node): unknown {
  const schedule = Schedule.codec.decode(plainOf(state));
  if (E.isLeft(schedule)) return { name, kind: "?", step: null, rates: { steps: [], values: [] } };
  const { kind, step } = schedule.right;
  return { name, kind, step, rates: rateCurve(schedule.right) };
}

/** The codec of cursors is in a module that loads tfjs, so the fields are read one by one. */
function cursorOf(name: string, state: Node): unknown {
  const [epoch, position, length] = ["epoch", "position", "length"].map((field) => {
    const found = plainOf(entry(state, field));
    return typeof found === "number" ? found : null;
  });
  const isKnown = typeof position === "number" && typeof length === "number" && length > 0;
  return { name, epoch, position, length, fraction: isKnown ? position / length : null };
}

/** A value in a few words. Objects and tensors within it are named, and not written out. */
function valueOf(node: Node): string {
  if (isCase(node, "shared")) return `shared with ${node.path}`;
  if (isCase(node, "array")) return `${node.held.element} [${node.held.shape.join(", ")}]`;
  if (isCase(node, "kind")) {
    const value = entry(node.state, "value");
    return valueOf(node.kind === "Variable" && value !== undefined ? value : node.state);
  }
  if (isCase(node, "record")) {
    const inner = (one: Node): string => isBranch(one) ? kindOf(one) : valueText(plainOf(one));
    const entries = node.entries.filter(([name]) => name !== "_tag").slice(0, 50);
    const shown = entries.map(([name, one]) => `${name.slice(0, 200)} ${inner(one).slice(0, longestText)}`);
    return cut(shown.join(", ").slice(0, longestText), longestValue);
  }
  const some = Array.isArray(node) ? node.slice(0, 50).map((one) => isBranch(one) ? kindOf(one) : plainOf(one)) : node;
  return cut(valueText(some).slice(0, longestText), longestValue);
}

const shownElsewhere = ["LayersModel", "Optimizer", "Schedule", "Cursor"];

/** What is in an open checkpoint. Objects are listed wherever they are, under their paths; no tensor is read. */
export function detailsOf({ encoded: { components } }: LazyCheckpoint): Details {
  const nodes = [...nodesByPath(components)];
  const each = (kind: string, show: (name: string, state: Node) => unknown): readonly unknown[] =>
    nodes.flatMap(([path, node]) => isCase(node, "kind") && node.kind === kind ? [show(path, node.state)] : []);
  return {
    models: modelTables(components),
    optimizers: each("Optimizer", optimizerOf),
    schedules: each("Schedule", scheduleOf),
    cursors: each("Cursor", cursorOf),
    others: components.filter(([, node]) => !shownElsewhere.includes(kindOf(node)))
      .map(([name, node]) => ({ name, kind: kindOf(node), value: valueOf(node) })),
    tensors: components.flatMap(([name, node]) =>
      arraysOf(node, segment(name)).map(([path, { held: { element, shape }, name: own }]) => ({
        path,
        name: own === undefined ? path : `${segment(name)}/${own}`,
        dtype: element,
        shape,
        bytes: element === "string" ? null : sizeOf(shape) * elementBytes(element),
      }))
    ),
  };
}
