/**
 * The progress of a training: a bar on a terminal, plain lines elsewhere. With `run_main` the only module outside of the command line that writes,
 * and only if `progress` is given.
 *
 * The text is a pure function of the position, the times and the width. The effect decides when to draw. A bar is drawn with one write, at most
 * ten times a second. Where it would be too long, the least important parts are left out; no number is ever cut.
 *
 * @module
 */
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { printable } from "../errors/mod.ts";
import type { Saved } from "./save.ts";
import { epochsOf, Loader } from "../loader/mod.ts";
import { barText, numberText, spanText } from "../terminal/mod.ts";
import {
  aBoolean,
  aFunction,
  checkOptionNames,
  demand,
  demandEach,
  finite,
  ifGiven,
  isPlainRecord,
  must,
  type OptionRules,
  type Rule,
} from "../validation/mod.ts";

// --- types

/** Where progress is written: standard error, or a stream of your own. */
export interface ProgressStream {
  /** Writes a piece of text. */
  readonly write: (text: string) => unknown;
  /**
   * Whether it is a terminal, which shows a bar.
   * @default false
   */
  readonly isTTY?: boolean;
  /**
   * The width of the terminal.
   * @default 80
   */
  readonly columns?: number;
}

/** How a training shows its progress. */
export interface ProgressOptions {
  /**
   * Where to write.
   * @default standard error
   */
  readonly to?: ProgressStream;
  /**
   * The seconds between two drawings of the bar, or between two plain lines. A bar is drawn at most ten times a second.
   * @default 0.1 for a bar, 10 for plain lines
   */
  readonly everySeconds?: number;
}

/** The option of a training. */
export interface ShowsProgress {
  /**
   * Shows how far the training is: epoch, batches, rate, time left, last save, metrics. `true` writes to standard error. A terminal gets a bar, which
   * is erased before `onEpochEnd` and `onSaved`, so that they may print. Anything else gets a plain line at the start, every ten seconds and at the end.
   * `fit` and `fitDataset` first write which checkpoint they resume from, or that the training is complete.
   * @default false
   */
  readonly progress?: boolean | ProgressOptions;
}

/** Where a training is. */
export interface ProgressPosition {
  /** The epoch of the last batch, from 1. */
  readonly epoch: number;
  /** How many epochs there are; null if that is unknown, or they never end. */
  readonly epochs: number | null;
  /** How many batches there are; null likewise. */
  readonly total: number | null;
  readonly metrics: Readonly<Record<string, number>>;
}

/** What a progress line says. Times are in seconds. */
export interface ProgressFacts extends ProgressPosition {
  /** Batches since the start of the data. */
  readonly batches: number;
  /** Batches a second, of this process alone; null as long as it is unknown. */
  readonly rate: number | null;
  /** The last save of this process, and how long ago it was; "saving" while one is in flight. */
  readonly save: { readonly checkpoint: number; readonly ago: number } | "saving" | null;
  /** How long the training took, once it is over. */
  readonly took: number | null;
}

/** Shows the progress of one training. */
export interface ProgressDisplay {
  /** Whether it shows anything. */
  readonly isWanted: boolean;
  /** Whether the next batch, of so many, is to be drawn. */
  readonly isDue: () => boolean;
  /** Writes a line of text, above the bar. */
  readonly say: (text: string) => void;
  /** Shows where the training begins. */
  readonly begin: (batches: number, position: () => ProgressPosition) => void;
  /** Call it after each batch. The position is asked for only if it is drawn. */
  readonly after: (batches: number, position: () => ProgressPosition) => void;
  /** Wraps the flush before each save, and shows that a save is in flight. */
  readonly beforeSave: <E>(flush: TaskEither<E, void>) => TaskEither<E, void>;
  /** Wraps `onSaved`: shows the save, and erases the bar first. */
  readonly receiving: (own: ((saved: Saved) => void) | undefined) => (saved: Saved) => void;
  /** Erases the bar until the next drawing. Call it before code that may print. */
  readonly clear: () => void;
  /** Call it at the end: with true if the training is complete. A training that never began shows nothing. */
  readonly end: (isComplete: boolean) => void;
}

const aStream: Rule = must(
  "a stream with write, such as process.stderr",
  (value) => typeof Object(value).write === "function",
);

const rules: OptionRules<ProgressOptions> = {
  to: ifGiven(aStream),
  everySeconds: ifGiven(finite("a number of seconds above 0", (seconds) => seconds > 0)),
};

/** The type of the option. */
export const progressRules: OptionRules<ShowsProgress> = {
  // A stream may be a plain record, too.
  progress: ifGiven(
    must(
      "true, false or a record of options, such as { to: process.stdout }",
      (value) => aBoolean.is(value) || (isPlainRecord(value) && !aStream.is(value)),
    ),
  ),
};

