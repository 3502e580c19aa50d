/**
 * `dogear ls` and `dogear inspect`: what there is, from the list of checkpoints down to the numbers of one tensor.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import { candidates } from "../catalogue.ts";
import { verifyCheckpoint } from "../checkpoint.ts";
import { elements } from "../compare.ts";
import { arraysOf, children, isBranch, kindOf, type Named, type Node, nodesByPath, segment } from "../state_tree.ts";
import { type Held, sizeOf, unpackStrings } from "../tensor.ts";
import { type Chosen, oneChosen, selections, sentence, type Trouble, usage, type Words } from "./arguments.ts";
import { openCheckpoint, type Opened } from "./opened.ts";
import { summaries, summarize, type Summary } from "./summary.ts";
import type { Terminal } from "./terminal.ts";
import {
  bytesText,
  type Column,
  jsonText,
  metricsText,
  numberText,
  plainText,
  spanText,
  table,
  valueText,
} from "./text.ts";

// --- types

/** What a command comes to: the exit code. */
export type Outcome = E.Either<Trouble, number>;

/** The numbers of an array, in a few. */
export interface Statistics {
  /** What is counted: elements, or what stands for them. */
  readonly of: "elements" | "real and imaginary parts" | "lengths of strings in bytes";
  readonly count: number;
  readonly nan: number;
  readonly infinite: number;
  readonly zeros: number;
  /** Of the finite ones, as the next three; NaN where there is none. */
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** The standard deviation of all of them, not of a sample. */
  readonly deviation: number;
  /** How many of the finite ones are from `from` to `to`, which is in the last bin alone. */
  readonly histogram: readonly { readonly from: number; readonly to: number; readonly count: number }[];
}

// --- ls

const isBad = ({ verdict }: Summary): boolean => verdict === "damaged" || verdict === "unreadable";

/** The column of verdicts, red where something is wrong. */
export function verdictColumn({ paint }: Terminal): Column {
  return {
    name: "verdict",
    paint: (verdict) => verdict === "complete" ? verdict : paint(verdict === "verified" ? "green" : "red", verdict),
  };
}

/** One summary as JSON. */
export function summaryJson({ checkpoint, entry, shared, verdict, error }: Summary): Record<string, unknown> {
  const { step = null, metrics = {}, time = null, bytes = null, run = null } = entry ?? {};
  return { checkpoint, step, metrics, time, bytes, shared, run, verdict, error };
}

function row({ checkpoint, entry, shared, verdict }: Summary, now: number): readonly string[] {
  if (entry === null) return [`${checkpoint}`, "", "", "", "", "", "", verdict];
  const { time, step, metrics, bytes, run } = entry;
  // As wide as ages are, for those of the first rows are the shortest.
  const age = spanText((now - time) / 1000).padStart(6);
  const own = shared === null ? "?" : bytesText(shared);
  return [
    `${checkpoint}`,
    age,
    `${step ?? "-"}`,
    metricsText(metrics),
    bytesText(bytes),
    own,
    run.slice(0, 8),
    verdict,
  ];
}

