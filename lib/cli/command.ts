/**
 * A command as a value: its help and its two steps. It parses its arguments, then runs and reports its result as text and as JSON.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type Arguments, type CommandTask, type OptionTable, parseOptions, type Usage } from "./arguments.ts";
import { type Help, helpOf, withUsage } from "./help.ts";
import type { OpenUrl } from "./stores.ts";
import type { Lines, Terminal } from "./terminal.ts";

// --- types

/** What a command prints, and how it ends. */
export interface CommandReport {
  /** The lines of one JSON document. */
  readonly json: Lines;
  readonly text: Lines;
  /** Messages for standard error. */
  readonly messages?: readonly string[];
  /** The exit code, called once the lines are printed; 0 by default. */
  readonly exitCode?: () => number;
}

/** A command whose arguments are parsed as `A`. */
interface Steps<O extends OptionTable, A> extends Help<O> {
  /** Checks the arguments, without looking at the disk. */
  readonly parse: (given: Arguments<O>) => E.Either<Usage, A>;
  /** Does the work. It draws progress bars and writes nothing else. */
  readonly run: (args: A, terminal: Terminal, open: OpenUrl) => CommandTask<CommandReport>;
}

/** A command. */
export interface Command extends Help {
  /** Runs it on what was typed after its name, and gives the exit code. */
  readonly execute: (words: readonly string[], terminal: Terminal, open: OpenUrl) => CommandTask<number>;
}

// --- constructors

/** Makes a command of its help and its steps. */
export function defineCommand<const O extends OptionTable, A>(steps: Steps<O, A>): Command {
  return {
    ...steps,
    execute: (words, terminal, open) => {
      const lines = helpOf(steps, terminal.width).split("\n");
      const help: CommandTask<CommandReport> = TE.right({ json: lines, text: lines });
      return pipe(
        parseOptions(words, steps.options),
        E.bindTo("given"),
        E.bind("work", ({ given }) =>
          given.options.help === true ? E.right(help) : pipe(
            steps.parse(given),
            E.map((args) => steps.run(args, terminal, open)),
          )),
        E.mapLeft(withUsage(steps)),
        TE.fromEither,
        TE.bind("report", ({ work }) => work),
        TE.flatMapTask(({ given: { options }, report: { json, text, messages, exitCode } }) => async () => {
          await terminal.print(options.json === true ? json : text);
          messages?.forEach(terminal.say);
          return exitCode?.() ?? 0;
        }),
      );
    },
  };
}
