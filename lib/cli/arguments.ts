/**
 * Command-line arguments: options and words, and the error for those that cannot be understood.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { parseArgs } from "node:util";
import { type DogearError, explainTo } from "../errors/mod.ts";
import { nearestName } from "./suggestion.ts";

// --- types

/** Arguments that cannot be understood, or that ask for something impossible. */
export interface Usage {
  readonly _tag: "Usage";
  readonly message: string;
  /** The place that was typed, if it is no run: the message may have lines `dogear ls RUN` for those near it. */
  readonly near?: string;
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

/** An option as it is typed, with the name of its value. */
export function optionText(name: string, { value }: Option): string {
  return `--${name}${value === undefined ? "" : ` ${value}`}`;
}

/** An option as it was typed. */
interface TypedOption {
  readonly name: string;
  /** With its hyphens. */
  readonly rawName: string;
  readonly value: string | undefined;
  /** Whether the value was typed after an `=`. */
  readonly inlineValue: boolean | undefined;
}

/** The error of an option that the command does not have. */
function unknownOption(typed: string, table: OptionTable): string {
  const names = Object.keys(table);
  const meant = nearestName(typed.replace(/^-+/, ""), names);
  const all = names.map((name) => `--${name}`).join(", ");
  const remedy = meant === undefined ? `Its options are ${all}` : `Did you mean --${meant}?`;
  return `Expected an option of this command, found ${JSON.stringify(typed)}. ${remedy}`;
}

/** What is wrong with an option, by itself and with those before it. A word like an option is no value, unless it is a negative number. */
function problemOf(
  { name, rawName, value, inlineValue = false }: TypedOption,
  before: readonly TypedOption[],
  table: OptionTable,
): string | undefined {
  const option = Object.hasOwn(table, name) ? table[name]! : undefined;
  if (option === undefined) return unknownOption(rawName, table);
  if (option.value === undefined) {
    if (value === undefined) return undefined;
    return `Expected ${rawName} without a value, found ${JSON.stringify(`${rawName}=${value}`)}`;
  }
  const expected = `Expected a value after ${rawName}`;
  if (value === undefined) return `${expected}, found the end: write ${rawName} ${option.value}`;
  const found = JSON.stringify(value);
  if (!inlineValue && /^-(?![\d.]|$)/.test(value)) {
    return `${expected}, found ${found}. A value that begins with a hyphen is written ${rawName}=${value}`;
  }
  const first = before.find((one) => one.name === name);
  if (option.multiple === true || first === undefined) return undefined;
  return `Expected ${rawName} once, found it with ${JSON.stringify(first.value)} and with ${found}`;
}

/**
 * Separates options from other words. After `--` all are words.
 *
 * @param given What was typed after the command.
 * @param own The command's options, without {@link generalOptions}.
 */
export function parseOptions<O extends OptionTable>(given: readonly string[], own: O): E.Either<Usage, Arguments<O>> {
  const table: OptionTable = { ...own, ...generalOptions };
  const known = Object.fromEntries(
    Object.entries(table).map(([name, { value, multiple = false }]) => {
      const type = value === undefined ? "boolean" as const : "string" as const;
      return [name, { type, multiple, ...(name === "help" ? { short: "h" } : {}) }];
    }),
  );
  // Not strict: the errors of Node speak of positional arguments, and differ between runtimes.
  const { values, positionals: words, tokens } = parseArgs({
    args: [...given],
    options: known,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  // Of -verify, which are six short options to Node, the whole word.
  const typed = tokens.filter((token) => token.kind === "option")
    .map((token) => ({ ...token, rawName: given[token.index]!.replace(/=.*/s, "") }));
  for (const [i, token] of typed.entries()) {
    const problem = problemOf(token, typed.slice(0, i), table);
    if (problem !== undefined) return usage(problem);
  }
  return E.right({ options: values as Arguments<O>["options"], words });
}
