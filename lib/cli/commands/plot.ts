/**
 * `dogear plot`: draws the curve of a metric.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { resolve } from "node:path";
import { curveMark, numberText, plotLines } from "../../terminal/mod.ts";
import { type CommandError, type Usage, usage, usageError } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { jsonText } from "../format.ts";
import { parseReferences, type Reference } from "../reference.ts";
import { checkLogs } from "../run_logs.ts";
import { type Curve, curvesOf } from "../serve/curves.ts";
import { follower } from "../serve/log_file.ts";
import { readWhole, watch } from "../serve/watch.ts";
import type { OpenUrl } from "../stores.ts";
import { didYouMean } from "../suggestion.ts";
import { type Columns, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";

// --- types

/** What is asked for. */
interface Asked {
  readonly references: readonly Reference[];
  /** The metrics, at least one. */
  readonly metrics: readonly string[];
  readonly logs: readonly string[];
  readonly isLog: boolean;
  readonly from: number;
  readonly to: number;
  readonly height: number;
}

/** The curves of a run, or of a log that was named. */
interface Source {
  /** The run or the path as it was typed. */
  readonly text: string;
  readonly location: string;
  readonly curves: readonly Curve[];
}

/** A curve that is drawn. */
interface Drawn {
  readonly of: Source;
  readonly metric: string;
  readonly source: Curve["source"];
  readonly line: string;
  readonly steps: readonly number[];
  readonly values: readonly number[];
}

// --- parsing

/** A number that an option gives; the other one if it is not given. */
function numberOption(name: string, text: string | undefined, otherwise: number): E.Either<Usage, number> {
  if (text === undefined) return E.right(otherwise);
  const value = text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value)
    ? E.right(value)
    : usage(`Expected a number at --${name}, found ${JSON.stringify(text)}`);
}

/** The runs: a curve is one of all checkpoints, so that none may be named. */
function parseRuns(words: readonly string[]): E.Either<Usage, readonly Reference[]> {
  if (words.length === 0) return E.right([]);
  return pipe(
    parseReferences(words),
    E.flatMap((references) => {
      const one = references.find(({ checkpoint }) => checkpoint !== undefined);
      if (one === undefined) return E.right(references);
      const remedy = "A curve is one of all checkpoints: leave the checkpoint out, or give --from and --to";
      return usage(`Expected RUN, found ${JSON.stringify(one.text)}. ${remedy}`);
    }),
  );
}

// --- reading

/** The curves of the runs; a run that cannot be opened is a message. */
async function runSources(
  references: readonly Reference[],
  open: OpenUrl,
): Promise<readonly E.Either<string, Source>[]> {
  const watched = watch(references, open);
  await readWhole(watched);
  return watched.shown.map((run) => {
    const { text, location, error } = run;
    return error === null ? E.right({ text, location, curves: curvesOf(watched, run) }) : E.left(error);
  });
}

/** The curves of a log. */
async function logSource(path: string): Promise<E.Either<string, Source>> {
  const log = follower(resolve(path));
  await log.follow(() => true);
  const { run, metrics } = log.state();
  if (run === undefined) return E.left(`Expected a log of jsonLines at --log, found ${JSON.stringify(path)}`);
  const curves = [...metrics].map(([name, points]): Curve => ({ name, source: "log", line: run ?? "", points }));
  return E.right({ text: path, location: resolve(path), curves });
}

/** The curves of a metric: of each line of history that of its log, or of its checkpoints if no log has it. */
function curvesOfMetric({ curves }: Source, metric: string): readonly Curve[] {
  const own = curves.filter(({ name }) => name === metric);
  const logged = new Set(own.filter(({ source }) => source === "log").map(({ line }) => line));
  return own.filter(({ source, line }) => source === "log" || !logged.has(line));
}

