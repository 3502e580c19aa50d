/**
 * A command as a value: its help and its steps. It parses its arguments, runs, and shows its result as text or JSON.
 *
 * @module
 */
import type * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import {
  type Arguments,
  type CommandError,
  type OptionTable,
  parseOptions,
  type Usage,
  usageError,
} from "./arguments.ts";
import { type Help, helpOf, usageOf } from "./help.ts";
import type { Lines, Terminal } from "./terminal.ts";

// --- types

/** What a command shows of its result. */
export interface CommandResult {
  /** The lines of one JSON document. */
  readonly json: () => Lines;
  readonly text: () => Lines;
  /** Messages for standard error. */
  readonly messages?: readonly string[];
  /** The exit code, asked for once the result is shown; 0 by default. */
  readonly exitCode?: () => number;
}

/** The steps of a command that takes the arguments `A` and gives the result `R`. */
export interface Steps<O extends OptionTable, A, R> extends Help<O> {
  /** Checks the arguments, without looking at the disk. */
  readonly parse: (given: Arguments<O>) => E.Either<Usage, A>;
  /** Does the work. It draws progress bars and writes nothing else. */
  readonly run: (args: A, terminal: Terminal) => TE.TaskEither<CommandError, R>;
  /** Gives the result as text and as JSON. */
  readonly show: (result: R, terminal: Terminal) => CommandResult;
}

/** A command. */
export interface Command extends Help {
  /** Runs it on what was typed after its name, and gives the exit code. */
  readonly execute: (words: readonly string[], terminal: Terminal) => TE.TaskEither<CommandError, number>;
}

// --- constructors

/** Makes a command of its steps. */
export function defineCommand<const O extends OptionTable, A, R>(steps: Steps<O, A, R>): Command {
  const explained = ({ message }: Usage): CommandError => usageError(`${message}\n${usageOf(steps)}`);
  const show = async (result: R, json: boolean, terminal: Terminal): Promise<number> => {
    const report = steps.show(result, terminal);
    await terminal.print(json ? report.json() : report.text());
    report.messages?.forEach(terminal.say);
    return report.exitCode?.() ?? 0;
  };
  const run = (given: Arguments<O>, terminal: Terminal): TE.TaskEither<CommandError, number> =>
    pipe(
      TE.fromEither(steps.parse(given)),
      TE.mapLeft(explained),
      TE.flatMap((args) => steps.run(args, terminal)),
      TE.flatMapTask((result) => () => show(result, given.options.json === true, terminal)),
    );
  return {
    ...steps,
    execute: (words, terminal) =>
      pipe(
        TE.fromEither(parseOptions(words, steps.options)),
        TE.mapLeft(explained),
        TE.flatMap((given) =>
          given.options.help === true
            ? TE.fromTask(() => terminal.print(helpOf(steps).split("\n")).then(() => 0))
            : run(given, terminal)
        ),
      ),
  };
}
