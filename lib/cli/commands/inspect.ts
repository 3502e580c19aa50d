/**
 * `dogear inspect`: shows a checkpoint, a part of its state, or the statistics of a tensor.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import {
  entryOf,
  heldOf,
  type LazyCheckpoint,
  leavesOf,
  type Part,
  tensorNames,
  withCheckpoint,
} from "../../checkpoint/mod.ts";
import { type Held, isBranch, isWithin, kindOf, type Node, nodesByPath, segment } from "../../state/mod.ts";
import { type CommandTask, messageOf, usage } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { componentText, optimizerOf } from "../component_facts.ts";
import { findCheckpoint, parseReference, separateCheckpoint } from "../reference.ts";
import type { Statistics } from "../statistics.ts";
import { checkpointStatus, isBad, verifyFiles } from "../checkpoint_status.ts";
import { checkpointJson, type ComponentFacts, componentFacts, partJson, readPart } from "../inspection.ts";
import { isLayer, isModel, type LayerRow, type ModelTable } from "../model_table.ts";
import { type Columns, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { printable } from "../../errors/mod.ts";
import { bytesText, countText, jsonText, metricsText, nameText, noteText, shellWord, valueText } from "../format.ts";
import { numberText } from "../../terminal/mod.ts";
import { wrap } from "../text_width.ts";

// --- a whole checkpoint

/** Names and values in two columns. A long value continues on the next line, in its column. */
function factLines(facts: Readonly<Record<string, string>>, width: number): readonly string[] {
  const indent = Math.max(10, ...Object.keys(facts).map((name) => name.length)) + 2;
  return Object.entries(facts).flatMap(([name, value]) =>
    wrap(printable(value), width - indent).map((line, i) => (i === 0 ? name : "").padEnd(indent) + line)
  );
}

/** A name cut to a share of the width, so that what is said of it has room. */
function nameCell(name: string, width: number, share: number): string {
  return nameText(name, Math.max(16, Math.floor(width * share)));
}

/** The columns of the table of components that a width has room for. What is in a component is cut first. */
function overviewColumns(width: number): Columns {
  return {
    component: "left",
    ...(width < 72 ? {} : { kind: "left" }),
    ...(width < 100 ? {} : { tensors: "right", elements: "right" }),
    about: "cut",
  };
}

async function* overviewText(facts: readonly string[], components: readonly ComponentFacts[], width: number) {
  yield* facts;
  yield "";
  const columns = overviewColumns(width);
  const rows = components.map(({ name, ...one }) => {
    const names = { component: nameCell(segment(name), width, 0.35), kind: nameCell(one.kind, width, 0.25) };
    const cells: Readonly<Record<string, unknown>> = { ...one, ...names };
    return Object.keys(columns).map((column) => String(cells[column]));
  });
  yield* tableLines(columns, rows, width);
}

function showOverview(opened: LazyCheckpoint, { width }: Terminal): CommandTask<CommandReport> {
  const { store, checkpoint, manifest } = opened;
  const { parent, environment, id = null } = manifest;
  const { dogear, tfjs, runtime, backend } = environment;
  const { step, metrics, note, time, bytes, run } = entryOf(checkpoint, manifest);
  const components = componentFacts(opened);
  const facts = {
    checkpoint: `${checkpoint} in ${store.location}`,
    saved: new Date(time).toISOString(),
    by: `dogear ${dogear}, tfjs ${tfjs}, ${runtime}, backend ${backend}`,
    run: `${run}${parent === null ? "" : `, after checkpoint ${parent}`}`,
    step: `${step ?? "-"}`,
    metrics: metricsText(metrics) || "-",
    ...(note === undefined ? {} : { note: noteText(note) }),
    size: bytesText(bytes),
    ...(id === null ? {} : { id }),
  };
  return pipe(
    checkpointStatus(store, checkpoint, false),
    TE.map((status) => ({
      json: [jsonText(checkpointJson(opened, status))],
      text: overviewText(factLines({ ...facts, verdict: status.verdict }, width), components, width),
      messages: status.error === null ? [] : [messageOf(status.error)],
      exitCode: () => isBad(status) ? 1 : 0,
    })),
  );
}

