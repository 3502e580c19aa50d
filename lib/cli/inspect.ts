/**
 * `dogear inspect`: a checkpoint, a component or any part of it, the numbers of one tensor.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import { verifyCheckpoint } from "../verify.ts";
import { arraysOf, children, isBranch, kindOf, type Named, type Node, nodesByPath, segment } from "../state_tree.ts";
import { type Held, sizeOf } from "../tensor.ts";
import { type Chosen, oneChosen, type Outcome, sentence, usage, type Words } from "./arguments.ts";
import { isBad, summaryJson } from "./ls.ts";
import { openCheckpoint, type Opened } from "./opened.ts";
import { type Statistics, statistics } from "./statistics.ts";
import { summarize } from "./summary.ts";
import type { Terminal } from "./terminal.ts";
import { bytesText, jsonText, metricsText, numberText, plainText, table, valueText } from "./text.ts";

// --- parts of a state

interface Leaf {
  readonly path: string;
  readonly node: Node;
}

/** What a tree consists of, without what is carried aside. */
function leavesOf(node: Node, path: string): readonly Leaf[] {
  if (isBranch(node) && node.is === "aside") return [];
  const below = children(node, path);
  return below.length === 0 ? [{ path, node }] : below.flatMap(([at, child]) => leavesOf(child, at));
}

const held = (node: Node): Held | undefined => isBranch(node) && node.is === "array" ? node.held : undefined;

function leafJson({ fileOf }: Opened, { path, node }: Leaf): Record<string, unknown> {
  const array = held(node);
  if (array !== undefined) return { path, dtype: array.element, shape: array.shape, file: fileOf(array) };
  if (isBranch(node)) return { path, kind: kindOf(node), ...(node.is === "shared" ? { shared: node.path } : {}) };
  return { path, kind: kindOf(node), value: node };
}

function leafRow({ path, node }: Leaf): readonly string[] {
  const array = held(node);
  if (array !== undefined) {
    const name = isBranch(node) && node.is === "array" && node.name !== undefined ? ` ${node.name}` : "";
    return [path, array.element, `[${array.shape.join(", ")}]${name}`];
  }
  if (isBranch(node)) return [path, node.is, node.is === "shared" ? node.path : "{}"];
  return [path, kindOf(node), valueText(node)];
}

function totalOf(arrays: readonly (readonly [string, { readonly held: Held }])[]): number {
  return arrays.reduce((sum, [, { held }]) => sum + sizeOf(held.shape), 0);
}

/** The checkpoint itself: what it says of itself, and its components. */
async function inspectWhole(
  { store, checkpoint }: Chosen,
  opened: Opened,
  json: boolean,
  out: Terminal,
): Promise<Outcome> {
  const summary = await summarize(store, checkpoint, false)();
  if (E.isLeft(summary)) return summary;
  const { manifest, encoded, fileOf } = opened;
  const { run, parent, time, environment, id = null } = manifest;
  const components = encoded.components.map(([name, node]: Named) => {
    const arrays = arraysOf(node, segment(name));
    const files = [...new Set(arrays.map(([, { held }]) => fileOf(held)))];
    return { name, kind: kindOf(node), tensors: arrays.length, elements: totalOf(arrays), files };
  });
  const code = isBad(summary.right) ? 1 : 0;
  if (json) {
    const about = { location: store.locationOf(checkpoint), ...summaryJson(summary.right), parent, environment, id };
    await out.print([jsonText({ ...about, files: manifest.files, components })]);
    return E.right(code);
  }
  const { step, metrics, bytes } = summary.right.entry ?? manifest;
  const { dogear, tfjs, runtime, backend } = environment;
  const facts: readonly (readonly [string, string])[] = [
    ["checkpoint", `${checkpoint} in ${store.location}`],
    ["saved", `${new Date(time).toISOString()} by dogear ${dogear}, tfjs ${tfjs}, ${runtime}, backend ${backend}`],
    ["run", `${run}${parent === null ? "" : `, after checkpoint ${parent}`}`],
    ["step", `${step ?? "-"}`],
    ["metrics", metricsText(metrics) || "-"],
    ["size", bytesText(bytes)],
    ...(id === null ? [] : [["id", id] as const]),
    ["verdict", summary.right.verdict],
  ];
  async function* text(): AsyncGenerator<string> {
    for (const [name, value] of facts) yield `${name.padEnd(11)} ${plainText(value)}`;
    yield "";
    const columns = [
      { name: "component", flexible: true },
      { name: "kind" },
      { name: "tensors", right: true },
      { name: "elements", right: true },
      { name: "files" },
    ];
    const rows = components.map(({ name, kind, tensors, elements, files }) => [
      name,
      kind,
      `${tensors}`,
      `${elements}`,
      files.length > 2 ? `${files[0]} and ${files.length - 1} more` : files.join(" "),
    ]);
    yield* table(columns, rows, out.width);
  }
  await out.print(text());
  if (summary.right.error !== null) out.say(sentence(summary.right.error));
  return E.right(code);
}

