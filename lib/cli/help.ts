/**
 * Help texts, made from the tables of commands and their options, and broken to the width of the terminal.
 *
 * @module
 */
import { wrap } from "./text_width.ts";
import { generalOptions, type OptionTable, optionText, type Usage, usageError } from "./arguments.ts";

// --- types

/** What the help of a command says. Line ends in its texts are spaces. */
export interface Help<O extends OptionTable = OptionTable> {
  readonly name: string;
  /** What it does, in a few words. */
  readonly summary: string;
  /** Its arguments, such as `RUN[@CHECKPOINT] [PART]`. */
  readonly usage: string;
  /** What its arguments name, for completion; folders by default. */
  readonly completes?: "files" | "folders" | readonly string[];
  /** What it does, in full. */
  readonly description: string;
  readonly options: O;
  /** Arguments, each with what they do in a few words. The first are the shortest. */
  readonly examples: readonly (readonly [args: string, does: string])[];
  /** The shape of its JSON document. */
  readonly json: string;
}

// --- constructors

const exitCodes = [
  ["0", "success"],
  ["1", "a checkpoint is damaged or has another digest than expected, or two checkpoints differ"],
  ["2", "the command failed"],
] as const;

const references = [
  ["RUN", 'the folder or the s3:// URL that a run saves to; "." if it is left out'],
  ["RUN@12", "its checkpoint 12"],
  ["RUN@latest", "its newest checkpoint"],
  ["RUN@latest~1", "the one before"],
  [
    "RUN@best:loss:min",
    "its checkpoint with the lowest loss, or with max the highest; after a fork, of the newest run",
  ],
  ["@12", "after another RUN: checkpoint 12 of the same run"],
] as const;

const aboutReferences = [
  "Without a checkpoint, ls, verify, cp, serve and export --tensorboard take all of them, other commands the newest.",
  "A folder with an @ in its name is written with a slash after it: a@b/",
  "Keys, region and server of a bucket come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, " +
  "and AWS_ENDPOINT_URL_S3 or else AWS_ENDPOINT_URL.",
];

/** The width of a help text that does not go to a terminal. */
const pipeWidth = 80;

function widthFor(terminal: number): number {
  return Number.isFinite(terminal) ? terminal : pipeWidth;
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ");
}

/** A paragraph. Spaces inside of brackets are no places to break it. */
function paragraph(text: string, width: number, hang: string = ""): string {
  const line = oneLine(text).replace(/\[(?:[^[\]]|\[[^[\]]*\])*\]/g, (group) => group.replaceAll(" ", "\u00a0"));
  return wrap(line, width, hang).join("\n").replaceAll("\u00a0", " ");
}

/** The least width of the second of two columns. */
const leastColumn = 24;

/** Two columns, indented; where the second would be narrow, each second cell is below the first. */
function twoColumns(rows: readonly (readonly [string, string])[], width: number): string {
  const first = Math.max(...rows.map(([name]) => name.length)) + 4;
  if (width - first < leastColumn) {
    return rows.map(([name, text]) => `  ${name}\n${paragraph(`      ${text}`, width)}`).join("\n");
  }
  const indent = " ".repeat(first);
  return rows.map(([name, text]) => `  ${name}`.padEnd(first) + paragraph(indent + text, width).slice(first)).join(
    "\n",
  );
}

function optionRows(options: OptionTable): readonly (readonly [string, string])[] {
  return Object.entries({ ...options, ...generalOptions }).map(([name, option]) => {
    return [`${name === "help" ? "-h, " : ""}${optionText(name, option)}`, option.help];
  });
}

/** How a command is called, in one line. */
function usageOf({ name, usage }: Help): string {
  return `Usage: dogear ${name} ${usage}`;
}

/** Adds how the command is called to an error in its arguments. */
export function withUsage(help: Help): (error: Usage) => Usage {
  return ({ message }) => usageError(`${message}\n${usageOf(help)}\nMore: dogear ${help.name} --help`);
}

/** The first example of a command. */
function exampleOf({ name, examples: [first] }: Help): string {
  return `dogear ${name} ${first?.[0] ?? ""}`;
}

/** What RUN and CHECKPOINT in a usage are. */
function aboutArguments({ usage }: Help): readonly string[] {
  if (!usage.includes("RUN")) return [];
  const checkpoint = "CHECKPOINT is a number, latest, latest~1 or best:METRIC:min.";
  const isNamed = usage.includes("CHECKPOINT");
  return [
    `RUN is the folder or the s3:// URL that a run saves to. ${isNamed ? `${checkpoint} ` : ""}More: dogear --help`,
  ];
}

/** The help of one command, in lines of a width. */
export function helpOf(help: Help, terminal: number): string {
  const width = widthFor(terminal);
  const { name, description, options, examples, json } = help;
  const shown = examples.map(([args, does]) => `${paragraph(`  # ${does}`, width, "# ")}\n  dogear ${name} ${args}`);
  return [
    paragraph(usageOf(help), width, "  "),
    paragraph(description, width),
    ...aboutArguments(help).map((text) => paragraph(text, width)),
    `Examples:\n${shown.join("\n")}`,
    `Options:\n${twoColumns(optionRows(options), width)}`,
    wrap(`JSON: ${oneLine(json)}`, width, "  ").join("\n"),
  ].join("\n\n");
}

/** The commands with one example each: what `dogear` prints. */
export function shortHelp(commands: readonly Help[], terminal: number): string {
  const width = widthFor(terminal);
  return [
    "Usage: dogear COMMAND [options]",
    twoColumns(commands.map((help) => [exampleOf(help), help.summary]), width),
    paragraph("More: dogear --help, and of a command: dogear ls --help", width),
  ].join("\n\n");
}

/** The whole help of the command line. */
export function generalHelp(commands: readonly Help[], terminal: number): string {
  const width = widthFor(terminal);
  const about =
    "Lists, checks, compares, prunes, exports and copies the checkpoints of training runs. It never loads TensorFlow.js.";
  const general = [...optionRows({}), ["-v, --version", "print the version"]] as const;
  return [
    "Usage: dogear COMMAND [options]",
    paragraph(about, width),
    `Commands:\n${twoColumns(commands.map(({ name, summary }) => [name, summary]), width)}`,
    `Examples:\n${commands.map((help) => `  ${exampleOf(help)}`).join("\n")}`,
    `Runs and checkpoints:\n${twoColumns(references, width)}`,
    ...aboutReferences.map((text) => paragraph(text, width)),
    `Options:\n${twoColumns(general, width)}`,
    paragraph("With --json, an error is { error: { _tag, message, ... } } on standard output.", width),
    `Exit codes:\n${twoColumns(exitCodes, width)}`,
    paragraph("More on a command: dogear COMMAND --help, or dogear help COMMAND", width),
  ].join("\n\n");
}
