/**
 * Finds and runs the command of a command line.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { version } from "../checkpoint/mod.ts";
import { type CommandError, errorOf, messageOf, usage } from "./arguments.ts";
import type { Command } from "./command.ts";
import { cpCommand } from "./commands/cp.ts";
import { diffCommand } from "./commands/diff.ts";
import { exportCommand } from "./commands/export.ts";
import { generalHelp } from "./help.ts";
import { indexCommand } from "./commands/index_file.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { lsCommand } from "./commands/ls.ts";
import { plotCommand } from "./commands/plot.ts";
import { pruneCommand } from "./commands/prune.ts";
import { serveCommand } from "./commands/serve.ts";
import { type OpenUrl, openUrl } from "./stores.ts";
import type { Terminal } from "./terminal.ts";
import { jsonText } from "./format.ts";
import { verifyCommand } from "./commands/verify.ts";

// --- running

/** Every command, in the order of the help. */
const commands: readonly Command[] = [
  lsCommand,
  plotCommand,
  serveCommand,
  inspectCommand,
  verifyCommand,
  diffCommand,
  pruneCommand,
  exportCommand,
  cpCommand,
  indexCommand,
];

/** The exit code of a command line, or why its command failed. */
async function dispatch(
  given: readonly string[],
  terminal: Terminal,
  open: OpenUrl,
): Promise<E.Either<CommandError, number>> {
  const [name, ...words] = given;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    await terminal.print(generalHelp(commands).split("\n"));
    return E.right(name === undefined ? 2 : 0);
  }
  if (name === "--version") {
    await terminal.print([version]);
    return E.right(0);
  }
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return await command.execute(words, terminal, open)();
  const names = commands.map(({ name }) => name).join(", ");
  return usage(`Expected a command: ${names}, found ${JSON.stringify(name)}. More: dogear --help`);
}

/**
 * Runs a command line.
 *
 * @param words What was typed after `dogear`.
 * @param terminal Where to write.
 * @param open Makes the store at a URL.
 * @returns The exit code: 0 is success; 1 a damaged checkpoint, another digest than expected, or a difference; 2 a failed command.
 */
export async function runCommand(
  words: readonly string[],
  terminal: Terminal,
  open: OpenUrl = openUrl,
): Promise<number> {
  const outcome = await dispatch(words, terminal, open).catch((thrown: unknown) => E.left(errorOf(thrown)));
  if (E.isRight(outcome)) return outcome.right;
  const message = messageOf(outcome.left);
  terminal.say(message);
  // A program reads standard output, so the error is there too, unless standard output itself failed.
  if (words.includes("--json")) {
    await terminal.print([jsonText({ error: { ...outcome.left, message } })]).catch(() => {});
  }
  return outcome.left._tag === "Damaged" ? 1 : 2;
}