function statisticsText(array: Held, file: string, found: Statistics): readonly string[] {
  const { of, count, nan, infinite, zeros, min, max, mean, deviation, histogram } = found;
  const most = Math.max(1, ...histogram.map((bin) => bin.count));
  const edges = histogram.map(({ from, to }) => `${numberText(from)} to ${numberText(to)}`);
  const width = Math.max(0, ...edges.map((edge) => edge.length));
  return [
    `dtype       ${array.element}`,
    `shape       [${array.shape.join(", ")}]`,
    `file        ${file}`,
    `${of === "elements" ? "elements  " : of}  ${count}`,
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

/** A component, a part of it or a tensor: by its path, or a tensor by its name in the component's file. */
async function inspectPart(
  chosen: Chosen,
  opened: Opened,
  path: string,
  json: boolean,
  out: Terminal,
): Promise<Outcome> {
  const { store, checkpoint } = chosen;
  const { components } = opened.encoded;
  const nodes = nodesByPath(components);
  const given = components.flatMap(([name, node]) =>
    arraysOf(node, segment(name)).map((found) => [name, found] as const)
  )
    .find(([name, [, { name: own }]]) => own !== undefined && `${segment(name)}/${own}` === path)?.[1];
  const scalars = (): readonly Leaf[] => components.flatMap(([name, node]: Named) => leavesOf(node, segment(name)));
  const direct = nodes.get(path) ?? scalars().find((leaf) => leaf.path === path)?.node;
  const [at, named] = direct === undefined ? given ?? [path, undefined] : [path, direct];
  if (named === undefined) {
    const names = components.map(([name]) => segment(name)).join(", ");
    return usage(
      `Expected a path in checkpoint ${checkpoint}, found ${JSON.stringify(path)}: its components are ${names}`,
    );
  }
  const node = isBranch(named) && named.is === "shared" ? nodes.get(named.path) ?? named : named;
  const leaves = leavesOf(node, at);
  const arrays = leaves.flatMap(({ node }) => held(node) ?? []);
  const [only] = arrays.length === 1 ? arrays : [];
  const draw = out.draw(`checking checkpoint ${checkpoint}`);
  // Numbers of a damaged file would be lies.
  const checked = only === undefined
    ? E.right(undefined)
    : await verifyCheckpoint(store, checkpoint, draw, ({ name }) => name === opened.fileOf(only))();
  draw();
  if (E.isLeft(checked)) return checked;
  const found = only === undefined ? undefined : statistics(only, await only.home.read(only));
  if (json) {
    const about = { location: store.locationOf(checkpoint), path: at, kind: kindOf(node) };
    await out.print([
      jsonText({ ...about, parts: leaves.map((leaf) => leafJson(opened, leaf)), statistics: found ?? null }),
    ]);
    return E.right(0);
  }
  async function* text(): AsyncGenerator<string> {
    const columns = [{ name: "path" }, { name: "type" }, { name: "value", flexible: true }];
    if (only === undefined || leaves.length > 1) yield* table(columns, leaves.map(leafRow), out.width);
    if (only === undefined || found === undefined) return;
    if (leaves.length > 1) yield "";
    yield* statisticsText(only, opened.fileOf(only), found);
  }
  await out.print(text());
  return E.right(0);
}

/** `dogear inspect [run] [checkpoint] [path]`. */
export function inspect({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    const asked = await oneChosen(rest, "may follow")();
    if (E.isLeft(asked)) return asked;
    const { chosen, more } = asked.right;
    const opened = await openCheckpoint(chosen.store, chosen.checkpoint)();
    if (E.isLeft(opened)) return opened;
    const json = options["json"] === true;
    try {
      return more === undefined
        ? await inspectWhole(chosen, opened.right, json, terminal)
        : await inspectPart(chosen, opened.right, more, json, terminal);
    } finally {
      await opened.right.close();
    }
  };
}
