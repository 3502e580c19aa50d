/**
 * What a component is, as facts and in a line. No tensor is read.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { arraysOf, dereference, entry, isBranch, isCase, kindOf, type Node, sizeOf } from "../state/mod.ts";
import { Schedule } from "../values/schedule/mod.ts";
import { numberText } from "../terminal/mod.ts";
import { cut } from "./text_width.ts";
import { countText, valueText } from "./format.ts";
import { entriesOf, modelTableAt, plainOf } from "./model_table.ts";

// --- types

/** What an optimizer is. */
export interface OptimizerFacts {
  readonly type: unknown;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly slots: readonly { readonly name: string; readonly tensors: number; readonly elements: number }[];
}

/** How far a cursor is in its data. */
export interface CursorFacts {
  readonly epoch: number | null;
  readonly position: number | null;
  readonly length: number | null;
}

// --- constructors

/** The longest text of a value, in columns. */
const longestValue = 400;

/** Of a text of megabytes, what is measured for it. */
const longestText = 2000;

/** What the state of an optimizer says. */
export function optimizerFacts(state: Node): OptimizerFacts {
  const settings = Object(plainOf(entry(state, "config")) ?? plainOf(entry(state, "build")));
  const iterations = plainOf(entry(state, "iterations"));
  const slots = entriesOf(entry(state, "slots")).map(([name, node]) => {
    const arrays = arraysOf(node, "").map(([, { held }]) => held);
    return { name, tensors: arrays.length, elements: arrays.reduce((sum, { shape }) => sum + sizeOf(shape), 0) };
  });
  const counted = typeof iterations === "number" ? { iterations } : {};
  return { type: plainOf(entry(state, "class")) ?? "?", settings: { ...settings, ...counted }, slots };
}

/** The schedule that a state is; undefined if it is none that this version knows. */
export function scheduleOf(state: Node): Schedule.Schedule | undefined {
  const schedule = Schedule.codec.decode(plainOf(state));
  return E.isRight(schedule) ? schedule.right : undefined;
}

/** What the state of a cursor says. The codec of cursors is in a module that loads tfjs, so the fields are read one by one. */
export function cursorFacts(state: Node): CursorFacts {
  const [epoch, position, length] = ["epoch", "position", "length"].map((field) => {
    const found = plainOf(entry(state, field));
    return typeof found === "number" ? found : null;
  });
  return { epoch: epoch!, position: position!, length: length! };
}

/** Of a list or a record, how many parts are named. */
const mostParts = 50;

/** Parts separated by commas, with an ellipsis if there are more. */
function listText<A>(parts: readonly A[], text: (part: A) => string): string {
  const shown = parts.slice(0, mostParts).map(text).join(", ");
  return cut(`${shown}${parts.length > mostParts ? ", …" : ""}`.slice(0, longestText), longestValue);
}

/** A value in a few words. Objects and tensors within it are named, and not written out. */
export function nodeText(node: Node): string {
  const inner = (one: Node): string => (isBranch(one) ? kindOf(one) : valueText(plainOf(one))).slice(0, longestText);
  if (isCase(node, "shared")) return `shared with ${node.path}`;
  if (isCase(node, "array")) return `${node.held.element} [${node.held.shape.join(", ")}]`;
  if (isCase(node, "kind")) {
    const value = entry(node.state, "value");
    return nodeText(node.kind === "Variable" && value !== undefined ? value : node.state);
  }
  if (isCase(node, "record")) {
    const entries = node.entries.filter(([name]) => name !== "_tag");
    return listText(entries, ([name, one]) => `${name.slice(0, 200)} ${inner(one)}`);
  }
  return Array.isArray(node) ? `[${listText(node, inner)}]` : cut(inner(node), longestValue);
}

// --- in a line

function optimizerText(state: Node): string {
  const { type, settings: { learningRate, iterations }, slots } = optimizerFacts(state);
  return [
    String(type),
    ...(typeof learningRate === "number" ? [`learning rate ${numberText(learningRate)}`] : []),
    ...(typeof iterations === "number" ? [countText(iterations, "step")] : []),
    ...(slots.length > 0 ? [countText(slots.length, "slot")] : []),
  ].join(", ");
}

function scheduleText(state: Node): string {
  const schedule = scheduleOf(state);
  if (schedule === undefined) return nodeText(state);
  return `${schedule.kind}, rate ${numberText(Schedule.rate(schedule))}, step ${schedule.step}`;
}

function cursorText(state: Node): string {
  const { epoch, position, length } = cursorFacts(state);
  return `epoch ${epoch ?? "?"}, position ${position ?? "?"}${length === null ? "" : ` of ${length}`}`;
}

function modelText(node: Node, path: string, nodes: ReadonlyMap<string, Node>): string {
  const { layers, parameters, trainable } = modelTableAt(node, path, nodes);
  const counts = [
    countText(layers.filter(({ depth }) => depth === 0).length, "layer"),
    countText(parameters, "parameter"),
    ...(trainable === parameters ? [] : [`${countText(trainable)} trainable`]),
  ].join(", ");
  const optimizer = optimizerOf(path, nodes);
  return optimizer === undefined ? counts : `${counts}; compiled with ${optimizer.text}`;
}

/** The optimizer that a model is compiled with: its path, and a line about it. */
export function optimizerOf(
  model: string,
  nodes: ReadonlyMap<string, Node>,
): { readonly path: string; readonly text: string } | undefined {
  const at = `${model}/compile/optimizer`;
  const [node, path] = dereference(nodes.get(at) ?? null, at, nodes);
  return isCase(node, "kind") && node.kind === "Optimizer" ? { path, text: optimizerText(node.state) } : undefined;
}

/**
 * What a node is, in a line: the layers of a model, the rate of an optimizer or a schedule, the position of a cursor, or a value.
 *
 * @param node The node.
 * @param path Its path.
 * @param nodes The nodes of the state by path.
 */
export function componentText(node: Node, path: string, nodes: ReadonlyMap<string, Node>): string {
  if (!isCase(node, "kind")) return nodeText(node);
  if (node.kind === "LayersModel") return modelText(node, path, nodes);
  if (node.kind === "Optimizer") return optimizerText(node.state);
  if (node.kind === "Schedule") return scheduleText(node.state);
  if (node.kind === "Cursor") return cursorText(node.state);
  if (node.kind === "Rng") return String(plainOf(entry(node.state, "algorithm")) ?? nodeText(node));
  if (node.kind === "Scaler") return `scale ${valueText(plainOf(entry(node.state, "scale")))}`;
  return nodeText(node);
}