/** A curve between two steps. */
function drawnOf(of: Source, { name, source, line, points }: Curve, { from, to }: Asked): Drawn {
  const kept = Array.from({ length: points.length }, (_, i) => i).filter((i) =>
    points.steps[i]! >= from && points.steps[i]! <= to
  );
  return {
    of,
    metric: name,
    source,
    line,
    steps: kept.map((i) => points.steps[i]!),
    values: kept.map((i) => points.values[i]!),
  };
}

/** The error of a metric that no run has, with those that there are. */
function noMetric(sources: readonly Source[], metric: string): CommandError {
  const names = [...new Set(sources.flatMap(({ curves }) => curves.map(({ name }) => name)))].sort();
  const where = sources.map(({ text }) => text).join(", ");
  const found = JSON.stringify(metric);
  if (names.length === 0) {
    const remedy = "give fit, train or saveState `metrics`, or fit or train a tracker such as jsonLines";
    return usageError(`Expected a run with metrics, found none in ${where}: ${remedy}`);
  }
  const meant = didYouMean(metric, names);
  const listed = names.slice(0, 50).map((name) => JSON.stringify(name)).join(", ");
  return usageError(`Expected a metric of ${where}: ${listed}, found ${found}${meant === "" ? "" : `.${meant}`}`);
}

/** The error of steps between which no curve has points, with the steps that there are. */
function noPoints(sources: readonly Source[], { metrics, from, to }: Asked): CommandError {
  const steps = sources.flatMap((source) => metrics.flatMap((metric) => curvesOfMetric(source, metric)))
    .flatMap(({ points: { steps, length } }) => length === 0 ? [] : [steps[0]!, steps[length - 1]!])
    .sort((a, b) => a - b);
  const asked = [Number.isFinite(from) ? `--from ${from}` : [], Number.isFinite(to) ? `--to ${to}` : []].flat().join(
    " ",
  );
  return usageError(`Expected points with ${asked}, found none: the steps are ${steps[0]} to ${steps.at(-1)}`);
}

// --- showing

const about: Columns = {
  run: "cut",
  line: "left",
  metric: "cut",
  from: "left",
  points: "right",
  last: "right",
  least: "right",
  greatest: "right",
};

/** What a narrow terminal lacks the room for, the least important first. */
const spare = ["from", "points", "greatest", "line", "least", "metric"];

/** The cells of a curve. */
function row(curve: Drawn): readonly string[] {
  const { of, line, metric, source, steps, values } = curve;
  const finite = values.filter(Number.isFinite);
  const at = (value: number): string =>
    finite.length === 0 ? "-" : `${numberText(value)} at ${numberText(steps[values.indexOf(value)]!)}`;
  const extreme = (better: (a: number, b: number) => number): string =>
    at(finite.reduce((a, b) => better(a, b), finite[0]!));
  const last = `${numberText(values.at(-1)!)} at ${numberText(steps.at(-1)!)}`;
  return [
    of.text,
    line.slice(0, 8),
    metric,
    source,
    `${values.length}`,
    last,
    extreme(Math.min),
    extreme(Math.max),
  ];
}

async function* chart(curves: readonly Drawn[], { isLog, height }: Asked, { width }: Terminal): AsyncGenerator<string> {
  yield* plotLines(curves, { width: Number.isFinite(width) ? width : 80, height, isLog });
  yield "";
  const rows = curves.map(row);
  yield* curves.length === 1
    ? tableLines(about, rows, width, spare)
    : tableLines({ curve: "left", ...about }, rows.map((cells, i) => [curveMark(i), ...cells]), width, spare);
}

function reportOf(
  curves: readonly Drawn[],
  asked: Asked,
  terminal: Terminal,
  messages: readonly string[],
): CommandReport {
  const shown = curves.map(({ of: { text, location }, metric, source, line, steps, values }) => ({
    run: text,
    location,
    metric,
    source,
    line,
    steps,
    values,
  }));
  return { json: [jsonText({ curves: shown })], text: chart(curves, asked, terminal), messages };
}

