/**
 * Command-line arguments: options and words, and the error for those that cannot be understood.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { parseArgs } from "node:util";
import { type DogearError, explainTo } from "../errors/mod.ts";

// --- types

/** Arguments that cannot be understood, or that ask for something impossible. */
export interface Usage {
  readonly _tag: "Usage";
  readonly message: string;
}

/** Why a command failed. */
export type CommandError = DogearError | Usage;

/** A step of a command. */
export type CommandTask<A> = TaskEither<CommandError, A>;

/** An option of a command. It takes a value if `value` names one, otherwise it is a flag. */
export interface Option {
  /** The name of its value in the help text. */
  readonly value?: string;
  /** Whether it may be given several times. */
  readonly multiple?: boolean;
  /** What it does, in one line. */
  readonly help: string;
}

/** The options of a command by name. */
export type OptionTable = Readonly<Record<string, Option>>;

/** The values of options. */
export type Values<O extends OptionTable> = {
  readonly [K in keyof O]?: O[K] extends { readonly multiple: true } ? readonly string[]
    : O[K] extends { readonly value: string } ? string
    : boolean;
};

/** The arguments of a command: its options and the other words. */
export interface Arguments<O extends OptionTable> {
  readonly options: Values<O & typeof generalOptions>;
  readonly words: readonly string[];
}

// --- constructors

/** An error in the arguments. */
export function usageError(message: string): Usage {
  return { _tag: "Usage", message };
}

/** An error in the arguments, in a left. */
export function usage(message: string): E.Either<Usage, never> {
  return E.left(usageError(message));
}

/** The message of any error of a command. */
export function messageOf(error: CommandError): string {
  return error._tag === "Usage" ? error.message : explainTo("command line", error);
}

/** A thrown value as an error of the command. Reading a tensor throws an Error whose cause is an error value. */
export function errorOf(thrown: unknown): CommandError {
  const cause: unknown = thrown instanceof Error ? thrown.cause : undefined;
  if (typeof cause === "object" && cause !== null && "_tag" in cause) return cause as CommandError;
  return usageError(thrown instanceof Error ? thrown.message : String(thrown));
}

/** The options that every command has. */
export const generalOptions: { readonly json: Option; readonly help: Option } = {
  json: { help: "print one JSON document, of an error too" },
  help: { help: "show this text" },
};

/**
 * Separates options from other words.
 *
 * @param given What was typed after the command.
 * @param table The command's options, without {@link generalOptions}.
 */
export function parseOptions<O extends OptionTable>(given: readonly string[], table: O): E.Either<Usage, Arguments<O>> {
  const all: readonly (readonly [string, Option])[] = Object.entries({ ...table, ...generalOptions });
  const known = Object.fromEntries(all.map(([name, { value, multiple = false }]) => {
    const type = value === undefined ? "boolean" as const : "string" as const;
    return [name, { type, multiple, ...(name === "help" ? { short: "h" } : {}) }];
  }));
  return pipe(
    E.tryCatch(() => parseArgs({ args: [...given], options: known, allowPositionals: true }), E.toError),
    E.mapLeft(({ message }) => usageError(message)),
    E.map(({ values, positionals: words }) => ({ options: values as Arguments<O>["options"], words })),
  );
}
