/**
 * `dogear diff`: compares two checkpoints tensor by tensor.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { tensorNames, withCheckpoint } from "../../checkpoint/mod.ts";
import {
  type Difference,
  differences,
  type Encoded,
  isCase,
  isWithin,
  type Node,
  nodesByPath,
  outerPaths,
  segment,
  sizeOf,
} from "../../state/mod.ts";
import { printable } from "../../errors/mod.ts";
import { type CommandTask, usage } from "../arguments.ts";
import { type Command, defineCommand } from "../command.ts";
import { verifyFiles } from "../checkpoint_status.ts";
import { findCheckpoint, type NamedCheckpoint, parseReference, separateCheckpoint } from "../reference.ts";
import { type Columns, tableLines } from "../table.ts";
import { countText, jsonText, nameText, valueText } from "../format.ts";
import { numberText } from "../../terminal/mod.ts";
import { cut, widthOf, wrap } from "../text_width.ts";

// --- types

/** How a component differs. */
interface ComponentDifference {
  readonly name: string;
  readonly equal: boolean;
  /** How many tensors it has, and how many of them differ. */
  readonly tensors: number;
  readonly differing: number;
  /** How many other parts differ, without the words of random generators. */
  readonly values: number;
  /** The largest absolute difference of two elements of tensors. */
  readonly largest: number | null;
  readonly found: readonly Found[];
}

/** A difference, and what it is one of. */
interface Found {
  readonly difference: Difference;
  /** What `inspect` calls its place. */
  readonly name: string;
  readonly of: "tensor" | "value" | "word";
  /** How many elements the tensor has. */
  readonly elements: number;
  /** What each side has: a value, or what is there in place of one. */
  readonly sides: readonly [left: string, right: string];
}

// --- running

/** Whether a path is that of a word in the state of a random generator. */
function isWord(path: string, nodes: ReadonlyMap<string, Node>): boolean {
  return outerPaths(path).some((outer) => {
    const node = nodes.get(outer);
    return isCase(node, "kind") && node.kind === "Rng" && isWithin(path, `${outer}/state`);
  });
}

/** What a side has: a value, or a word for a node that is none; a dash where there is nothing. */
function sideText(side: unknown, node: Node | undefined): string {
  if (side === undefined) return "-";
  return printable(typeof side === "string" && typeof node === "object" && node !== null ? side : valueText(side));
}

/** The components of two states in the order of the first, each with its differences. */
function byComponent(
  left: Encoded,
  right: Encoded,
  differences: readonly Difference[],
): readonly ComponentDifference[] {
  const [names, others] = [tensorNames(left.components), tensorNames(right.components)];
  const [nodes, otherNodes] = [nodesByPath(left.components), nodesByPath(right.components)];
  const nameOf = (path: string): string => {
    const [own, other] = [names.get(path) ?? others.get(path), others.get(path) ?? names.get(path)];
    return own !== undefined && own === other ? own : path;
  };
  const found = differences.map((one): Found => {
    const { path } = one;
    const [array, isTensor] = [nodes.get(path), names.has(path) || others.has(path)];
    const elements = isCase(array, "array") ? sizeOf(array.held.shape) : 0;
    const of = isTensor ? "tensor" : isWord(path, nodes) ? "word" : "value";
    const sides = [sideText(one.left, nodes.get(path)), sideText(one.right, otherNodes.get(path))] as const;
    return { difference: one, name: nameOf(path), of, elements, sides };
  });
  return [...new Set([left, right].flatMap(({ components }) => components.map(([name]) => name)))].map((name) => {
    const own = found.filter(({ difference }) => isWithin(difference.path, segment(name)));
    const tensors = own.filter(({ of }) => of === "tensor");
    const paths = [...names.keys(), ...others.keys()].filter((path) => isWithin(path, segment(name)));
    const largest = tensors.flatMap(({ difference }) => difference.largest ?? []);
    return {
      name,
      equal: own.length === 0,
      tensors: new Set(paths).size,
      differing: tensors.length,
      values: own.filter(({ of }) => of === "value").length,
      largest: largest.length === 0 ? null : largest.reduce((a, b) => Math.max(a, b)),
      found: own,
    };
  });
}

function compareStates(left: NamedCheckpoint, right: NamedCheckpoint): CommandTask<readonly ComponentDifference[]> {
  return withCheckpoint(left, (a) =>
    withCheckpoint(right, (b) =>
      pipe(
        TE.fromTask(differences(a.encoded, b.encoded)),
        TE.map((found) => byComponent(a.encoded, b.encoded, found)),
      )));
}

// --- showing

function sideJson({ store: { location }, checkpoint }: NamedCheckpoint): unknown {
  return { location, checkpoint };
}

function differ(count: number): string {
  return count === 1 ? "differs" : "differ";
}

/** Whether a difference is one of the numbers of a tensor. */
function isOfNumbers({ of, difference: { kind } }: Found): boolean {
  return of === "tensor" && kind === "value";
}

/** How a component differs, in a line. */
function componentText(
  { name, equal, tensors, differing, values, largest, found }: ComponentDifference,
  width: number,
) {
  if (equal) return "equal";
  const [first] = found;
  if (first?.difference.path === segment(name) && !isOfNumbers(first)) {
    if (first.difference.kind === "missing") return "only on the left";
    if (first.difference.kind === "extra") return "only on the right";
    return first.sides.map((side) => cut(side, Math.max(8, Math.floor(width / 4)))).join(" → ");
  }
  const most = largest === null ? "" : `, by at most ${numberText(largest)}`;
  const hasWords = found.some(({ of }) => of === "word");
  // Only the first says that it differs.
  const parts = [
    ...(differing > 0
      ? [`${countText(differing)} of ${countText(tensors, "tensor")} ${differ(differing)}${most}`]
      : []),
    ...(values > 0 ? [`${countText(values, "value")}${differing > 0 ? "" : ` ${differ(values)}`}`] : []),
    ...(hasWords ? [differing + values > 0 ? "generators" : "differs"] : []),
  ];
  return parts.join("; ");
}

