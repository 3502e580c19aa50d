/**
 * `dogear inspect`: shows a checkpoint, a part of its state, or the statistics of a tensor.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { entryOf, type LazyCheckpoint, type Part, withCheckpoint } from "../../checkpoint/mod.ts";
import { type Held, isBranch, kindOf } from "../../state/mod.ts";
import { type CommandTask, messageOf, usage } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { findCheckpoint, parseReference, separateCheckpoint } from "../reference.ts";
import type { Statistics } from "../statistics.ts";
import { checkpointStatus, isBad, verifyFiles } from "../checkpoint_status.ts";
import { checkpointJson, type ComponentFacts, componentFacts, partJson, readPart } from "../inspection.ts";
import { type Columns, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { printable } from "../../errors/mod.ts";
import { bytesText, jsonText, metricsText, noteText, valueText } from "../format.ts";
import { numberText } from "../../terminal/mod.ts";

// --- a whole checkpoint

/** Names and values in two columns. */
function factLines(facts: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(facts).map(([name, value]) => `${name.padEnd(10)}  ${printable(value)}`);
}

function componentRow({ name, kind, tensors, elements, files }: ComponentFacts): readonly string[] {
  const some = files.length > 2 ? `${files[0]} and ${files.length - 1} more` : files.join(" ");
  return [name, kind, `${tensors}`, `${elements}`, some];
}

const overview: Columns = { component: "cut", kind: "left", tensors: "right", elements: "right", files: "left" };

async function* overviewText(facts: readonly string[], components: readonly (readonly string[])[], width: number) {
  yield* facts;
  yield "";
  yield* tableLines(overview, components, width);
}

function showOverview(opened: LazyCheckpoint, { width }: Terminal): CommandTask<CommandReport> {
  const { store, checkpoint, manifest } = opened;
  const { parent, environment, id = null } = manifest;
  const { dogear, tfjs, runtime, backend } = environment;
  const { step, metrics, note, time, bytes, run } = entryOf(checkpoint, manifest);
  const components = componentFacts(opened);
  const facts = {
    checkpoint: `${checkpoint} in ${store.location}`,
    saved: `${new Date(time).toISOString()} by dogear ${dogear}, tfjs ${tfjs}, ${runtime}, backend ${backend}`,
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
      text: overviewText(factLines({ ...facts, verdict: status.verdict }), components.map(componentRow), width),
      messages: status.error === null ? [] : [messageOf(status.error)],
      exitCode: () => isBad(status) ? 1 : 0,
    })),
  );
}

// --- a part

function leafRow([path, node]: Part): readonly string[] {
  if (!isBranch(node)) return [path, kindOf(node), valueText(node)];
  if (node.is === "shared") return [path, node.is, node.path];
  if (node.is !== "array") return [path, node.is, "{}"];
  return [path, node.held.element, `[${node.held.shape.join(", ")}]${node.name === undefined ? "" : ` ${node.name}`}`];
}

function statisticsText({ element, shape }: Held, file: string, found: Statistics): readonly string[] {
  const { of, count, nan, infinite, zeros, min, max, mean, deviation, histogram } = found;
  const most = Math.max(1, ...histogram.map((bin) => bin.count));
  const edges = histogram.map(({ from, to }) => `${numberText(from)} to ${numberText(to)}`);
  const width = Math.max(0, ...edges.map((edge) => edge.length));
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
    }),
    "",
    ...histogram.map((bin, i) =>
      `${(edges[i] ?? "").padStart(width)}  ${"#".repeat(Math.ceil(30 * bin.count / most)).padEnd(30)}  ${bin.count}`
    ),
  ];
}

async function* partText(leaves: readonly Part[], below: readonly string[], width: number): AsyncGenerator<string> {
  if (leaves.length > 1 || below.length === 0) {
    yield* tableLines({ path: "left", type: "left", value: "cut" }, leaves.map(leafRow), width);
    if (below.length > 0) yield "";
  }
  yield* below;
}

function showPart(
  wanted: string,
  opened: LazyCheckpoint,
  text: string,
  terminal: Terminal,
): CommandTask<CommandReport> {
  return pipe(
    readPart(opened, wanted, (file) => verifyFiles({ text, ...opened }, terminal, new Set([file])), text),
    TE.map((found): CommandReport => ({
      json: [jsonText(partJson(opened, found))],
      text: partText(
        found.leaves,
        found.tensor === undefined
          ? []
          : statisticsText(found.tensor.held, opened.fileOf(found.tensor.held), found.tensor.statistics),
        terminal.width,
      ),
    })),
  );
}

// --- the command

/** `dogear inspect`. */
export const inspectCommand: Command = defineCommand({
  name: "inspect",
  summary: "show a checkpoint or a part of it",
  usage: "[RUN][@CHECKPOINT] [PART]",
  description:
    `Shows a checkpoint and its components. With PART it shows that part of the state, named by its path as in error messages,
and of a tensor the range, mean, NaN count and histogram. A weight can also be named as in its file: model/dense/kernel.`,
  options: {},
  examples: [
    ["runs/digits@12", "the components of a checkpoint"],
    ["runs/digits model", "a component of the newest one"],
    ["runs/digits@12 model/dense/kernel", "the range, mean and histogram of a weight"],
  ],
  json:
    `{ location, checkpoint, step, metrics, note, time, bytes, shared, run, verdict, error, parent, environment, id, files,
  components }, or { location, path, kind, parts: [{ path, kind, value } or { path, dtype, shape, file }], statistics }`,
  parse: ({ words: [run = ".", wanted, ...more] }) =>
    more.length > 0
      ? usage(`Expected one checkpoint and one part, found ${more.length + 2} words${separateCheckpoint(wanted, run)}`)
      : pipe(parseReference(run), E.map((reference) => ({ reference, wanted }))),
  run: ({ reference, wanted }, terminal, open) =>
    pipe(
      findCheckpoint(reference, open),
      TE.flatMap((target) =>
        withCheckpoint(target, (opened) =>
          wanted === undefined ? showOverview(opened, terminal) : showPart(wanted, opened, target.text, terminal))
      ),
    ),
});
