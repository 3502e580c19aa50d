/**
 * What the page asks for, answered.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { heldOf, withCheckpoint } from "../../checkpoint/mod.ts";
import { arraysOf, elementBytes, elementValues, segment, sizeOf } from "../../state/mod.ts";
import { type CommandError, type CommandTask, messageOf, usageError } from "../arguments.ts";
import { checkpointStatus, verifyFiles } from "../checkpoint_status.ts";
import { compareStates } from "../commands/diff.ts";
import { checkpointJson, partJson, readPart } from "../inspection.ts";
import type { NamedCheckpoint } from "../reference.ts";
import { isUrl } from "../stores.ts";
import type { Terminal } from "../terminal.ts";
import { decimate } from "./curves.ts";
import type { Watch, WatchedRun } from "./watch.ts";

export type Query = URLSearchParams;

const silent: Terminal = {
  width: Infinity,
  print: () => Promise.resolve(),
  say: () => {},
  draw: () => () => {},
  paint: (_, word) => word,
};

function runOf(watch: Watch, query: Query): E.Either<CommandError, WatchedRun> {
  const run = watch.run(query.get("run") ?? "");
  return run?.store === undefined ? E.left(usageError("Expected the key of a run")) : E.right(run);
}

function checkpointOf(watch: Watch, key: string, number: string): CommandTask<NamedCheckpoint> {
  const run = watch.run(key);
  if (run?.store === undefined || !/^\d{1,15}$/.test(number)) {
    return TE.left(usageError("Expected the key of a run and the number of a checkpoint"));
  }
  return TE.right({ text: run.text, store: run.store, checkpoint: Number(number) });
}

const asked = (watch: Watch, query: Query) =>
  checkpointOf(watch, query.get("run") ?? "", query.get("checkpoint") ?? "");

async function curves(watch: Watch, query: Query): Promise<unknown> {
  const run = runOf(watch, query);
  if (E.isLeft(run)) throw new Error(messageOf(run.left), { cause: run.left });
  const most = Number(query.get("points") ?? 2000);
  const from = Number(query.get("from") ?? -Infinity);
  const to = Number(query.get("to") ?? Infinity);
  const found = new Map<string, { name: string; source: string; line: string; steps: number[]; values: number[] }>();
  const add = (name: string, source: string, line: string, step: number, value: number): void => {
    const key = JSON.stringify([name, source, line]);
    const one = found.get(key) ?? { name, source, line, steps: [], values: [] };
    found.set(key, one);
    if (step >= from && step <= to) {
      one.steps.push(step);
      one.values.push(value);
    }
  };
  for (const [, { status: { entry } }] of [...run.right.rows].sort(([a], [b]) => a - b)) {
    if (entry === null) continue;
    for (const [name, value] of Object.entries(entry.metrics)) {
      add(name, "checkpoints", entry.run, entry.step ?? entry.checkpoint, value);
    }
  }
  if (!isUrl(run.right.location)) {
    for (const file of (await readdir(run.right.location)).filter((name) => name.endsWith(".jsonl"))) {
      let line = "";
      for (const text of (await readFile(join(run.right.location, file), "utf8")).split("\n")) {
        try {
          const record = JSON.parse(text);
          if (record.format !== undefined) line = record.run ?? "";
          for (const [name, value] of Object.entries(record.values ?? {})) {
            add(name, "log", line, record.step, Number(value));
          }
        } catch { /* a torn line */ }
      }
    }
  }
  return {
    metrics: [...found.values()].map(({ steps, values, ...about }) => ({
      ...about,
      ...decimate({ steps, values }, most),
      total: steps.length,
    })),
    version: 0,
  };
}

function details(watch: Watch, query: Query): CommandTask<unknown> {
  return pipe(
    asked(watch, query),
    TE.flatMap((at) =>
      withCheckpoint(at, (opened) =>
        pipe(
          checkpointStatus(at.store, at.checkpoint, false),
          TE.map((status) => ({
            ...checkpointJson(opened, status),
            models: [],
            optimizers: [],
            schedules: [],
            cursors: [],
            others: [],
            tensors: opened.encoded.components.flatMap(([name, node]) => arraysOf(node, segment(name))).map((
              [path, { held }],
            ) => ({
              path,
              dtype: held.element,
              shape: held.shape,
              bytes: sizeOf(held.shape) * elementBytes(held.element),
            })),
          })),
        ))
    ),
  );
}

