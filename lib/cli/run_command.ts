/**
 * Finds and runs the command of a command line.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { version } from "../checkpoint/mod.ts";
import { type CommandError, errorOf, messageOf, type Usage, usage } from "./arguments.ts";
import type { Command } from "./command.ts";
import { completionCommand } from "./commands/completion.ts";
import { cpCommand } from "./commands/cp.ts";
import { diffCommand } from "./commands/diff.ts";
import { exportCommand } from "./commands/export.ts";
import { generalHelp, shortHelp } from "./help.ts";
import { indexCommand } from "./commands/index_file.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { lsCommand } from "./commands/ls.ts";
import { plotCommand } from "./commands/plot.ts";
import { pruneCommand } from "./commands/prune.ts";
import { serveCommand } from "./commands/serve.ts";
import { type OpenUrl, openUrl } from "./stores.ts";
import { didYouMean } from "./suggestion.ts";
import type { Terminal } from "./terminal.ts";
import { jsonText } from "./format.ts";
import { verifyCommand } from "./commands/verify.ts";

// --- running

/** Every command, in the order of the help. */
export const commands: readonly Command[] = [
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
  completionCommand(() => commands),
];

/** The command of a name. */
function commandNamed(name: string): E.Either<Usage, Command> {
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return E.right(command);
  const names = commands.map(({ name }) => name);
  const meant = didYouMean(name, names) || ` The commands: ${names.join(", ")}.`;
  return usage(`Expected a command, found ${JSON.stringify(name)}.${meant} More: dogear --help`);
}

/** The error of an option before the command. */
function optionFirst(found: string, words: readonly string[]): E.Either<Usage, never> {
  const named = words.find((word) => commands.some(({ name }) => name === word));
  return usage(
    `Expected a command before its options, found ${JSON.stringify(found)}: write ` +
      `dogear ${named ?? "COMMAND"} ${found}. More: dogear ${named ?? ""}${named === undefined ? "" : " "}--help`,
  );
}

/** The exit code of a command line, or why its command failed. */
async function dispatch(
  given: readonly string[],
  terminal: Terminal,
  open: OpenUrl,
): Promise<E.Either<CommandError, number>> {
  // Options that every command has may come before it.
  const first = given.findIndex((word) => !["--json", "--help", "-h", "help"].includes(word));
  const [before, [name, ...words]] = first < 0 ? [given, []] : [given.slice(0, first), given.slice(first)];
  const isHelp = before.some((word) => word !== "--json");
  if (name === undefined) {
    const text = isHelp ? generalHelp : shortHelp;
    await terminal.print(text(commands, terminal.width).split("\n"));
    return E.right(isHelp ? 0 : 2);
  }
  if (name === "--version" || name === "-v") {
    await terminal.print([version]);
    return E.right(0);
  }
  if (name.startsWith("-")) return optionFirst(name, words);
  const command = commandNamed(name);
  if (E.isLeft(command)) return command;
  const json = before.filter((word) => word === "--json");
  return await command.right.execute(isHelp ? ["--help"] : [...json, ...words], terminal, open)();
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