/** Checks the option; a wrong one is a `TypeError`. */
export function checkProgress({ progress }: ShowsProgress): void {
  demandEach(progressRules, { progress });
  if (progress === undefined || typeof progress === "boolean") return;
  checkOptionNames("progress", progress, rules);
  demandEach(rules, progress, "progress.");
  demand("progress.to.write", aFunction, (progress.to ?? process.stderr).write);
}

// --- text

/** The longest name of a metric, in columns. */
const longestName = 24;

/** The most metrics of a line. */
const mostMetrics = 8;

/** The most columns that a text can take. Its exact width would need tables that take longer to load than the rest of the library. */
function mostColumns(text: string): number {
  let columns = 0;
  for (const character of text) columns += character < "\x7f" ? 1 : 2;
  return columns;
}

function shortName(name: string): string {
  const text = printable(name);
  if (mostColumns(text) <= longestName) return text;
  const characters = [...text.slice(0, longestName)];
  while (mostColumns(characters.join("")) > longestName - 1) characters.pop();
  return `${characters.join("")}…`;
}

/** A rate in batches a second, or in seconds a batch. */
function rateText(rate: number): string {
  const digits = (value: number): string => value.toFixed(value < 9.95 ? 1 : 0);
  return rate >= 1 ? `${digits(rate)} batches/s` : `${digits(1 / rate)} s/batch`;
}

/** The parts of a line in their order, without the bar. A part whose name is in `shed` is shorter or left out. */
function partsOf(facts: ProgressFacts, shed: ReadonlySet<string>): readonly string[] {
  const { epoch, epochs, batches, total, rate, save, took, metrics } = facts;
  const left = total === null || rate === null ? null : Math.max(0, total - batches) / rate;
  const saved = save === null || save === "saving" ? save : `saved ${save.checkpoint}`;
  const ago = save === null || save === "saving" || shed.has("ago") ? "" : ` (${spanText(save.ago)} ago)`;
  const parts: readonly (readonly [string, string | null])[] = [
    ["epoch", epochs === null ? `epoch ${epoch}` : `epoch ${epoch}/${epochs}`],
    ["bar", shed.has("bar") || total === null ? null : ""],
    ["batches", total === null ? `batch ${batches}` : `${`${batches}`.padStart(`${total}`.length)}/${total}`],
    ["rate", rate === null ? null : rateText(rate)],
    ["left", took !== null ? `in ${spanText(took)}` : left === null ? null : `${spanText(left)} left`],
    ["save", saved === null ? null : saved + ago],
    ...metricNames(facts).map((name, i) =>
      [`metric ${i}`, `${shortName(name)} ${numberText(metrics[name]!)}`] as const
    ),
  ];
  return parts.flatMap(([name, text]) => text === null || shed.has(name) ? [] : [text]);
}

function metricNames({ metrics }: ProgressPosition): readonly string[] {
  return Object.keys(metrics).slice(0, mostMetrics);
}

/** What a narrow terminal lacks the room for, the least important first. */
function shedOrder(facts: ProgressFacts): readonly string[] {
  const further = metricNames(facts).map((_, i) => `metric ${i}`).slice(1).reverse();
  return [...further, "ago", "bar", "rate", "save", "epoch", "metric 0", "left", "batches"];
}

/** The widths of a bar, the preferred first. */
const barWidths = [24, 12];

/**
 * The progress on one line.
 *
 * @param facts What it says.
 * @param width Its most columns. `Infinity` is a line of text without a bar.
 */
export function progressLine(facts: ProgressFacts, width: number): string {
  const order = shedOrder(facts);
  const without = width === Infinity ? ["bar"] : [];
  const fraction = facts.total === 0 ? 1 : facts.batches / (facts.total ?? Infinity);
  for (let count = 0; count <= order.length; count++) {
    const parts = partsOf(facts, new Set([...order.slice(0, count), ...without]));
    for (const bar of barWidths) {
      const line = parts.map((part) => part === "" ? barText(fraction, bar) : part).join("  ");
      if (mostColumns(line) <= width) return line;
    }
  }
  return "";
}

/**
 * Where a training on a loader is.
 *
 * @param cursor The cursor after the last batch.
 * @param epoch The epoch of the last batch, from 0.
 */
export function loaderPosition(
  loader: Loader.Loader<unknown>,
  cursor: Loader.Cursor,
  epoch: number,
): Omit<ProgressPosition, "metrics"> {
  const { total } = Loader.progressAt(loader)(cursor);
  const epochs = epochsOf(loader, cursor);
  return { epoch: Math.min(epoch + 1, epochs ?? Infinity), epochs, total: total === Infinity ? null : total };
}

