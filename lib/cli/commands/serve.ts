/**
 * `dogear serve`: shows runs on a page.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { resolve } from "node:path";
import { type CommandTask, usage } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { writtenLines } from "../export_files.ts";
import { bytesText, jsonText } from "../format.ts";
import { findCheckpoints, parseReferences, type Reference, runsAt } from "../reference.ts";
import { checkLogs } from "../run_logs.ts";
import { type Assets, findAssets } from "../serve/assets.ts";
import { isUrl, type OpenUrl } from "../stores.ts";
import type { Terminal } from "../terminal.ts";
import { exportPage } from "../serve/page_export.ts";
import { serve } from "../serve/server.ts";
import { watch, type Watched } from "../serve/watch.ts";

// --- running

/** Waits for Ctrl-C, or for the system to end the process. */
function stopped(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
      resolve();
    };
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
  });
}

/** The runs that are there without a checkpoint. A reference that leads to no run is an error, as for every command. */
function runsToWaitFor(references: readonly Reference[], open: OpenUrl): CommandTask<readonly string[]> {
  return pipe(
    references,
    TE.traverseSeqArray((reference) => pipe(findCheckpoints(reference, open), TE.flatMap(runsAt(open)))),
    TE.map((found) => found.flatMap(({ runs }) => runs).filter(({ numbers }) => numbers.length === 0)),
    TE.map((runs) => runs.map(({ text }) => text)),
  );
}

/** Serves until the process is stopped. The address is printed first, then the runs that it waits for. */
function served(
  watched: Watched,
  assets: Assets,
  port: number,
  waiting: readonly string[],
  { say }: Terminal,
): CommandTask<CommandReport> {
  return pipe(
    serve(watched, assets, port),
    TE.map(({ url, close }) => {
      const ended = stopped().then(close);
      async function* lines(text: string): AsyncGenerator<string> {
        yield text;
        if (waiting.length > 0) say(`It waits for the first checkpoint of ${waiting.join(", ")}`);
        await ended;
      }
      return { json: lines(jsonText({ url })), text: lines(url) };
    }),
  );
}

function exported(
  watched: Watched,
  assets: Assets,
  path: string,
  force: boolean,
  terminal: Terminal,
): CommandTask<CommandReport> {
  return pipe(
    exportPage(watched, assets, path, force),
    TE.map((written) => ({
      json: [jsonText(written)],
      text: writtenLines(written.path, bytesText(written.bytes), terminal),
    })),
  );
}

// --- the command

/** `dogear serve`. */
export const serveCommand: Command = defineCommand({
  name: "serve",
  summary: "show runs on a page in the browser",
  usage: "[RUN[@CHECKPOINT]]... [--port N] [--log FILE]... [--export FILE [--force]]",
  description:
    `Shows runs on a page for a browser on this machine, until Ctrl-C, and prints its address. Only who has the address can see
the page, and nothing can be changed through it. New checkpoints appear by themselves: the run may have none yet. Of a folder of runs it shows all runs in it. Curves are those of the checkpoints' metrics, and of the logs of jsonLines (*.jsonl) in the folder of a run.
With --export it writes the page as one file, which opens without a server, and ends.`,
  options: {
    port: { value: "N", help: "the port; any that is free by default" },
    log: { value: "FILE", multiple: true, help: "a log of jsonLines that is elsewhere" },
    export: { value: "FILE", help: "write the page to this file, such as page.html" },
    force: { help: "with --export, replace a file that is no such page" },
  },
  examples: [
    ["runs/digits", "the page of a run, until Ctrl-C"],
    ["runs --port 8080", "all runs of a folder, at a port of your choice"],
    ["runs/digits --export page.html", "the page as one file, which needs no server"],
  ],
  json: "{ url }, once the page can be opened; with --export { path, bytes, answers }",
  parse: ({ options: { port, log = [], export: file, force = false }, words }) => {
    if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) < 65536)) {
      return usage(`Expected a port from 0 to 65535, found ${JSON.stringify(port)}`);
    }
    if (file === "") return usage('Expected a file to export to, found ""');
    if (file !== undefined && isUrl(file)) {
      return usage("Expected a file to export to, found a URL: write a file, and upload it");
    }
    if (file !== undefined && port !== undefined) return usage("Expected --port or --export, found both");
    if (file === undefined && force) return usage("Expected --export FILE with --force, found none");
    return pipe(
      parseReferences(words),
      E.map((references) => ({ references, port: Number(port ?? 0), log, file, force })),
    );
  },
  run: ({ references, port, log, file, force }, terminal, open) =>
    pipe(
      checkLogs(log),
      TE.flatMap(() => runsToWaitFor(references, open)),
      TE.bindTo("waiting"),
      TE.bind("assets", () => findAssets),
      TE.flatMap(({ waiting, assets }) => {
        const watched = watch(references, open, log);
        return file === undefined
          ? served(watched, assets, port, waiting, terminal)
          : exported(watched, assets, resolve(file), force, terminal);
      }),
    ),
});
