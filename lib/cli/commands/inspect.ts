/**
 * `dogear inspect`: shows a checkpoint, a part of its state, or the statistics of a tensor.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Manifest } from "../../checkpoint/mod.ts";
import type { Entry } from "../../store/mod.ts";
import {
  arraysOf,
  children,
  type Held,
  isBranch,
  kindOf,
  type Named,
  type Node,
  nodesByPath,
  segment,
  sizeOf,
} from "../../state/mod.ts";
import { type CommandError, messageOf, usage, usageError } from "../arguments.ts";
import { type Command, type CommandResult, defineCommand } from "../command.ts";
import { type LazyCheckpoint, verifyFiles, withCheckpoint } from "../lazy_checkpoint.ts";
import { findCheckpoint, type NamedCheckpoint, parseReference, separateCheckpoint } from "../reference.ts";
import { type Statistics, statistics } from "../statistics.ts";
import { checkpointStatus, isBad, statusJson } from "../checkpoint_status.ts";
import { columnsOf, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { bytesText, jsonText, metricsText, numberText, printable, valueText } from "../format.ts";

// --- types

/** A node without children: an array, an empty branch, a shared object or a plain value. */
interface Leaf {
  readonly path: string;
  readonly node: Node;
}

// --- the state

/** The leaves of a tree, without those that no path in the file names. */
function leavesOf(node: Node, path: string): readonly Leaf[] {
  if (isBranch(node) && node.is === "aside") return [];
  const below = children(node, path);
  return below.length === 0 ? [{ path, node }] : below.flatMap(([at, child]) => leavesOf(child, at));
}

const heldOf = (node: Node): Held | undefined => isBranch(node) && node.is === "array" ? node.held : undefined;

/** Finds a part by its path, or a tensor by its component and its name in the component's file, such as `model/dense/kernel`. */
function findPart(components: readonly Named[], path: string): Leaf | undefined {
  const nodes = nodesByPath(components);
  const node = nodes.get(path) ??
    components.flatMap(([name, root]) => leavesOf(root, segment(name))).find((leaf) => leaf.path === path)?.node;
  if (node !== undefined) {
    return { path, node: isBranch(node) && node.is === "shared" ? nodes.get(node.path) ?? node : node };
  }
  for (const [component, root] of components) {
    for (const [at, array] of arraysOf(root, segment(component))) {
      if (array.name !== undefined && `${segment(component)}/${array.name}` === path) return { path: at, node: array };
    }
  }
  return undefined;
}

// --- a whole checkpoint

function componentJson([name, node]: Named, fileOf: LazyCheckpoint["fileOf"]) {
  const arrays = arraysOf(node, segment(name)).map(([, { held }]) => held);
  const elements = arrays.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return { name, kind: kindOf(node), tensors: arrays.length, elements, files: [...new Set(arrays.map(fileOf))] };
}

async function* overviewText(
  { checkpoint, store }: LazyCheckpoint,
  { step, metrics, bytes, run, parent, time, environment, id }: Manifest & Partial<Entry>,
  verdict: string,
  components: readonly ReturnType<typeof componentJson>[],
  width: number,
): AsyncGenerator<string> {
  const { dogear, tfjs, runtime, backend } = environment;
  const facts: readonly (readonly [string, string])[] = [
    ["checkpoint", `${checkpoint} in ${store.location}`],
    ["saved", `${new Date(time).toISOString()} by dogear ${dogear}, tfjs ${tfjs}, ${runtime}, backend ${backend}`],
    ["run", `${run}${parent === null ? "" : `, after checkpoint ${parent}`}`],
    ["step", `${step ?? "-"}`],
    ["metrics", metricsText(metrics) || "-"],
    ["size", bytesText(bytes)],
    ...(id === undefined ? [] : [["id", id] as const]),
    ["verdict", verdict],
  ];
  for (const [name, value] of facts) yield `${name.padEnd(11)} ${printable(value)}`;
  yield "";
  const columns = columnsOf({ component: "cut", kind: "left", tensors: "right", elements: "right", files: "left" });
  const rows = components.map(({ name, kind, tensors, elements, files }) => {
    const some = files.length > 2 ? `${files[0]} and ${files.length - 1} more` : files.join(" ");
    return [name, kind, `${tensors}`, `${elements}`, some];
  });
  yield* tableLines(columns, rows, width);
}

function showOverview(opened: LazyCheckpoint, { width }: Terminal): TE.TaskEither<CommandError, CommandResult> {
  const { store, checkpoint, manifest, encoded, fileOf } = opened;
  const components = encoded.components.map((component) => componentJson(component, fileOf));
  const { parent, environment, id = null, files } = manifest;
  const about = { parent, environment, id, files, components };
  return pipe(
    checkpointStatus(store, checkpoint, false),
    TE.map((status) => ({
      json: () => [jsonText({ location: store.locationOf(checkpoint), ...statusJson(status), ...about })],
      text: () => overviewText(opened, { ...manifest, ...status.entry }, status.verdict, components, width),
      messages: status.error === null ? [] : [messageOf(status.error)],
      exitCode: () => isBad(status) ? 1 : 0,
    })),
  );
}