// --- effect

/** The display of a training that shows nothing. */
const silent: ProgressDisplay = {
  isWanted: false,
  isDue: () => false,
  say: () => {},
  begin: () => {},
  after: () => {},
  beforeSave: (flush) => flush,
  receiving: (own = () => {}) => own,
  clear: () => {},
  end: () => {},
};

/** The least time between two drawings of a bar, in seconds. */
const leastSeconds = 0.1;

/** Streams whose failures are ignored: a closed standard error must not end a training. */
const guarded = new WeakSet<object>();

/** Writes to a stream. A failure to write is ignored. */
function writerTo(stream: ProgressStream & { readonly on?: unknown }): (text: string) => void {
  if (typeof stream.on === "function" && !guarded.has(stream)) {
    guarded.add(stream);
    stream.on("error", () => {});
  }
  return (text) => {
    try {
      stream.write(text);
    } catch {
      // It shows nothing, and the training continues.
    }
  };
}

/** How many batches were done at a time, in milliseconds. */
interface Moment {
  readonly batches: number;
  readonly at: number;
}

/** The last save, with the time of its end. */
type SaveState = { readonly checkpoint: number; readonly at: number } | "saving" | null;

/** The batches a second between two moments; null if it is unknown. */
function rateBetween(from: Moment | undefined, to: Moment): number | null {
  if (from === undefined || from.batches === to.batches || to.at <= from.at) return null;
  return 1000 * (to.batches - from.batches) / (to.at - from.at);
}

/** The last save with its age. */
function agedSave(save: SaveState, now: number): ProgressFacts["save"] {
  if (save === null || save === "saving") return save;
  return { checkpoint: save.checkpoint, ago: (now - save.at) / 1000 };
}

/**
 * Shows the progress of one training.
 *
 * @param progress The option, which has been checked.
 * @param clock Milliseconds since any instant.
 */
export function progressDisplay(
  { progress = false }: ShowsProgress,
  clock: () => number = () => performance.now(),
): ProgressDisplay {
  if (progress === false) return silent;
  const { to = process.stderr, everySeconds } = progress === true ? {} as ProgressOptions : progress;
  const isBar = to.isTTY === true;
  const every = 1000 * Math.max(isBar ? leastSeconds : 0, everySeconds ?? (isBar ? leastSeconds : 10));
  const write = writerTo(to);
  const began = clock();
  let [due, batches, last, written] = [-Infinity, 0, began, ""];
  /** Where the rate is counted from: the end of the first batch of this process, which compiles what it runs. */
  let from: Moment | undefined;
  let known: ProgressPosition = { epoch: 1, epochs: null, total: null, metrics: {} };
  let latest = (): ProgressPosition => known;
  let isBegun = false;
  let save: SaveState = null;

  const line = (took: number | null): string => {
    const rate = rateBetween(from, { batches, at: last });
    // The last column stays free: a terminal begins a new line after it.
    const width = isBar ? (to.columns || 80) - 1 : Infinity;
    return progressLine({ ...known, batches, rate, save: agedSave(save, clock()), took }, width);
  };
  const draw = (took: number | null, end = ""): void => {
    due = clock() + every;
    const text = line(took);
    if (isBar) write(`\r${text}\x1b[K${end}`);
    else if (text !== written) write(`${text}\n`);
    written = text;
  };
  const show = (count: number, position: () => ProgressPosition): void => {
    [batches, latest] = [count, position];
    known = position();
    draw(null);
  };
  const clear = (): void => {
    if (!isBar || written === "") return;
    write("\r\x1b[K");
    written = "";
  };
  return {
    isWanted: true,
    isDue: () => clock() >= due,
    say: (text) => {
      clear();
      write(`${text}\n`);
    },
    begin: (count, position) => {
      isBegun = true;
      show(count, position);
    },
    after: (count, position) => {
      last = clock();
      if (last >= due) show(count, position);
      else [batches, latest] = [count, position];
      from ??= { batches: count, at: last };
    },
    beforeSave: (flush) => () => {
      save = "saving";
      return flush();
    },
    receiving: (own) => (saved) => {
      save = { checkpoint: saved.checkpoint, at: clock() };
      if (own === undefined) return;
      clear();
      own(saved);
    },
    clear,
    end: (isComplete) => {
      if (!isBegun) return;
      try {
        known = latest();
      } catch {
        // The metrics of a training that failed may fail too: those of the last drawing stay.
      }
      draw(isComplete ? (clock() - began) / 1000 : null, "\n");
    },
  };
}
