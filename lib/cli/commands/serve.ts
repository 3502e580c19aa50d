/**
 * `dogear serve`: a page of runs.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { toError } from "../../errors/mod.ts";
import { usage, usageError } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { parseReferences } from "../reference.ts";
import { jsonText } from "../format.ts";

/** `dogear serve`. */
export const serveCommand: Command = defineCommand({
  name: "serve",
  summary: "show runs on a page",
  usage: "[RUN]... [--port N]",
  description: `Shows runs on a page for a browser on this machine, until it is stopped with Ctrl-C.`,
  options: {
    port: { value: "N", help: "the port of the page; a free one by default" },
  },
  example: "runs/digits",
  json: "{ url }",
  parse: ({ options: { port = "0" }, words }) =>
    /^\d{1,5}$/.test(port) && Number(port) < 65536
      ? pipe(parseReferences(words), E.map((references) => ({ references, port: Number(port) })))
      : usage(`Expected a port from 0 to 65535, found ${JSON.stringify(port)}`),
  run: ({ references, port }, terminal, open) =>
    pipe(
      TE.tryCatch(async (): Promise<CommandReport> => {
        const [{ watch }, { serve }] = [await import("../serve/watch.ts"), await import("../serve/server.ts")];
        const { url, close } = await serve(watch(references, open), port);
        await terminal.print([url]);
        await new Promise<void>((resolve) => {
          process.once("SIGINT", () => resolve());
          process.once("SIGTERM", () => resolve());
        });
        await close();
        return { json: [jsonText({ url })], text: [] };
      }, toError),
      TE.mapLeft(({ message }) => usageError(message)),
    ),
});