// --- a part

function leafJson({ path, node }: Leaf, fileOf: LazyCheckpoint["fileOf"]): Record<string, unknown> {
  const held = heldOf(node);
  if (held !== undefined) return { path, dtype: held.element, shape: held.shape, file: fileOf(held) };
  if (isBranch(node)) return { path, kind: kindOf(node), ...(node.is === "shared" ? { shared: node.path } : {}) };
  return { path, kind: kindOf(node), value: node };
}

function leafRow({ path, node }: Leaf): readonly string[] {
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
    `dtype       ${element}`,
    `shape       [${shape.join(", ")}]`,
    `file        ${file}`,
    `${of.padEnd(10)}  ${count}`,
    `range       ${numberText(min)} to ${numberText(max)}`,
    `mean        ${numberText(mean)}, standard deviation ${numberText(deviation)}`,
    `NaN         ${nan}`,
    `infinite    ${infinite}`,
    `zero        ${zeros}`,
    "",
    ...histogram.map((bin, i) =>
      `${(edges[i] ?? "").padStart(width)}  ${"#".repeat(Math.ceil(30 * bin.count / most)).padEnd(30)}  ${bin.count}`
    ),
  ];
}

async function* partText(leaves: readonly Leaf[], below: readonly string[], width: number): AsyncGenerator<string> {
  if (leaves.length > 1 || below.length === 0) {
    yield* tableLines(columnsOf({ path: "left", type: "left", value: "cut" }), leaves.map(leafRow), width);
    if (below.length > 0) yield "";
  }
  yield* below;
}

function showPart(
  wanted: string,
  opened: LazyCheckpoint & NamedCheckpoint,
  terminal: Terminal,
): TE.TaskEither<CommandError, CommandResult> {
  const { store, checkpoint, text, encoded: { components }, fileOf } = opened;
  const found = findPart(components, wanted);
  if (found === undefined) {
    const names = components.map(([name]) => segment(name)).join(", ");
    const expected = `Expected a part of checkpoint ${checkpoint}, found ${JSON.stringify(wanted)}`;
    return TE.left(usageError(`${expected}: its components are ${names}${separateCheckpoint(wanted, text)}`));
  }
  const { path, node } = found;
  const leaves = leavesOf(node, path);
  const [held, ...others] = leaves.flatMap((leaf) => heldOf(leaf.node) ?? []);
  const about = { location: store.locationOf(checkpoint), path, kind: kindOf(node) };
  const report = (found: Statistics | null, lines: readonly string[]): CommandResult => ({
    json: () => [jsonText({ ...about, parts: leaves.map((leaf) => leafJson(leaf, fileOf)), statistics: found })],
    text: () => partText(leaves, lines, terminal.width),
  });
  if (held === undefined || others.length > 0) return TE.right(report(null, []));
  const file = fileOf(held);
  return pipe(
    // Statistics of a damaged file would be wrong.
    verifyFiles(opened, terminal, new Set([file])),
    TE.flatMapTask(() => async () => statistics(held, await held.home.read(held))),
    TE.map((found) => report(found, statisticsText(held, file, found))),
  );
}

// --- the command

/** `dogear inspect`. */
export const inspectCommand: Command = defineCommand({
  name: "inspect",
  summary: "show a checkpoint, a component or a tensor",
  usage: "[RUN][@CHECKPOINT] [PART]",
  description:
    `Shows a checkpoint and its components. With PART it shows that part of the state, named by its path as in error messages,
and of a tensor the range, mean, NaN count and histogram. A weight can also be named as in its file: model/dense/kernel.`,
  options: {},
  example: "runs/digits@12 model/dense/kernel",
  json:
    `{ location, checkpoint, step, metrics, time, bytes, shared, run, verdict, error, parent, environment, id, files,
  components }, or { location, path, kind, parts: [{ path, kind, value } or { path, dtype, shape, file }], statistics }`,
  parse: ({ words: [run = ".", wanted, ...more] }) =>
    more.length > 0
      ? usage(`Expected one checkpoint and one part, found ${more.length + 2} words${separateCheckpoint(wanted, run)}`)
      : pipe(parseReference(run), E.map((reference) => ({ reference, wanted }))),
  run: ({ reference, wanted }, terminal) =>
    pipe(
      findCheckpoint(reference),
      TE.flatMap((target) =>
        withCheckpoint(target, (opened) =>
          wanted === undefined ? showOverview(opened, terminal) : showPart(wanted, opened, terminal))
      ),
    ),
  show: (report) => report,
});
