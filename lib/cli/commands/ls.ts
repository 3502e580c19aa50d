/**
 * `dogear ls`: lists the checkpoints of runs.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { messageOf } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { findCheckpoints, noCheckpoint, type OpenRun, parseReferences, runsIn } from "../reference.ts";
import { checkpointStatuses, colourVerdict, isBad, type Statuses, statusJson } from "../checkpoint_status.ts";
import { type Columns, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { printable } from "../../errors/mod.ts";
import type { Entry } from "../../store/mod.ts";
import { bytesText, jsonText, metricsText, noteText } from "../format.ts";
import { cut, numberText, spanText, sparkline } from "../../terminal/mod.ts";

// --- types

/** The statuses of a run's checkpoints, newest first. They are read as they are shown. */
type StatusesOf = (run: OpenRun) => Statuses;

// --- showing

async function* listingJson(runs: readonly OpenRun[], statusesOf: StatusesOf): AsyncGenerator<string> {
  yield '{"runs":[';
  for (const [i, run] of runs.entries()) {
    yield `${i === 0 ? "" : ","}{"location":${jsonText(run.store.location)},"checkpoints":[`;
    let separator = "";
    for await (const status of statusesOf(run)) {
      yield `${separator}${jsonText(statusJson(status))}`;
      separator = ",";
    }
    yield "]}";
  }
  yield "]}";
}

/** The columns that are empty for a checkpoint whose manifest cannot be read. */
const entryColumns: Columns = {
  age: "right",
  step: "right",
  metrics: "cut",
  size: "right",
  shared: "right",
  run: "left",
};

/** What a narrow terminal lacks the room for, the least important first. */
const spare = ["shared", "run", "size", "age", "metrics", "step"];

async function* statusRows(statuses: Statuses, entries: Entry[]): AsyncGenerator<readonly string[]> {
  const now = Date.now();
  for await (const { checkpoint, entry, shared, verdict } of statuses) {
    if (entry !== null) entries.push(entry);
    const about = entry === null ? Object.keys(entryColumns).map(() => "") : [
      // The first rows determine the width, and later ages are longer.
      spanText((now - entry.time) / 1000).padStart(6),
      `${entry.step ?? "-"}`,
      metricsText(entry.metrics),
      bytesText(entry.bytes),
      shared === null ? "?" : bytesText(shared),
      entry.run.slice(0, 8),
    ];
    yield [`${checkpoint}`, ...about, verdict, entry?.note === undefined ? "" : noteText(entry.note)];
  }
}

const curveColumns: Columns = {
  metric: "cut",
  curve: "left",
  first: "right",
  last: "right",
  least: "right",
  greatest: "right",
};

/** The most columns of a sparkline, and the most metrics that have one. */
const [sparkWidth, mostCurves] = [24, 10];

/** A table of the metrics that two checkpoints or more have, of the run of the newest one: each with a sparkline from the oldest to the newest. */
async function* curveLines(entries: readonly Entry[], width: number): AsyncGenerator<string> {
  const own = entries.filter(({ run }) => run === entries.at(-1)?.run);
  const names = [...new Set(own.flatMap(({ metrics }) => Object.keys(metrics)))];
  const curves = names.map((name) => ({
    name,
    values: own.map(({ metrics }) => Object.hasOwn(metrics, name) ? metrics[name] : undefined),
  })).filter(({ values }) => values.filter((value) => value !== undefined).length > 1);
  if (curves.length === 0) return;
  const rows = curves.slice(0, mostCurves).map(({ name, values }) => {
    const numbers = values.filter((value) => value !== undefined);
    const finite = numbers.filter(Number.isFinite).sort((a, b) => a - b);
    const shown = [numbers[0], numbers.at(-1), finite[0] ?? NaN, finite.at(-1) ?? NaN] as readonly number[];
    return [name, sparkline(values, sparkWidth), ...shown.map((value) => numberText(value))];
  });
  yield "";
  yield* tableLines(curveColumns, rows, width, ["greatest", "least", "first", "curve"]);
  const left = curves.length - mostCurves;
  if (left > 0) yield cut(`${left} more: dogear plot RUN METRIC`, width);
}

async function* listingText(runs: readonly OpenRun[], statusesOf: StatusesOf, terminal: Terminal) {
  const columns: Columns = { checkpoint: "right", ...entryColumns, verdict: colourVerdict(terminal) };
  for (const [i, run] of runs.entries()) {
    if (runs.length > 1) yield `${i === 0 ? "" : "\n"}${printable(run.text)}`;
    const entries: Entry[] = [];
    yield* tableLines(columns, statusRows(statusesOf(run), entries), terminal.width, spare);
    if (terminal.width < Infinity) yield* curveLines(entries.reverse(), terminal.width);
  }
}

/** The report on the checkpoints of runs, which are read as they are printed. */
function listing(runs: readonly OpenRun[], verify: boolean, terminal: Terminal): CommandReport {
  let anyBad = false;
  async function* statusesOf({ store, numbers }: OpenRun): Statuses {
    for await (const status of checkpointStatuses(store, numbers.toReversed(), verify)) {
      anyBad ||= isBad(status);
      yield status;
    }
  }
  return {
    json: listingJson(runs, statusesOf),
    text: listingText(runs, statusesOf, terminal),
    messages: runs.filter(({ numbers }) => numbers.length === 0).map((run) => messageOf(noCheckpoint(run))),
    exitCode: () => anyBad ? 1 : 0,
  };
}

// --- the command

/** `dogear ls`. */
export const lsCommand: Command = defineCommand({
  name: "ls",
  summary: "list the checkpoints of runs",
  usage: "[RUN[@CHECKPOINT]]... [--verify]",
  description:
    `Lists checkpoints, the newest first: number, age, step, metrics, size, how much of the size is in files that other
checkpoints link too, the name of the run, and a verdict; on a line below, the note of the save, if it has one. The
verdict is "complete" if the manifest is intact and every file has its length. Without CHECKPOINT it lists all of a run,
and of a folder of runs all runs in it. In a terminal, a second table has the metrics from the oldest checkpoint to the
newest. A narrow terminal shows fewer columns.`,
  options: { verify: { help: 'read every byte: the verdict is then "verified" or "damaged"' } },
  examples: [
    ["runs/digits", "every checkpoint of a run, the newest first"],
    ["runs", "of a folder of runs, those of each run"],
    ["runs/digits --verify", "read every byte, too"],
  ],
  json:
    "{ runs: [{ location, checkpoints: [{ checkpoint, step, metrics, note, time, bytes, shared, run, verdict, error }] }] }",
  parse: ({ options: { verify = false }, words }) =>
    pipe(parseReferences(words), E.map((references) => ({ references, verify }))),
  run: ({ references, verify }, terminal, open) =>
    pipe(
      references,
      TE.traverseSeqArray((one) => pipe(findCheckpoints(one, open), TE.flatMap(runsIn(open)))),
      TE.map((runs) => listing(runs.flat(), verify, terminal)),
    ),
});