// --- a model

const layerColumns: Columns = {
  layer: "left",
  type: "left",
  "output shape": "left",
  parameters: "right",
  trainable: "right",
};

/** What a narrow terminal lacks the room for, the least important first. */
const spareOfLayers = ["type", "trainable", "output shape"];

function layerRow({ name, type, shape, parameters, trainable, depth }: LayerRow, width: number): readonly string[] {
  const output = shape === "?" ? shape : `[${shape.map(String).join(", ")}]`;
  const layer = nameCell("  ".repeat(depth) + name, width, 0.35);
  return [layer, nameCell(type, width, 0.35), output, countText(parameters), countText(trainable)];
}

/** The summary of a model: its layers, its parameters, and how to see more. */
async function* modelLines(
  { name, layers, parameters, trainable }: ModelTable,
  { encoded: { components } }: LazyCheckpoint,
  run: string,
  width: number,
): AsyncGenerator<string> {
  yield* tableLines(layerColumns, layers.map((layer) => layerRow(layer, width)), width, spareOfLayers);
  yield "";
  const listed = layers.filter(({ depth }) => depth === 0).reduce((sum, layer) => sum + layer.parameters, 0);
  const shared = listed === parameters ? "" : ", where shared weights count once";
  const optimizer = optimizerOf(name, nodesByPath(components));
  yield* factLines({
    parameters: countText(parameters) + shared,
    trainable: countText(trainable),
    "not trainable": countText(parameters - trainable),
    ...(optimizer === undefined ? {} : { optimizer: `${optimizer.text}: ${optimizer.path}` }),
  }, width);
  yield "";
  const [tensor] = [...tensorNames(components)].flatMap(([path, own]) => isWithin(path, name) ? [own] : []);
  yield* factLines({
    ...(tensor === undefined ? {} : { "one tensor": `dogear inspect ${shellWord(run)} ${shellWord(tensor)}` }),
    "all values": `dogear inspect ${shellWord(run)} ${shellWord(name)} --all`,
  }, width);
}

// --- a part

function leafRow([path, node]: Part, nodes: ReadonlyMap<string, Node>): readonly string[] {
  if (!isBranch(node)) return [path, kindOf(node), valueText(node)];
  if (node.is === "array") {
    const { held: { element, shape }, name = "" } = node;
    return [path, element, `[${shape.join(", ")}] ${name}`.trimEnd()];
  }
  if (node.is === "shared") return [path, node.is, node.path];
  return [path, kindOf(node), node.is === "kind" ? componentText(node, path, nodes) : "{}"];
}

function statisticsText({ element, shape }: Held, file: string, found: Statistics, width: number): readonly string[] {
  const { of, count, nan, infinite, zeros, min, max, mean, deviation, histogram } = found;
  const most = Math.max(1, ...histogram.map((bin) => bin.count));
  const edges = histogram.map(({ from, to }) => `${numberText(from)} to ${numberText(to)}`);
  const edgeWidth = Math.max(0, ...edges.map((edge) => edge.length));
  const bar = Math.max(1, Math.min(30, width - edgeWidth - `${most}`.length - 4));
  const bars = histogram.map((bin) => "#".repeat(Math.ceil(bar * bin.count / most)).padEnd(bar));
  return [
    ...factLines({
      dtype: element,
      shape: `[${shape.join(", ")}]`,
      file,
      [of]: `${count}`,
      range: `${numberText(min)} to ${numberText(max)}`,
      mean: `${numberText(mean)}, standard deviation ${numberText(deviation)}`,
      NaN: `${nan}`,
      infinite: `${infinite}`,
      zero: `${zeros}`,
    }, width),
    "",
    ...histogram.map((bin, i) => `${(edges[i] ?? "").padStart(edgeWidth)}  ${bars[i]}  ${bin.count}`),
  ];
}

/** The tensors of a part, by names that `inspect` takes. */
function tensorRows(leaves: readonly Part[], { encoded }: LazyCheckpoint): readonly (readonly string[])[] {
  const names = tensorNames(encoded.components);
  return leaves.flatMap(([path, node]) => {
    const held = heldOf(node);
    return held === undefined ? [] : [[names.get(path) ?? path, held.element, `[${held.shape.join(", ")}]`]];
  });
}

