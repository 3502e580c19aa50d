/**
 * What is in a checkpoint, as the page shows it: models, optimizers, schedules, positions in data, other components, tensors.
 *
 * @module
 */
import type { LazyCheckpoint } from "../../checkpoint/mod.ts";
import { arraysOf, elementBytes, isCase, kindOf, type Node, nodesByPath, segment, sizeOf } from "../../state/mod.ts";
import { cursorFacts, nodeText, optimizerFacts, scheduleOf } from "../component_facts.ts";
import { modelTables } from "../model_table.ts";
import { rateCurve } from "./schedule_curve.ts";

// --- types

/** What is in a checkpoint. */
export type Details = Readonly<Record<string, readonly unknown[]>>;

// --- constructors

function scheduleDetails(state: Node): Readonly<Record<string, unknown>> {
  const schedule = scheduleOf(state);
  if (schedule === undefined) return { kind: "?", step: null, rates: { steps: [], values: [] } };
  return { kind: schedule.kind, step: schedule.step, rates: rateCurve(schedule) };
}

function cursorDetails(state: Node): Readonly<Record<string, unknown>> {
  const { epoch, position, length } = cursorFacts(state);
  const isKnown = position !== null && length !== null && length > 0;
  return { epoch, position, length, fraction: isKnown ? position / length : null };
}

const shownElsewhere = ["LayersModel", "Optimizer", "Schedule", "Cursor"];

/** What is in an open checkpoint. Objects are listed wherever they are, under their paths; no tensor is read. */
export function detailsOf({ encoded: { components } }: LazyCheckpoint): Details {
  const nodes = [...nodesByPath(components)];
  const each = (kind: string, show: (state: Node) => object): readonly unknown[] =>
    nodes.flatMap(([name, node]) => isCase(node, "kind") && node.kind === kind ? [{ name, ...show(node.state) }] : []);
  return {
    models: modelTables(components),
    optimizers: each("Optimizer", optimizerFacts),
    schedules: each("Schedule", scheduleDetails),
    cursors: each("Cursor", cursorDetails),
    others: components.filter(([, node]) => !shownElsewhere.includes(kindOf(node)))
      .map(([name, node]) => ({ name, kind: kindOf(node), value: nodeText(node) })),
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
