/**
 * `dogear ls`: lists the checkpoints of runs.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { messageOf } from "../arguments.ts";
import { type Command, defineCommand } from "../command.ts";
import { findCheckpoints, type OpenRun, parseReferences } from "../reference.ts";
import { type CheckpointStatus, checkpointStatuses, isBad, statusJson, verdictColumn } from "../checkpoint_status.ts";
import { columnsOf, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { bytesText, jsonText, metricsText, printable, spanText } from "../format.ts";

// --- types

/** Checkpoints to list, and the reference that names them. */
interface RunListing extends OpenRun {
  readonly text: string;
}

/** The statuses of a run's checkpoints, newest first. They are read as they are shown. */
type StatusesOf = (run: RunListing) => AsyncIterable<CheckpointStatus>;

// --- showing

async function* listingJson(runs: readonly RunListing[], statusesOf: StatusesOf): AsyncGenerator<string> {
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

async function* statusRows(statuses: AsyncIterable<CheckpointStatus>): AsyncGenerator<readonly string[]> {
  const now = Date.now();
  for await (const { checkpoint, entry, shared, verdict } of statuses) {
    const about = entry === null ? ["", "", "", "", "", ""] : [
      // The first rows determine the width, and later ages are longer.
      spanText((now - entry.time) / 1000).padStart(6),
      `${entry.step ?? "-"}`,
      metricsText(entry.metrics),
      bytesText(entry.bytes),
      shared === null ? "?" : bytesText(shared),
      entry.run.slice(0, 8),
    ];
    yield [`${checkpoint}`, ...about, verdict];
  }
}

async function* listingText(
  runs: readonly RunListing[],
  statusesOf: StatusesOf,
  terminal: Terminal,
): AsyncGenerator<string> {
  const columns = [
    ...columnsOf({ checkpoint: "right", age: "right", step: "right", metrics: "cut", size: "right", shared: "right" }),
    ...columnsOf({ run: "left" }),
    verdictColumn(terminal),
  ];
  for (const [i, run] of runs.entries()) {
    if (runs.length > 1) yield `${i === 0 ? "" : "\n"}${printable(run.text)}`;
    yield* tableLines(columns, statusRows(statusesOf(run)), terminal.width);
  }
}

// --- the command

/** `dogear ls`. */
export const lsCommand: Command = defineCommand({
  name: "ls",
  summary: "list the checkpoints of runs",
  usage: "[RUN[@CHECKPOINT]]... [--verify]",
  description:
    `Lists checkpoints, the newest first: number, age, step, metrics, size, how much of the size is in files that other
checkpoints link too, the name of the run, and a verdict. The verdict is "complete" if the manifest is intact and every
file has its length. Without CHECKPOINT it lists all of a run.`,
  options: { verify: { help: 'read every byte: the verdict is then "verified" or "damaged"' } },
  example: "runs/digits",
  json:
    "{ runs: [{ location, checkpoints: [{ checkpoint, step, metrics, time, bytes, shared, run, verdict, error }] }] }",
  parse: ({ options: { verify = false }, words }) =>
    pipe(parseReferences(words), E.map((references) => ({ references, verify }))),
  run: ({ references, verify }) =>
    pipe(
      references,
      TE.traverseSeqArray((one) =>
        pipe(findCheckpoints(one), TE.map((run): RunListing => ({ ...run, text: one.text })))
      ),
      TE.map((runs) => ({ runs, verify })),
    ),
  show: ({ runs, verify }, terminal) => {
    let anyBad = false;
    async function* statusesOf({ store, numbers }: RunListing): AsyncGenerator<CheckpointStatus> {
      for await (const status of checkpointStatuses(store, numbers.toReversed(), verify)) {
        anyBad ||= isBad(status);
        yield status;
      }
    }
    const empty = runs.filter(({ numbers }) => numbers.length === 0);
    return {
      json: () => listingJson(runs, statusesOf),
      text: () => listingText(runs, statusesOf, terminal),
      messages: empty.map(({ store: { location } }) => messageOf({ _tag: "NoCheckpoint", location, available: [] })),
      exitCode: () => anyBad ? 1 : 0,
    };
  },
});
