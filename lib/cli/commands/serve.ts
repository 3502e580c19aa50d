/**
 * `dogear serve`: shows runs on a page.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { usage } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { jsonText } from "../format.ts";
import { parseReferences } from "../reference.ts";
import { findAssets } from "../serve/assets.ts";
import { serve } from "../serve/server.ts";
import { watch } from "../serve/watch.ts";

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

// --- the command

/** `dogear serve`. */
export const serveCommand: Command = defineCommand({
  name: "serve",
  summary: "show runs on a page: curves, checkpoints, tensors",
  usage: "[RUN[@CHECKPOINT]]... [--port N] [--log FILE]...",
  description:
    `Shows runs on a page for a browser on this machine, until Ctrl-C, and prints its address. Only who has the address can see
the page, and nothing can be changed through it. New checkpoints appear by themselves. Of a folder of runs it shows all
runs in it. Curves are those of the checkpoints' metrics, and of the logs of jsonLines (*.jsonl) in the folder of a run.`,
  options: {
    port: { value: "N", help: "the port; any that is free by default" },
    log: { value: "FILE", multiple: true, help: "a log of jsonLines that is elsewhere" },
  },
  example: "runs/digits",
  json: "{ url }, once the page can be opened",
  parse: ({ options: { port = "0", log = [] }, words }) =>
    /^\d{1,5}$/.test(port) && Number(port) < 65536
      ? pipe(parseReferences(words), E.map((references) => ({ references, port: Number(port), log })))
      : usage(`Expected a port from 0 to 65535, found ${JSON.stringify(port)}`),
  run: ({ references, port, log }, _terminal, open) =>
    pipe(
      findAssets,
      TE.flatMap((assets) => serve(watch(references, open, log), assets, port)),
      TE.map(({ url, close }): CommandReport => {
        const ended = stopped().then(close);
        async function* lines(text: string): AsyncGenerator<string> {
          yield text;
          await ended;
        }
        return { json: lines(jsonText({ url })), text: lines(url) };
      }),
    ),
});
