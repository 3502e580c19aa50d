/**
 * `dogear ls`: lists runs and their checkpoints.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type CommandTask, messageOf, type Usage } from "../arguments.ts";
import { inOrder } from "../../checkpoint/mod.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import {
  findCheckpoints,
  type OpenRun,
  parseReferences,
  type Reference,
  runsAt,
  withCheckpoints,
} from "../reference.ts";
import { type CheckpointStatus, checkpointStatuses, colourVerdict, isBad, statusJson } from "../checkpoint_status.ts";
import { nameOf, pasted } from "../nearby.ts";
import { checkMetric, parseSort, sorted, sortKeys, type SortOrder, withMetrics } from "../sorting.ts";
import type { OpenUrl } from "../stores.ts";
import { type Columns, measuredRows, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { printable } from "../../errors/mod.ts";
import type { Entry } from "../../store/mod.ts";
import { bytesText, jsonText, metricsText, noteText, timeText } from "../format.ts";
import { numberText, spanText, sparkline } from "../../terminal/mod.ts";
import { cut } from "../text_width.ts";

// --- types

/** What is asked for. */
interface Asked {
  readonly references: readonly Reference[];
  readonly verify: boolean;
  /** Whether all checkpoints of the runs in a folder are listed, not only the newest. */
  readonly all: boolean;
  readonly sort: SortOrder | undefined;
  /** The metrics to show; all if there are none. */
  readonly metrics: readonly string[];
}

/** Checkpoints that are read, or are read as they are shown. */
type Statuses = AsyncIterable<CheckpointStatus> | Iterable<CheckpointStatus>;

/** The statuses of a run's checkpoints, newest first. They are read as they are shown. */
type StatusesOf = (run: OpenRun) => Statuses;

/** The runs that a reference names. */
interface Found {
  readonly reference: Reference;
  readonly runs: readonly OpenRun[];
  /** Whether it names a folder of runs. */
  readonly areInside: boolean;
  readonly messages: readonly string[];
}

/** A run and those of its checkpoints that are listed. */
interface Listed {
  readonly run: OpenRun;
  readonly statuses: Statuses;
}

/** What is shown of a reference: a line for each run with its newest checkpoint, or a table for each run. */
type Shown =
  & { readonly reference: Reference }
  & ({ readonly newest: readonly (readonly [OpenRun, CheckpointStatus])[] } | { readonly tables: readonly Listed[] });

// --- finding

/** Finds the runs of a reference. A run may lack checkpoints; a place without a run is an error. */
function find(open: OpenUrl): (reference: Reference) => CommandTask<Found> {
  const alone = (reference: Reference, run: OpenRun, messages: readonly string[]): Found => {
    return { reference, runs: [run], areInside: false, messages };
  };
  return (reference) =>
    pipe(
      findCheckpoints(reference, open),
      TE.bindTo("itself"),
      TE.bind("at", ({ itself }) => runsAt(open)(itself)),
      TE.flatMap(({ itself, at: { runs, areInside, unread: [unread, ...others] } }): CommandTask<Found> => {
        const messages = [...unread === undefined ? [] : [unread], ...others].map(messageOf);
        if (areInside || itself.numbers.length > 0) return TE.right({ reference, runs, areInside, messages });
        if (unread !== undefined) return TE.left(unread);
        const none = `${itself.store.location} is a run without a checkpoint: its first save has not ended`;
        return pipe(
          withCheckpoints(open, reference.run)(itself),
          TE.map((run) => alone(reference, run, [])),
          TE.orElse((error) =>
            error._tag === "NoCheckpoint" ? TE.right(alone(reference, itself, [none])) : TE.left(error)
          ),
        );
      }),
    );
}

// --- reading

const newestFirst: SortOrder = { key: "checkpoint", order: "desc" };
const latestFirst: SortOrder = { key: "time", order: "desc" };

async function collected(statuses: Statuses): Promise<readonly CheckpointStatus[]> {
  const all: CheckpointStatus[] = [];
  for await (const status of statuses) all.push(status);
  return all;
}

/** Checks the metrics that are asked for, by what was read. */
function checkAsked({ sort, metrics }: Asked, read: readonly CheckpointStatus[]): E.Either<Usage, unknown> {
  return pipe(
    metrics,
    E.traverseArray((name) => checkMetric("--metric", name, read)),
    E.flatMap(() => sort === undefined ? E.right(undefined) : checkMetric("--sort", sort.key, read, sortKeys)),
  );
}