/** Rows with their names cut to what the widest of the other cells leave of the width. */
function withNames(
  columns: Columns,
  rows: readonly (readonly string[])[],
  width: number,
): readonly (readonly string[])[] {
  const widest = (column: string, i: number): number =>
    rows.reduce((most, row) => Math.max(most, widthOf(row[i] ?? "")), widthOf(column));
  const room = width - Object.keys(columns).slice(1).reduce((sum, column, i) => sum + widest(column, i + 1) + 2, 0);
  return rows.map(([name = "", ...rest]) => [nameText(name, Math.max(16, room)), ...rest]);
}

const valueColumns: Columns = { value: "left", left: "left", right: "left" };

function valueRow({ name, sides }: Found, width: number): readonly string[] {
  return [name, ...sides.map((side) => cut(side, Math.max(8, Math.floor(width / 4))))];
}

const tensorColumns: Columns = { tensor: "left", differ: "right", "by at most": "right" };

/** How many elements of a tensor differ, and by how much. Those of strings are not counted. */
function tensorRow({ name, elements, difference: { count, largest } }: Found): readonly string[] {
  if (largest === undefined) return [name, "-", "-"];
  return [name, `${countText(count ?? 0)} of ${countText(elements)}`, numberText(largest)];
}

async function* differencesText(components: readonly ComponentDifference[], all: boolean, width: number) {
  const found = components.flatMap((one) => one.found);
  if (found.length === 0) return yield* wrap("Equal: both checkpoints hold the same state, bit for bit.", width);
  const room = Math.max(16, Math.floor(width / 3));
  const rows = components.map((one) => [nameText(segment(one.name), room), componentText(one, width)]);
  yield* tableLines({ component: "left", "left → right": "cut" }, rows, width);
  const numbers = found.filter(isOfNumbers);
  // The line of a component that differs as a whole says all of it.
  const values = components.flatMap(({ name, found }) =>
    found.filter((one) => one.difference.path !== segment(name) && !isOfNumbers(one) && (all || one.of !== "word"))
  );
  if (numbers.length > 0) {
    yield "";
    yield* tableLines(tensorColumns, withNames(tensorColumns, numbers.map(tensorRow), width), width);
  }
  if (values.length > 0) {
    yield "";
    const rows = values.map((one) => valueRow(one, width));
    yield* tableLines(valueColumns, withNames(valueColumns, rows, width), width);
  }
  const hidden = all ? 0 : found.filter(({ of }) => of === "word").length;
  if (hidden === 0) return;
  yield "";
  yield* wrap(`${countText(hidden, "number")} in random generators ${differ(hidden)} too: --all shows them`, width);
}

// --- the command

/** `dogear diff`. */
export const diffCommand: Command = defineCommand({
  name: "diff",
  summary: "compare two checkpoints",
  usage: "[RUN][@CHECKPOINT] [RUN][@CHECKPOINT] [--all]",
  description:
    `Compares two checkpoints tensor by tensor, by bits: first a line for each component, then each difference. The second RUN
may be left out if it is the first one: @18. The exit code is 1 if they differ.`,
  options: { all: { help: "also the numbers in random generators" } },
  examples: [
    ["runs/digits@16 @18", "two checkpoints of a run"],
    ["runs/a runs/b", "the newest checkpoints of two runs"],
    ["runs/digits@latest~1 @latest", "the newest checkpoint and the one before"],
  ],
  json: `{ left, right, equal, differences: [{ path, kind, left, right, count, largest }],
  components: [{ name, equal, tensors, differing, values, largest }] }`,
  parse: ({ options: { all = false }, words }) => {
    const [first, second, ...more] = words;
    return first === undefined || second === undefined || more.length > 0
      ? usage(
        `Expected two checkpoints, such as runs/digits@16 @18, found ${countText(words.length, "word")}${
          separateCheckpoint(second, first)
        }`,
      )
      : pipe(
        E.Do,
        E.bind("left", () => parseReference(first)),
        E.bind("right", ({ left }) => parseReference(second, left.run)),
        E.let("all", () => all),
      );
  },
  run: (given, terminal, open) =>
    pipe(
      TE.Do,
      TE.bind("left", () => findCheckpoint(given.left, open)),
      TE.bind("right", () => findCheckpoint(given.right, open)),
      TE.tap(({ left }) => verifyFiles(left, terminal)),
      TE.tap(({ right }) => verifyFiles(right, terminal)),
      TE.bind("found", ({ left, right }) => compareStates(left, right)),
      TE.map(({ left, right, found }) => {
        const equal = found.every((one) => one.equal);
        const components = found.map(({ found: _, ...one }) => one);
        const all = found.flatMap((one) => one.found.map(({ difference }) => difference));
        return {
          json: [
            jsonText({ left: sideJson(left), right: sideJson(right), equal, differences: all, components }),
          ],
          text: differencesText(found, given.all, terminal.width),
          exitCode: () => equal ? 0 : 1,
        };
      }),
    ),
});
