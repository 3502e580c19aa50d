/**
 * Command-line arguments: options and words, and the error for those that cannot be understood.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type DogearError, explainTo } from "../errors/mod.ts";
import { nearestName } from "./suggestion.ts";

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

/** An option as it is typed, with the name of its value. */
export function optionText(name: string, { value }: Option): string {
  return `--${name}${value === undefined ? "" : ` ${value}`}`;
}

/** The short form of an option. */
const short = "-h";

/** The error of a word that begins like an option and is none of this table. */
function unknownOption(typed: string, table: OptionTable): Usage {
  const names = Object.keys(table);
  const meant = nearestName(typed.replace(/^-+/, ""), names);
  const all = names.map((name) => `--${name}`).join(", ");
  const remedy = meant === undefined ? `Its options are ${all}` : `Did you mean --${meant}?`;
  return usageError(`Expected an option of this command, found ${JSON.stringify(typed)}. ${remedy}`);
}

/** The value that an option takes from the command line. A word like an option is no value, unless it is a negative number. */
function valueOf(
  text: string,
  option: Option,
  inline: string | undefined,
  next: string | undefined,
): E.Either<Usage, string> {
  if (inline !== undefined) return E.right(inline);
  if (next === undefined) return usage(`Expected a value after ${text}, found the end: write ${text} ${option.value}`);
  if (!/^-./.test(next) || /^-[\d.]/.test(next)) return E.right(next);
  const found = JSON.stringify(next);
  return usage(
    `Expected a value after ${text}, found ${found}. A value that begins with a hyphen is written ${text}=${next}`,
  );
}

/**
 * Separates options from other words. After `--` all are words.
 *
 * @param given What was typed after the command.
 * @param own The command's options, without {@link generalOptions}.
 */
export function parseOptions<O extends OptionTable>(given: readonly string[], own: O): E.Either<Usage, Arguments<O>> {
  const table: OptionTable = { ...own, ...generalOptions };
  const values: Record<string, boolean | string | string[]> = {};
  const words: string[] = [];
  for (let i = 0; i < given.length; i++) {
    const word = given[i]!;
    if (word === "--") {
      words.push(...given.slice(i + 1));
      break;
    }
    if (!/^-./.test(word)) {
      words.push(word);
      continue;
    }
    const [, typed = "", inline] = /^([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    const name = typed === short ? "help" : typed.slice(2);
    const option = typed === short || typed.startsWith("--") && Object.hasOwn(table, name) ? table[name] : undefined;
    if (option === undefined) return E.left(unknownOption(typed, table));
    if (option.value === undefined) {
      if (inline !== undefined) return usage(`Expected ${typed} without a value, found ${JSON.stringify(word)}`);
      values[name] = true;
      continue;
    }
    const value = valueOf(typed, option, inline, given[i + 1]);
    if (E.isLeft(value)) return value;
    if (inline === undefined) i++;
    const before = values[name];
    if (before !== undefined && !Array.isArray(before)) {
      return usage(
        `Expected ${typed} once, found it with ${JSON.stringify(before)} and with ${JSON.stringify(value.right)}`,
      );
    }
    values[name] = option.multiple === true ? [...(before ?? []), value.right] : value.right;
  }
  return E.right({ options: values as Arguments<O>["options"], words });
}
