/**
 * `dogear diff`: compares two checkpoints tensor by tensor.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { withCheckpoint } from "../../checkpoint/mod.ts";
import { type Difference, differences } from "../../state/mod.ts";
import { type CommandTask, usage } from "../arguments.ts";
import { type Command, defineCommand } from "../command.ts";
import { verifyFiles } from "../checkpoint_status.ts";
import { findCheckpoint, type NamedCheckpoint, parseReference, separateCheckpoint } from "../reference.ts";
import { type Columns, tableLines } from "../table.ts";
import { jsonText, valueText } from "../format.ts";
import { numberText } from "../../terminal/mod.ts";

// --- running

function compareStates(left: NamedCheckpoint, right: NamedCheckpoint): CommandTask<readonly Difference[]> {
  return withCheckpoint(left, (a) => withCheckpoint(right, (b) => TE.fromTask(differences(a.encoded, b.encoded))));
}

// --- showing

function sideJson({ store: { location }, checkpoint }: NamedCheckpoint): unknown {
  return { location, checkpoint };
}

const sides = { left: "cut", right: "left" } as const;
const columns: Columns = { path: "left", "differs in": "left", ...sides, elements: "right", "by at most": "right" };

async function* differencesText(found: readonly Difference[], width: number): AsyncGenerator<string> {
  if (found.length === 0) return yield "equal, by bits";
  const rows = found.map(({ path, kind, count, largest, ...values }) => {
    const [left = "", right = ""] = [values.left, values.right].map((side) =>
      side === undefined ? "" : valueText(side)
    );
    return [path, kind, left, right, `${count ?? ""}`, largest === undefined ? "" : numberText(largest)];
  });
  yield* tableLines(columns, rows, width);
  yield `${found.length} ${found.length === 1 ? "difference" : "differences"}`;
}

// --- the command

/** `dogear diff`. */
export const diffCommand: Command = defineCommand({
  name: "diff",
  summary: "compare two checkpoints",
  usage: "[RUN][@CHECKPOINT] [RUN][@CHECKPOINT]",
  description:
    `Compares two checkpoints tensor by tensor, by bits. The second RUN may be left out if it is the first one: @18.
The exit code is 1 if they differ.`,
  options: {},
  examples: [
    ["runs/digits@16 @18", "two checkpoints of a run"],
    ["runs/a runs/b", "the newest checkpoints of two runs"],
    ["runs/digits@latest~1 @latest", "the newest checkpoint and the one before"],
  ],
  json: "{ left, right, equal, differences: [{ path, kind, left, right, count, largest }] }",
  parse: ({ words: [first, second, ...more] }) =>
    first === undefined || second === undefined || more.length > 0
      ? usage(`Expected two checkpoints, such as runs/digits@16 @18${separateCheckpoint(second, first)}`)
      : pipe(
        E.Do,
        E.bind("left", () => parseReference(first)),
        E.bind("right", ({ left }) => parseReference(second, left.run)),
      ),
  run: (given, terminal, open) =>
    pipe(
      TE.Do,
      TE.bind("left", () => findCheckpoint(given.left, open)),
      TE.bind("right", () => findCheckpoint(given.right, open)),
      TE.tap(({ left }) => verifyFiles(left, terminal)),
      TE.tap(({ right }) => verifyFiles(right, terminal)),
      TE.bind("found", ({ left, right }) => compareStates(left, right)),
      TE.map(({ left, right, found }) => ({
        json: [
          jsonText({ left: sideJson(left), right: sideJson(right), equal: found.length === 0, differences: found }),
        ],
        text: differencesText(found, terminal.width),
        exitCode: () => found.length === 0 ? 0 : 1,
      })),
    ),
});