/** The tensors of a layer, and how to see its settings. */
async function* layerLines(rows: readonly (readonly string[])[], name: string, run: string, width: number) {
  const cells = rows.map(([tensor = "", ...rest]) => [nameCell(tensor, width, 0.6), ...rest]);
  yield* tableLines({ tensor: "left", dtype: "left", shape: "left" }, cells, width);
  yield "";
  yield* factLines({ "all values": `dogear inspect ${shellWord(run)} ${shellWord(name)} --all` }, width);
}

async function* partText(rows: readonly (readonly string[])[], below: readonly string[], width: number) {
  if (rows.length > 1 || below.length === 0) {
    const cells = rows.map(([path = "", ...rest]) => [nameCell(path, width, 0.6), ...rest]);
    yield* tableLines({ path: "left", type: "left", value: "cut" }, cells, width);
    if (below.length > 0) yield "";
  }
  yield* below;
}

function showPart(
  { wanted, all, text }: { readonly wanted: string; readonly all: boolean; readonly text: string },
  opened: LazyCheckpoint,
  terminal: Terminal,
): CommandTask<CommandReport> {
  const { width } = terminal;
  return pipe(
    readPart(opened, wanted, (file) => verifyFiles({ text, ...opened }, terminal, new Set([file])), text),
    TE.map(({ part, model, leaves, tensor }): CommandReport => {
      const json = [jsonText(partJson(opened, { part, model, leaves, tensor }))];
      if (model !== undefined && !all) return { json, text: modelLines(model, opened, text, width) };
      const nodes = nodesByPath(opened.encoded.components);
      const tensors = isLayer(part[1]) && !all ? tensorRows(leaves, opened) : [];
      if (tensors.length > 0) return { json, text: layerLines(tensors, wanted, text, width) };
      const rows = (all ? leaves : leavesOf(part, isModel)).map((leaf) => leafRow(leaf, nodes));
      const below = tensor === undefined || model !== undefined
        ? []
        : statisticsText(tensor.held, opened.fileOf(tensor.held), tensor.statistics, width);
      return { json, text: partText(rows, below, width) };
    }),
  );
}

// --- the command

/** `dogear inspect`. */
export const inspectCommand: Command = defineCommand({
  name: "inspect",
  summary: "show a checkpoint or a part of it",
  usage: "[RUN][@CHECKPOINT] [PART] [--all]",
  description:
    `Shows a checkpoint and its components. With PART it shows that part of the state, named by its path as in error messages:
of a model the layers, of a layer its tensors, of a tensor the range, mean, NaN count and histogram, of others each value. A
layer can also be named as in your script, model/dense, and a weight as in its file, model/dense/kernel.`,
  options: { all: { help: "every value of a model or a layer" } },
  examples: [
    ["runs/digits@12", "the components of a checkpoint"],
    ["runs/digits model", "the layers of a model, in the newest checkpoint"],
    ["runs/digits@12 model/dense/kernel", "the range, mean and histogram of a weight"],
  ],
  json:
    `{ location, checkpoint, step, metrics, note, time, bytes, shared, run, verdict, error, parent, environment, id, files,
  components }, or { location, path, kind, parts: [{ path, kind, value } or { path, dtype, shape, file }], statistics, model }`,
  parse: ({ options: { all = false }, words: [run = ".", wanted, ...more] }) =>
    more.length > 0
      ? usage(`Expected one checkpoint and one part, found ${more.length + 2} words${separateCheckpoint(wanted, run)}`)
      : pipe(parseReference(run), E.map((reference) => ({ reference, wanted, all }))),
  run: ({ reference, wanted, all }, terminal, open) =>
    pipe(
      findCheckpoint(reference, open),
      TE.flatMap((target) =>
        withCheckpoint(target, (opened) =>
          wanted === undefined
            ? showOverview(opened, terminal)
            : showPart({ wanted, all, text: target.text }, opened, terminal))
      ),
    ),
});