/** `dogear ls [run...]`. */
export function ls({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    const selected = await selections(rest)();
    if (E.isLeft(selected)) return selected;
    const runs: { given: string; location: string; found: AsyncIterable<Summary> }[] = [];
    for (const { given, store, checkpoints } of selected.right) {
      const numbers = await candidates(store)();
      if (E.isLeft(numbers)) return numbers;
      const asked = new Set(checkpoints.map((one) => one === "latest" ? numbers.right.at(-1) : one));
      const wanted = checkpoints.length === 0 ? numbers.right : numbers.right.filter((number) => asked.has(number));
      if (wanted.length === 0) {
        terminal.say(sentence({ _tag: "NoCheckpoint", location: store.location, available: numbers.right }));
      }
      const found = summaries(store, wanted.toReversed(), options["verify"] === true);
      runs.push({ given, location: store.location, found });
    }
    let bad = false;
    async function* seen(found: AsyncIterable<Summary>): AsyncGenerator<Summary> {
      for await (const summary of found) {
        bad ||= isBad(summary);
        yield summary;
      }
    }
    async function* json(): AsyncGenerator<string> {
      yield '{"runs":[';
      for (const [i, { location, found }] of runs.entries()) {
        yield `${i === 0 ? "" : ","}{"location":${jsonText(location)},"checkpoints":[`;
        let first = true;
        for await (const summary of seen(found)) {
          yield `${first ? "" : ","}${jsonText(summaryJson(summary))}`;
          first = false;
        }
        yield "]}";
      }
      yield "]}";
    }
    const columns: readonly Column[] = [
      { name: "checkpoint", right: true },
      { name: "age", right: true },
      { name: "step", right: true },
      { name: "metrics", flexible: true },
      { name: "size", right: true },
      { name: "shared", right: true },
      { name: "run" },
      verdictColumn(terminal),
    ];
    async function* text(): AsyncGenerator<string> {
      const now = Date.now();
      for (const [i, { given, found }] of runs.entries()) {
        if (runs.length > 1) yield `${i === 0 ? "" : "\n"}${plainText(given)}`;
        const rows = async function* (): AsyncGenerator<readonly string[]> {
          for await (const summary of seen(found)) yield row(summary, now);
        };
        yield* table(columns, rows(), terminal.width);
      }
    }
    await terminal.print(options["json"] === true ? json() : text());
    return E.right(bad ? 1 : 0);
  };
}

// --- inspect

/** What the finite numbers among some are. */
function finiteOf(values: ArrayLike<number | bigint>): Omit<Statistics, "of" | "histogram"> {
  let [nan, infinite, zeros, min, max, sum] = [0, 0, 0, Infinity, -Infinity, 0];
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (Number.isNaN(value)) nan++;
    else if (!Number.isFinite(value)) infinite++;
    else {
      if (value === 0) zeros++;
      min = Math.min(min, value);
      max = Math.max(max, value);
      sum += value;
    }
  }
  const finite = values.length - nan - infinite;
  const mean = finite > 0 ? sum / finite : NaN;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (Number.isFinite(value)) squares += (value - mean) ** 2;
  }
  const [least, most] = finite > 0 ? [min, max] : [NaN, NaN];
  return {
    count: values.length,
    nan,
    infinite,
    zeros,
    min: least,
    max: most,
    mean,
    deviation: Math.sqrt(squares / finite),
  };
}

const bins = 10;

/** The numbers of an array, in a few. */
export function statistics(held: Held, bytes: Uint8Array): Statistics {
  const strings = held.element === "string" ? unpackStrings(bytes, sizeOf(held.shape)) ?? [] : undefined;
  const values = strings === undefined ? elements(held, bytes) : strings.map((one) => one.byteLength);
  const found = finiteOf(values);
  const { min, max } = found;
  const n = Number.isNaN(min) ? 0 : min === max ? 1 : bins;
  const counts = Array.from({ length: n }, () => 0);
  // Halves, so that the span of the largest numbers is no infinity.
  const span = max / 2 - min / 2;
  for (let i = 0; i < values.length && n > 0; i++) {
    const value = Number(values[i]);
    if (!Number.isFinite(value)) continue;
    const bin = span > 0 ? Math.min(n - 1, Math.floor(n * ((value / 2 - min / 2) / span))) : 0;
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  const edge = (i: number): number => i === n ? max : min + 2 * (span * (i / n));
  return {
    of: strings !== undefined
      ? "lengths of strings in bytes"
      : held.element === "complex64"
      ? "real and imaginary parts"
      : "elements",
    ...found,
    histogram: counts.map((count, i) => ({ from: edge(i), to: edge(i + 1), count })),
  };
}

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
  const direct = nodes.get(path) ?? components.find(([name]) => segment(name) === path)?.[1];
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
  const found = only === undefined ? undefined : statistics(only, await only.bytes());
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
