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
import { asTyped } from "./nearby.ts";
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
  /** Whether what was typed after its name can be understood. */
  readonly check: (words: readonly string[]) => E.Either<Usage, unknown>;
  /** Runs it on what was typed after its name, and gives the exit code. */
  readonly execute: (words: readonly string[], terminal: Terminal, open: OpenUrl) => CommandTask<number>;
}

// --- constructors

/** Makes a command of its help and its steps. */
export function defineCommand<const O extends OptionTable, A>(steps: Steps<O, A>): Command {
  type Work = (terminal: Terminal, open: OpenUrl) => CommandTask<CommandReport>;
  const showHelp: Work = ({ width }) => {
    const lines = helpOf(steps, width).split("\n");
    return TE.right({ json: lines, text: lines });
  };
  const check = (words: readonly string[]) =>
    pipe(
      parseOptions(words, steps.options),
      E.bindTo("given"),
      E.bind("work", ({ given }): E.Either<Usage, Work> =>
        given.options.help === true ? E.right(showHelp) : pipe(
          steps.parse(given),
          E.map((args): Work => (terminal, open) => steps.run(args, terminal, open)),
        )),
      E.mapLeft(withUsage(steps)),
    );
  return {
    ...steps,
    check,
    execute: (words, terminal, open) =>
      pipe(
        TE.fromEither(check(words)),
        TE.bind("report", ({ work }) => pipe(work(terminal, open), TE.mapLeft(asTyped(steps.name, words)))),
        TE.flatMapTask(({ given: { options }, report: { json, text, messages, exitCode } }) => async () => {
          await terminal.print(options.json === true ? json : text);
          messages?.forEach(terminal.say);
          return exitCode?.() ?? 0;
        }),
      ),
  };
}
