/**
 * `dogear cp`: copies checkpoints of a run to another store.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type Copied, copyCheckpoint, type CopyError } from "../../checkpoint/mod.ts";
import type { Store } from "../../store/mod.ts";
import { type CommandTask, messageOf, type Usage, usage } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { inside, nameOf, runsIn } from "../nearby.ts";
import { findCheckpoints, parseReference, type Reference, separateCheckpoint, withCheckpoints } from "../reference.ts";
import { type OpenUrl, storeAt } from "../stores.ts";
import { type Columns, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { bytesText, jsonText } from "../format.ts";

// --- types

/** What became of one checkpoint. */
interface CopyLine {
  readonly checkpoint: number;
  readonly result: "copied" | "already there" | "not copied";
  /** The length of all its files, null if it was not copied. */
  readonly bytes: number | null;
  /** Why it was not copied. */
  readonly error: CopyError | null;
}

// --- parsing

/** The run to copy to. A checkpoint is an error: a copy keeps its number. */
function parseTarget(word: string, from: Reference): E.Either<Usage, string> {
  return pipe(
    parseReference(word, from.run),
    E.flatMap(({ run, checkpoint }) =>
      checkpoint === undefined
        ? E.right(run)
        : usage(`Expected a run to copy to, found the checkpoint ${JSON.stringify(word)}: a copy keeps its number`)
    ),
  );
}

// --- running

/** Refuses a folder of runs: a copy there would make the folder itself a run. */
function checkTarget(target: string, name: string, open: OpenUrl): CommandTask<void> {
  return async () => {
    const [run] = await runsIn(target, open);
    if (run === undefined) return E.right(undefined);
    return usage(
      `Expected a run to copy to, found ${target}, which holds runs such as ${run}. Write ${inside(target, name)}`,
    );
  };
}

function lineOf(checkpoint: number, outcome: E.Either<CopyError, Copied>): CopyLine {
  if (E.isLeft(outcome)) return { checkpoint, result: "not copied", bytes: null, error: outcome.left };
  const { isNew, bytes } = outcome.right;
  return { checkpoint, result: isNew ? "copied" : "already there", bytes, error: null };
}

/** Whether the other checkpoints may be copied in spite of an error of one. */
function isOfOne(error: CopyError): boolean {
  return error._tag === "Damaged" || error._tag === "NewerFormat" ||
    (error._tag === "StoreFailed" && error.code === "ETAKEN");
}

/** Copies checkpoints in ascending order, up to an error that the others would meet too. What was removed meanwhile is left out. */
async function copyAll(
  from: Store,
  to: Store,
  numbers: readonly number[],
  terminal: Terminal,
): Promise<readonly CopyLine[]> {
  const lines: CopyLine[] = [];
  for (const [i, checkpoint] of numbers.entries()) {
    const bar = terminal.draw(`${i + 1} of ${numbers.length}: checkpoint ${checkpoint}`);
    const outcome = await copyCheckpoint(from, to, { onProgress: bar })(checkpoint)().finally(bar);
    const line = lineOf(checkpoint, outcome);
    if (line.error?._tag !== "NoCheckpoint" || numbers.length === 1) lines.push(line);
    if (line.error !== null && line.error._tag !== "NoCheckpoint" && !isOfOne(line.error)) break;
  }
  return lines;
}

// --- showing

function summaryOf(lines: readonly CopyLine[]): string {
  const copied = lines.filter(({ result }) => result === "copied");
  const there = lines.filter(({ result }) => result === "already there").length;
  const bytes = copied.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  const done = `Copied ${copied.length} ${copied.length === 1 ? "checkpoint" : "checkpoints"}, ${bytesText(bytes)}`;
  return there === 0 ? done : `${done}; ${there} ${there === 1 ? "was" : "were"} there already`;
}

