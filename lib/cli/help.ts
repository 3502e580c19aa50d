/**
 * Help texts, made from the tables of commands and their options.
 *
 * @module
 */
import { generalOptions, type OptionTable, type Usage, usageError } from "./arguments.ts";

// --- types

/** What the help of a command says. */
export interface Help<O extends OptionTable = OptionTable> {
  readonly name: string;
  /** What it does, in a few words. */
  readonly summary: string;
  /** Its arguments, such as `RUN[@CHECKPOINT] [PART]`. */
  readonly usage: string;
  /** What it does, in full. */
  readonly description: string;
  readonly options: O;
  /** Its arguments in an example. */
  readonly example: string;
  /** The shape of its JSON document. */
  readonly json: string;
}

// --- constructors

const references =
  `RUN is the folder or the s3:// URL that a run saves to, "." by default. CHECKPOINT is a number, latest, latest~1 (the one
before) or best:METRIC:min (or :max; of the newest run at that place), as in runs/digits@12 or s3://bucket/digits@12.
Without it, ls, verify, cp, serve and export --tensorboard take all checkpoints, others the newest. A folder with an @ in
its name is written with a slash after it: a@b/. Keys, region and server of a bucket come from the environment:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.`;

const exitCodes = `Exit codes:
  0  success
  1  a checkpoint is damaged or has another digest than expected, or two checkpoints differ
  2  the command failed`;

/** Two columns, indented. */
function twoColumns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join("\n");
}

function optionRows(options: OptionTable): readonly (readonly [string, string])[] {
  return Object.entries({ ...options, ...generalOptions }).map(([name, { value, help }]) => {
    const short = name === "help" ? "-h, " : "";
    return [`${short}--${name}${value === undefined ? "" : ` ${value}`}`, help];
  });
}

/** How a command is called, in one line. */
function usageOf({ name, usage }: Help): string {
  return `Usage: dogear ${name} ${usage}`;
}

/** Adds how the command is called to an error in its arguments. */
export function withUsage(help: Help): (error: Usage) => Usage {
  return ({ message }) => usageError(`${message}\n${usageOf(help)}`);
}

/** The help of one command. */
export function helpOf(help: Help): string {
  const { name, usage, description, options, example, json } = help;
  const about = usage.includes("RUN") ? `${description}\n\n${references}` : description;
  const list = `Options:\n${twoColumns(optionRows(options))}`;
  return [usageOf(help), about, list, `Example: dogear ${name} ${example}`, `JSON: ${json}`].join("\n\n");
}

/** The help of the command line. */
export function generalHelp(commands: readonly Help[]): string {
  return [
    "Usage: dogear COMMAND [options]",
    "Lists, checks, compares, prunes, exports and copies the checkpoints of training runs. It never loads TensorFlow.js.",
    `Commands:\n${twoColumns(commands.map(({ name, summary }) => [name, summary]))}`,
    references,
    `Options:\n${twoColumns([["--version", "print the version"], ...optionRows({})])}`,
    exitCodes,
    "More on a command: dogear COMMAND --help",
  ].join("\n\n");
}
