/**
 * Writes the page with its answers into one file.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { Buffer } from "node:buffer";
import { open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { localFileSystem, writeFile } from "../../store/directory/mod.ts";
import { ranked } from "../../store/mod.ts";
import { type CommandTask, type Usage, usageError } from "../arguments.ts";
import { jsonText } from "../format.ts";
import { answer, turns } from "./answers.ts";
import { type Assets, readAsset } from "./assets.ts";
import { pageMark, pageText } from "./page_bundle.ts";
import { spread } from "./tensors.ts";
import { readWhole, type Watched, type WatchedRun } from "./watch.ts";

// --- types

/** What was written. */
export interface PageWritten {
  readonly path: string;
  readonly bytes: number;
  /** How many answers are in it. */
  readonly answers: number;
}

/** Answers by request, as the page makes them. */
type Answers = Record<string, unknown>;

/** The most checkpoints whose details are in a page, of all runs together, and the most tensors of a run. */
const [mostCheckpoints, mostTensors] = [50, 100];

// --- the answers

/** The request as the page makes it: the names in the order of the rules, only the required ones. */
function requestOf(name: string, query: Readonly<Record<string, string | number>> = {}): string {
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) parts.set(key, `${value}`);
  const text = parts.toString();
  return text === "" ? `api/${name}` : `api/${name}?${text}`;
}

/** The checkpoints whose details matter most: the newest, the best of each metric, the first, then others, spread evenly. */
function checkpointsShown({ rows }: WatchedRun, most: number): readonly number[] {
  const numbers = [...rows.keys()].sort((a, b) => a - b);
  const entries = [...rows.values()].flatMap(({ status: { entry } }) => entry ?? []);
  const metrics = [...new Set(entries.flatMap((entry) => Object.keys(entry.metrics)))];
  const best = metrics.flatMap((metric) =>
    (["min", "max"] as const).flatMap((mode) => ranked(entries, metric, mode)[0]?.checkpoint ?? [])
  );
  const first = [...numbers.slice(-1), ...numbers.slice(0, 1), ...best, ...spread(numbers, most)];
  return [...new Set(first)].slice(0, most);
}

/** Every answer that the page shows without a server. */
async function answersOf(watched: Watched): Promise<Answers> {
  const [answers, signal, limits]: [Answers, AbortSignal, ReturnType<typeof turns>] = [
    {},
    new AbortController().signal,
    turns(),
  ];
  const ask = async (name: string, query?: Readonly<Record<string, string | number>>): Promise<unknown> => {
    const request = requestOf(name, query);
    const found = await answer(watched, limits, name, request.split("?")[1] ?? "", signal);
    const failed = ({ tag, message }: { readonly tag: string; readonly message: string }) => ({
      error: { tag, message },
    });
    return answers[request] = E.isRight(found) ? found.right : failed(found.left);
  };
  await ask("runs");
  for (const run of watched.shown) {
    await ask("curves", { run: run.key });
    const shown = checkpointsShown(run, Math.max(2, Math.floor(mostCheckpoints / watched.shown.length)));
    const [newest] = shown;
    const numbers = [...run.rows.keys()].sort((a, b) => a - b);
    for (const checkpoint of shown) await ask("checkpoint", { run: run.key, checkpoint });
    if (newest === undefined) continue;
    const { tensors = [] } = answers[requestOf("checkpoint", { run: run.key, checkpoint: newest })] as {
      readonly tensors?: readonly { readonly path: string }[];
    };
    for (const { path } of tensors.slice(0, mostTensors)) {
      await ask("tensor", { run: run.key, checkpoint: newest, path });
      await ask("histograms", { run: run.key, path });
    }
    if (numbers.length > 1) {
      await ask("diff", { left: `${run.key}@${numbers[0]}`, right: `${run.key}@${numbers.at(-1)}` });
    }
  }
  return answers;
}

// --- writing

/** Whether the folder of a file exists. */
function hasFolder(path: string): Promise<boolean> {
  return stat(dirname(path)).then((status) => status.isDirectory(), () => false);
}

function noFolder(path: string): Usage {
  return usageError(
    `Expected a file in a folder that exists, found no folder ${JSON.stringify(dirname(path))}: make it first`,
  );
}

/** Refuses a file that is there and is no page of this form. */
function checkFree(path: string, force: boolean): CommandTask<unknown> {
  return async () => {
    const status = await stat(path).catch(() => undefined);
    if (status !== undefined && !status.isFile()) {
      return E.left(usageError(`Expected a file to export to, found ${JSON.stringify(path)}, which is none`));
    }
    if (force) return E.right(undefined);
    const file = await open(path, "r").catch((cause: NodeJS.ErrnoException) => cause.code);
    if (file === "ENOENT") return await hasFolder(path) ? E.right(undefined) : E.left(noFolder(path));
    if (file !== undefined && typeof file !== "string") {
      const start = Buffer.alloc(4096);
      const { bytesRead } = await file.read(start, 0, start.length, 0).catch(() => ({ bytesRead: 0 }));
      await file.close();
      if (start.toString("utf8", 0, bytesRead).includes(pageMark)) return E.right(undefined);
    }
    const expected = "Expected a new file, or a page that dogear wrote, to replace";
    return E.left(usageError(`${expected}, found ${JSON.stringify(path)}: choose another, or add --force`));
  };
}

/** Reads all of the runs; one that cannot be opened is an error. */
function readRuns(watched: Watched): CommandTask<unknown> {
  return async () => {
    await readWhole(watched);
    const failed = watched.shown.find(({ error }) => error !== null)?.error;
    return typeof failed === "string" ? E.left(usageError(failed)) : E.right(undefined);
  };
}

/**
 * Writes the page of runs as one file, which opens without a server.
 *
 * @param watched The runs.
 * @param assets The files of the page.
 * @param path The file. It is written under another name, made durable, and then renamed.
 * @param force Whether to replace a file that is no such page.
 */
export function exportPage(watched: Watched, assets: Assets, path: string, force: boolean): CommandTask<PageWritten> {
  const partial = join(dirname(path), `.${basename(path)}.${process.pid}.partial`);
  return pipe(
    checkFree(path, force),
    TE.flatMap(() => readRuns(watched)),
    TE.flatMapTask(() => async () => {
      const texts = new Map<string, string>();
      for (const [url, asset] of assets) texts.set(url, await readAsset(asset));
      const answers = await answersOf(watched);
      return { count: Object.keys(answers).length, bytes: Buffer.from(pageText(texts, jsonText(answers))) };
    }),
    TE.flatMap(({ count, bytes }) => {
      const written = pipe(
        () => writeFile(localFileSystem, partial, [bytes], "crc32"),
        TE.tap(({ durable }) => () => durable),
        TE.tap(() => localFileSystem.rename(partial, path)),
        TE.tap(() => localFileSystem.syncFolder(dirname(path))),
        TE.map(() => ({ path, bytes: bytes.byteLength, answers: count })),
      );
      return () => written().finally(localFileSystem.removeFile(partial));
    }),
  );
}