async function* copiedText(lines: readonly CopyLine[], { width, paint }: Terminal): AsyncGenerator<string> {
  const columns: Columns = {
    checkpoint: "right",
    size: "right",
    result: (cell) => cell === "not copied" ? paint("red", cell) : cell,
  };
  const rows = lines.map(({ checkpoint, bytes, result }) => {
    return [`${checkpoint}`, bytes === null ? "" : bytesText(bytes), result];
  });
  yield* tableLines(columns, rows, width);
  yield summaryOf(lines);
}

/** The errors, where those that are the same for several checkpoints are said once. */
function messagesOf(errors: readonly CopyError[]): readonly string[] {
  const groups = new Map<string, readonly CopyError[]>();
  for (const error of errors) {
    const same = messageOf(error._tag === "StoreFailed" ? { ...error, path: "" } : error);
    groups.set(same, [...groups.get(same) ?? [], error]);
  }
  return [...groups.values()].map(([first, ...more]) => {
    const others = `${more.length} more ${more.length === 1 ? "checkpoint" : "checkpoints"}`;
    return messageOf(first!) + (more.length === 0 ? "" : `. It is the same with ${others}`);
  });
}

function copying(
  from: Store,
  to: Store,
  numbers: readonly number[],
  lines: readonly CopyLine[],
  terminal: Terminal,
): CommandReport {
  const errors = lines.flatMap(({ error }) => error ?? []);
  const attempted = lines.at(-1)?.checkpoint ?? Infinity;
  const rest = numbers.filter((number) => number > attempted).length;
  const stopped = errors.length > 0 && !isOfOne(errors.at(-1)!) && rest > 0
    ? [`${rest} further ${rest === 1 ? "checkpoint was" : "checkpoints were"} not tried: run it again to continue`]
    : [];
  return {
    json: [jsonText({ from: from.location, to: to.location, checkpoints: lines })],
    text: copiedText(lines, terminal),
    messages: [...messagesOf(errors), ...stopped],
    exitCode: () => errors.length === 0 ? 0 : errors.every(({ _tag }) => _tag === "Damaged") ? 1 : 2,
  };
}

// --- the command

/** `dogear cp`. */
export const cpCommand: Command = defineCommand({
  name: "cp",
  summary: "copy a run to a folder or a bucket",
  usage: "RUN[@CHECKPOINT] TO",
  description:
    `Copies a run, or one checkpoint of it, to a folder or an s3:// URL, which need not exist. Every byte is checked on the way. The
manifest stays as it is, so a copy has the same run, number, digests and id. Checkpoints that TO has already are skipped:
after an interruption the same command continues. Nothing is overwritten, and numbers only grow: a checkpoint is not copied
if TO has a higher number, or another checkpoint with the same number. Nothing else may save to TO meanwhile.`,
  options: {},
  examples: [
    ["runs/digits s3://bucket/digits", "a run to a bucket"],
    ["s3://bucket/digits runs/copy", "a run from a bucket"],
    ["runs/digits@12 copies/digits", "one checkpoint"],
  ],
  json: '{ from, to, checkpoints: [{ checkpoint, result: "copied" | "already there" | "not copied", bytes, error }] }',
  parse: ({ words: [first, second, ...more] }) =>
    first === undefined || second === undefined || more.length > 0
      ? usage(`Expected RUN or RUN@CHECKPOINT, and where to copy it to${separateCheckpoint(second, first)}`)
      : pipe(
        E.Do,
        E.bind("reference", () => parseReference(first)),
        E.bind("target", ({ reference }) => parseTarget(second, reference)),
      ),
  run: ({ reference, target }, terminal, open) =>
    pipe(
      findCheckpoints(reference, open),
      TE.flatMap(withCheckpoints(open, reference.run)),
      TE.bindTo("from"),
      TE.bind("to", (): CommandTask<Store> => storeAt(target, open)),
      TE.tap(({ from }) => checkTarget(target, nameOf(from.store.location), open)),
      TE.bind("lines", ({ from: { store, numbers }, to }) => TE.fromTask(() => copyAll(store, to, numbers, terminal))),
      TE.map(({ from: { store, numbers }, to, lines }) => copying(store, to, numbers, lines, terminal)),
    ),
});