/** Reads what has to be known before anything is shown; all else is read as it is shown. */
function readFirst(asked: Asked, found: readonly Found[], statusesOf: StatusesOf): CommandTask<readonly Shown[]> {
  return async () => {
    const read: CheckpointStatus[] = [];
    const sort = async (run: OpenRun): Promise<readonly CheckpointStatus[]> => {
      const statuses = await collected(statusesOf(run));
      read.push(...statuses);
      return sorted(statuses, asked.sort ?? newestFirst, (status) => status);
    };
    const shown: Shown[] = [];
    for (const { reference, runs, areInside } of found) {
      if (areInside && !asked.all) {
        const newest: (readonly [OpenRun, CheckpointStatus])[] = [];
        const last = (run: OpenRun): OpenRun => ({ ...run, numbers: run.numbers.slice(-1) });
        for await (const [run, [status]] of inOrder(runs, (run) => sort(last(run)))) {
          if (status !== undefined) newest.push([run, status]);
        }
        shown.push({ reference, newest: sorted(newest, asked.sort ?? latestFirst, ([, status]) => status) });
      } else {
        const isStreamed = asked.sort === undefined && asked.metrics.length === 0;
        const tables: Listed[] = [];
        for (const run of runs) tables.push({ run, statuses: isStreamed ? statusesOf(run) : await sort(run) });
        shown.push({ reference, tables });
      }
    }
    return pipe(checkAsked(asked, read), E.map(() => shown));
  };
}

// --- showing

/** A checkpoint with the metrics to show. */
function viewOf({ metrics, sort }: Asked): (status: CheckpointStatus) => CheckpointStatus {
  return (status) => withMetrics(status, metrics, sort);
}

async function* listingJson(asked: Asked, shown: readonly Shown[]): AsyncGenerator<string> {
  const view = viewOf(asked);
  yield '{"runs":[';
  for (const [i, { run, statuses }] of shown.flatMap((one) => "tables" in one ? one.tables : []).entries()) {
    yield `${i === 0 ? "" : ","}{"location":${jsonText(run.store.location)},"checkpoints":[`;
    let separator = "";
    for await (const status of statuses) {
      yield `${separator}${jsonText(statusJson(view(status)))}`;
      separator = ",";
    }
    yield "]}";
  }
  yield "]}";
}

/** The columns that are empty for a checkpoint whose manifest cannot be read. */
const [entryColumns, moreColumns]: readonly [Columns, Columns] = [
  { age: "right", time: "right", step: "right", metrics: "items", size: "right" },
  { shared: "right", run: "left" },
];

/** What a narrow terminal lacks the room for, the least important first: of a run, and of a folder of runs. */
const [spare, spareOfRuns] = [
  ["shared", "run", "size", "time", "age", "step", "metrics"],
  ["size", "time", "kept", "age", "step", "metrics"],
];

/** The cells of an entry. The first rows determine the widths, so what may be wider in later rows is padded. */
function entryCells(entry: Entry | null, now: number, count: number): readonly string[] {
  if (entry === null) return Object.keys(entryColumns).map(() => "");
  return [
    spanText((now - entry.time) / 1000).padStart(6),
    timeText(entry.time, now).padStart(count > measuredRows ? 11 : 0),
    `${entry.step ?? "-"}`,
    metricsText(entry.metrics),
    bytesText(entry.bytes),
  ];
}