function tensor(watch: Watch, query: Query): CommandTask<unknown> {
  return pipe(
    asked(watch, query),
    TE.flatMap((at) =>
      withCheckpoint(at, (opened) =>
        pipe(
          readPart(opened, query.get("path") ?? "", (file) => verifyFiles(at, silent, new Set([file]))),
          TE.map((found) => partJson(opened, found)),
        ))
    ),
  );
}

async function histograms(watch: Watch, query: Query): Promise<unknown> {
  const run = runOf(watch, query);
  if (E.isLeft(run)) throw new Error(messageOf(run.left), { cause: run.left });
  const numbers = [...run.right.rows.keys()].sort((a, b) => a - b);
  const most = Number(query.get("most") ?? 40);
  const chosen = numbers.filter((_, i) =>
    numbers.length <= most || Math.floor(i * most / numbers.length) !== Math.floor((i - 1) * most / numbers.length)
  );
  const rows = [];
  const all: ArrayLike<number>[] = [];
  for (const checkpoint of chosen) {
    const at = { text: "", store: run.right.store!, checkpoint };
    const read = await withCheckpoint(at, (opened) =>
      pipe(
        readPart(opened, query.get("path") ?? "", () => TE.right(undefined)),
        TE.flatMapTask(({ tensor, leaves }) => async () => {
          const held = leaves.flatMap(([, node]) => heldOf(node) ?? [])[0]!;
          return [tensor!.statistics, elementValues(held, await held.home.read(held)) as ArrayLike<number>] as const;
        }),
      ))();
    if (E.isLeft(read)) continue;
    const [{ min, max, mean, deviation, nan, infinite }] = read.right;
    rows.push({
      checkpoint,
      step: run.right.rows.get(checkpoint)?.status.entry?.step ?? null,
      counts: [] as number[],
      min,
      max,
      mean,
      deviation,
      nan,
      infinite,
    });
    all.push(read.right[1]);
  }
  const low = Math.min(...rows.map(({ min }) => min).filter(Number.isFinite));
  const high = Math.max(...rows.map(({ max }) => max).filter(Number.isFinite));
  const bins = 40;
  rows.forEach((row, i) => {
    row.counts.push(...Array.from({ length: bins }, () => 0));
    for (let k = 0; k < all[i]!.length; k++) {
      const value = Number(all[i]![k]);
      if (!Number.isFinite(value)) continue;
      const bin = Math.min(bins - 1, Math.floor(bins * (value - low) / (high - low || 1)));
      row.counts[bin] = row.counts[bin]! + 1;
    }
  });
  return { edges: Array.from({ length: bins + 1 }, (_, i) => low + (high - low || 1) * i / bins), rows };
}

function diff(watch: Watch, query: Query): CommandTask<unknown> {
  const side = (name: string): CommandTask<NamedCheckpoint> => {
    const [key = "", number = ""] = (query.get(name) ?? "").split("@");
    return checkpointOf(watch, key, number);
  };
  return pipe(
    TE.Do,
    TE.bind("left", () => side("left")),
    TE.bind("right", () => side("right")),
    TE.flatMap(({ left, right }) => compareStates(left, right)),
    TE.map((differences) => {
      const components = new Map<string, number>();
      for (const { path } of differences) {
        const [name = ""] = path.split("/");
        components.set(name, (components.get(name) ?? 0) + 1);
      }
      return {
        components: [...components].map(([name, count]) => ({ name, differences: count, elements: 0 })),
        differences: differences.map((one) => ({ ...one, mean: one.largest, elements: one.count })),
      };
    }),
  );
}

/** The answer to a request of the page. */
export async function answer(watch: Watch, name: string, query: Query): Promise<unknown> {
  await watch.look();
  if (name === "runs") return watch.answer(Number(query.get("since") ?? 0));
  if (name === "curves") return await curves(watch, query);
  if (name === "histograms") return await histograms(watch, query);
  const tasks: Record<string, (watch: Watch, query: Query) => CommandTask<unknown>> = {
    checkpoint: details,
    tensor,
    diff,
  };
  const task = tasks[name];
  if (task === undefined) return undefined;
  const found = await task(watch, query)();
  if (E.isLeft(found)) throw new Error(messageOf(found.left), { cause: found.left });
  return found.right;
}