async function plotted(
  asked: Asked,
  terminal: Terminal,
  open: OpenUrl,
): Promise<E.Either<CommandError, CommandReport>> {
  const { references, metrics, logs } = asked;
  const read = [
    ...references.length === 0 ? [] : await runSources(references, open),
    ...await Promise.all(logs.map(logSource)),
  ];
  const sources = read.flatMap((one) => E.isRight(one) ? [one.right] : []);
  const failures = read.flatMap((one) => E.isLeft(one) ? [one.left] : []);
  if (sources.length === 0) return E.left(usageError(failures.join("\n")));
  const missing = metrics.find((metric) => sources.every((source) => curvesOfMetric(source, metric).length === 0));
  if (missing !== undefined) return E.left(noMetric(sources, missing));
  const lacking = sources.flatMap((source) =>
    metrics.filter((metric) => curvesOfMetric(source, metric).length === 0)
      .map((metric) => `${source.text} has no metric ${JSON.stringify(metric)}`)
  );
  const curves = sources.flatMap((source) =>
    metrics.flatMap((metric) => curvesOfMetric(source, metric).map((curve) => drawnOf(source, curve, asked)))
  ).filter(({ steps }) => steps.length > 0);
  if (curves.length === 0) return E.left(noPoints(sources, asked));
  return E.right(reportOf(curves, asked, terminal, [...failures, ...lacking]));
}

// --- the command

/** `dogear plot`. */
export const plotCommand: Command = defineCommand({
  name: "plot",
  summary: "draw the curve of a metric",
  usage: "RUN... METRIC [--with METRIC]... [--log FILE]... [--log-scale] [--from STEP] [--to STEP]",
  description:
    `Draws a metric against steps, in the terminal. The last word is the metric, the words before it are runs; of a folder of
runs it draws all runs in it. A metric comes from the logs of jsonLines (*.jsonl) in the folder of a run, or, where no log
has it, from the checkpoints that are labelled with it. Each run and each fork is a curve with a letter, which the table
below explains.`,
  options: {
    with: { value: "METRIC", multiple: true, help: "another metric, in the same chart" },
    log: { value: "FILE", multiple: true, help: "a log of jsonLines that is elsewhere; RUN may then be left out" },
    "log-scale": { help: "draw equal ratios as equal distances" },
    from: { value: "STEP", help: "the first step" },
    to: { value: "STEP", help: "the last step" },
    height: { value: "LINES", help: "the height of the chart, 18 by default" },
  },
  examples: [
    ["runs/digits loss", "the loss against steps"],
    ["runs/a runs/b loss --with val_loss", "two metrics of two runs in one chart"],
    ["runs/digits loss --from 1000 --log-scale", "the end of a curve, on a logarithmic scale"],
  ],
  json: "{ curves: [{ run, location, metric, source, line, steps, values }] }",
  parse: ({ options, words }) => {
    const [metric] = words.slice(-1);
    const { with: others = [], log: logs = [], "log-scale": isLog = false } = options;
    if (metric === undefined || (words.length === 1 && logs.length === 0)) {
      const found = metric === undefined ? "none" : `only ${JSON.stringify(metric)}`;
      return usage(`Expected RUN and METRIC, such as runs/digits loss, found ${found}`);
    }
    return pipe(
      E.Do,
      E.bind("references", () => parseRuns(words.slice(0, -1))),
      E.bind("from", () => numberOption("from", options.from, -Infinity)),
      E.bind("to", () => numberOption("to", options.to, Infinity)),
      E.bind("height", () => numberOption("height", options.height, 18)),
      E.filterOrElseW(
        ({ height }) => height >= 3,
        ({ height }) => usageError(`Expected --height with 3 or more, found ${height}`),
      ),
      E.map((given): Asked => ({ ...given, metrics: [...new Set([metric, ...others])], logs, isLog })),
    );
  },
  run: (asked, terminal, open) => pipe(checkLogs(asked.logs), TE.flatMap(() => () => plotted(asked, terminal, open))),
});