async function* statusRows(
  { run: { numbers }, statuses }: Listed,
  view: ReturnType<typeof viewOf>,
  entries: Entry[],
): AsyncGenerator<readonly string[]> {
  const now = Date.now();
  for await (const status of statuses) {
    const { checkpoint, entry, shared, verdict } = view(status);
    if (entry !== null) entries.push(entry);
    const more = entry === null ? ["", ""] : [shared === null ? "?" : bytesText(shared), entry.run.slice(0, 8)];
    const note = entry?.note === undefined ? "" : noteText(entry.note);
    yield [`${checkpoint}`, ...entryCells(entry, now, numbers.length), ...more, verdict, note];
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
  const inOrder = entries.toSorted((a, b) => a.checkpoint - b.checkpoint);
  const own = inOrder.filter(({ run }) => run === inOrder.at(-1)?.run);
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

/** A line for each run of a folder: its name, how many checkpoints it keeps, and its newest one. */
async function* newestLines(
  at: string,
  newest: readonly (readonly [OpenRun, CheckpointStatus])[],
  view: ReturnType<typeof viewOf>,
  terminal: Terminal,
): AsyncGenerator<string> {
  const now = Date.now();
  const verdict = colourVerdict(terminal);
  const columns: Columns = { run: "left", kept: "right", newest: "right", ...entryColumns, verdict };
  const rows = newest.map(([{ store, numbers }, status]) => {
    const { checkpoint, entry, verdict } = view(status);
    return [
      nameOf(store.location),
      `${numbers.length}`,
      `${checkpoint}`,
      ...entryCells(entry, now, newest.length),
      verdict,
    ];
  });
  yield* tableLines(columns, rows, terminal.width, spareOfRuns);
  const [first] = newest;
  if (terminal.width === Infinity || first === undefined) return;
  yield `\none run  dogear ls ${printable(pasted(first[0].text))}`;
  yield `all      dogear ls ${printable(pasted(at))} --all`;
}

/** A line for each checkpoint of a run, and in a terminal its curves. */
async function* runLines(listed: Listed, view: ReturnType<typeof viewOf>, terminal: Terminal): AsyncGenerator<string> {
  const verdict = colourVerdict(terminal);
  const columns: Columns = { checkpoint: "right", ...entryColumns, ...moreColumns, verdict };
  const entries: Entry[] = [];
  yield* tableLines(columns, statusRows(listed, view, entries), terminal.width, spare);
  if (terminal.width < Infinity) yield* curveLines(entries, terminal.width);
}

async function* listingText(asked: Asked, shown: readonly Shown[], terminal: Terminal): AsyncGenerator<string> {
  const view = viewOf(asked);
  const blocks = shown.flatMap((one): readonly (readonly [string, () => AsyncGenerator<string>])[] => {
    const { text, run } = one.reference;
    if ("newest" in one) return [[text, () => newestLines(run, one.newest, view, terminal)]];
    const tables = one.tables.filter(({ run }) => run.numbers.length > 0);
    return tables.map((listed) => [listed.run.text, () => runLines(listed, view, terminal)]);
  });
  for (const [i, [title, lines]] of blocks.entries()) {
    if (blocks.length > 1) yield `${i === 0 ? "" : "\n"}${printable(title)}`;
    yield* lines();
  }
}

/** Lists what was found. */
function listing(asked: Asked, found: readonly Found[], terminal: Terminal): CommandTask<CommandReport> {
  let anyBad = false;
  async function* statusesOf({ store, numbers }: OpenRun): AsyncGenerator<CheckpointStatus> {
    for await (const status of checkpointStatuses(store, numbers.toReversed(), asked.verify)) {
      anyBad ||= isBad(status);
      yield status;
    }
  }
  return pipe(
    readFirst(asked, found, statusesOf),
    TE.map((shown) => ({
      json: listingJson(asked, shown),
      text: listingText(asked, shown, terminal),
      messages: found.flatMap(({ messages }) => messages),
      exitCode: () => anyBad ? 1 : 0,
    })),
  );
}

// --- the command

/** `dogear ls`. */
export const lsCommand: Command = defineCommand({
  name: "ls",
  summary: "list runs and their checkpoints",
  usage: "[RUN[@CHECKPOINT]]... [--all] [--sort KEY] [--metric NAME]... [--verify]",
  description:
    `Lists the checkpoints of a run, the newest first: number, age, local time, step, metrics, size, shared size, the name of
the run, and a verdict. A note of the save is on a line below. The shared size is that
of files that other checkpoints have too: they are stored once. The verdict "complete" means that the manifest is intact and
every file has its length. The files are not read, so a changed byte is not noticed. With --verify they are: "verified" means
that every byte is as it was saved.
Of a folder of runs it lists the runs, each with the number of checkpoints it keeps and the newest of them. Only that one
is read, unless --all is given.
In a terminal, a second table has the metrics from the oldest checkpoint to the newest. A narrow terminal shows fewer
columns.`,
  options: {
    all: { help: "list all checkpoints of the runs in a folder, as --json does" },
    sort: {
      value: "KEY[:asc]",
      help: "sort by checkpoint, time, step, size or a metric, the greatest first, with :asc the least first",
    },
    metric: { value: "NAME", multiple: true, help: "show this metric only; may be given several times" },
    verify: { help: 'read every byte: the verdict is then "verified" or "damaged"' },
  },
  examples: [
    ["runs/digits", "every checkpoint of a run, the newest first"],
    ["runs", "the runs in a folder, each with its newest checkpoint"],
    ["runs/digits --sort loss:asc", "the least loss first"],
  ],
  json:
    "{ runs: [{ location, checkpoints: [{ checkpoint, step, metrics, note, time, bytes, shared, run, verdict, error }] }] }",
  parse: ({ options: { all = false, json = false, sort, metric = [], verify = false }, words }) =>
    pipe(
      E.Do,
      E.bind("references", () => parseReferences(words)),
      E.bind("sort", () => sort === undefined ? E.right(undefined) : parseSort(sort)),
      E.map((parsed): Asked => ({ ...parsed, verify, all: all || json, metrics: metric })),
    ),
  run: (asked, terminal, open) =>
    pipe(
      asked.references,
      TE.traverseSeqArray(find(open)),
      TE.flatMap((found) => listing(asked, found, terminal)),
    ),
});
