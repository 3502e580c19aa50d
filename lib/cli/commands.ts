/**
 * The commands by name, what each says of itself, and how one is run.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import type { ParseArgsConfig } from "node:util";
import { version } from "../version.ts";
import { type Outcome, parse, sentence, type Trouble, usage, type Words } from "./arguments.ts";
import { diff } from "./diff.ts";
import { exportWeights } from "./export.ts";
import { index } from "./index.ts";
import { inspect } from "./inspect.ts";
import { ls } from "./ls.ts";
import { prune } from "./prune.ts";
import type { Terminal } from "./terminal.ts";
import { verify } from "./verify.ts";
import { jsonText } from "./text.ts";

// --- types

interface Command {
  readonly help: string;
  /** What its document of JSON holds. */
  readonly json: string;
  readonly options: NonNullable<ParseArgsConfig["options"]>;
  readonly run: (words: Words, terminal: Terminal) => Task<Outcome>;
}

// --- commands

const general = `
  --json        one JSON document on standard output; of an error { error: { _tag, message, ... } }
  -h, --help    this text`;

const commands: Readonly<Record<string, Command>> = {
  ls: {
    help: `dogear ls [run...] [--verify]

Lists the checkpoints of run folders, the newest first: number, age, step, metrics, size, how much of it other checkpoints share, run, verdict.
The verdict "complete" says that the manifest is whole and every file has its length.

  --verify      read every byte: "verified" or "damaged"`,
    json:
      `{ runs: [{ location, checkpoints: [{ checkpoint, step, metrics, time, bytes, shared, run, verdict, error }] }] }`,
    options: { verify: { type: "boolean" } },
    run: ls,
  },
  inspect: {
    help: `dogear inspect [run] [checkpoint] [path]

Shows a checkpoint and its components; a component or any part of it by its path; a tensor with its range, mean, NaN count and histogram.
Without a checkpoint the newest is meant.`,
    json:
      `{ location, checkpoint, step, metrics, time, bytes, shared, run, verdict, error, parent, environment, id, files, components },
                or { location, path, kind, parts: [{ path, kind, value } or { path, dtype, shape, file }], statistics }`,
    options: {},
    run: inspect,
  },
  verify: {
    help: `dogear verify [run] [checkpoint...] [--expect digest]

Reads every byte of the checkpoints named, or of all, and names what is damaged; the exit code is then 1.
Of a checkpoint that was saved with { digest: "sha256" } it prints one SHA-256 of the whole, the one that the save told (Saved.digest).

  --expect digest
                one checkpoint, the newest if none is named, must have that SHA-256, and every byte be what it is of`,
    json: `{ checkpoints: [{ location, ... as of ls, digest }], verified, damaged }`,
    options: { expect: { type: "string" } },
    run: verify,
  },
  diff: {
    help: `dogear diff [run] <checkpoint> [run] <checkpoint>

Compares two checkpoints tensor by tensor, by bits; the exit code is 1 if they differ.
Of a folder named without a checkpoint the newest is meant: dogear diff runs/a runs/b; @18 alone is of the run before it.`,
    json: `{ left, right, equal, differences: [{ path, kind, left, right, count, largest }] }`,
    options: {},
    run: diff,
  },
  prune: {
    help: `dogear prune [run] (--latest n | --best n:metric:min|max | --every n)... [--run name] [--yes]

Shows which checkpoints no policy keeps, and removes them with --yes: of each run by itself, never its newest, never the last that verifies.

  --latest n    keep the n newest
  --best n:metric:min
                keep the n with the lowest (max: highest) metric; may be given several times
  --every n     keep those whose step is a multiple of n
  --run name    prune this run alone; the start of its name will do
  --yes         remove them; otherwise nothing is removed`,
    json:
      `{ location, dryRun, checkpoints: [{ checkpoint, action, why, step, bytes, run }], removed, notRemoved: [{ checkpoint, reason }], notes, freed }`,
    options: {
      latest: { type: "string" },
      best: { type: "string", multiple: true },
      every: { type: "string" },
      run: { type: "string" },
      yes: { type: "boolean" },
    },
    run: prune,
  },
  export: {
    help: `dogear export [run] [checkpoint] --out <folder> [--component name] [--max-shard-size 5GB] [--force]

Writes the weights of the component "model" as model.safetensors, or split with model.safetensors.index.json, as Hugging Face tools load them.

  --out folder            where to write; it is never guessed
  --component name        another component
  --max-shard-size size   split so that no file has more bytes of tensors, such as 5GB or 200MiB, but for a larger tensor
  --force                 replace the weights in that folder`,
    json: `{ location, component, folder, tensors, files: [{ name, bytes }] }`,
    options: {
      out: { type: "string" },
      component: { type: "string" },
      "max-shard-size": { type: "string" },
      force: { type: "boolean" },
    },
    run: exportWeights,
  },
  index: {
    help: `dogear index <file...> [--csv]

Builds the index by which a file of lines, JSON Lines or CSV is read in any order, and keeps it beside the file: <file>.index. A training that
opens the file builds it if it is not there. One that is of the file as it is stays.

  --csv         line ends between quotation marks end no record; understood of files named .csv and .tsv`,
    json: `{ files: [{ path, records, bytes, kept }] }`,
    options: { csv: { type: "boolean" } },
    run: index,
  },
};

const help = `dogear <command> [run folder] ...

  ls         the checkpoints of a run
  inspect    a checkpoint, a component, a tensor
  verify     every byte
  diff       two checkpoints, tensor by tensor
  prune      remove what no policy keeps
  export     weights for other tools
  index      a data file, before it is trained on

A run folder is the path that the run saves to, "." by default; its checkpoints' folder, or one of them, will do. Checkpoints are named with
the run, runs/digits@12, runs/digits@latest~1, runs/digits@best:val_loss:min, or after it, by number or "latest". dogear <command> --help says more.
Exit codes: 0 fine; 1 something is damaged, or two checkpoints differ; 2 what was asked for could not be done.
${general}
  --version     the version`;

// --- running

/** Damage has an exit code of its own. */
function codeOf({ _tag }: Trouble): number {
  return _tag === "Damaged" ? 1 : 2;
}

async function run([name, ...words]: readonly string[], out: Terminal): Promise<Outcome> {
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    await out.print(help.split("\n"));
    return E.right(name === undefined ? 2 : 0);
  }
  if (name === "--version") {
    await out.print([version]);
    return E.right(0);
  }
  if (!Object.hasOwn(commands, name)) {
    return usage(`Expected ${Object.keys(commands).join(", ")}, found ${JSON.stringify(name)}: see dogear --help`);
  }
  const { help: own, json, options, run } = commands[name] as Command;
  const parsed = parse(words, options);
  if (E.isLeft(parsed)) return usage(`${parsed.left.message}\nSee dogear ${name} --help`);
  if (parsed.right.options["help"] === true) {
    await out.print(`${own}\n${general}\n\nThe document: ${json}`.split("\n"));
    return E.right(0);
  }
  return await run(parsed.right, out)();
}

/** What was thrown as the trouble it stands for: reading a tensor throws an error whose cause is one. */
function troubleOf(thrown: unknown): Trouble {
  const cause: unknown = thrown instanceof Error ? thrown.cause : undefined;
  if (typeof cause === "object" && cause !== null && "_tag" in cause) return cause as Trouble;
  return { _tag: "Usage", message: thrown instanceof Error ? thrown.message : String(thrown) };
}

/**
 * Runs one command line.
 *
 * @param words What was typed after `dogear`.
 * @param out Where to write.
 * @returns The exit code: 0 fine; 1 something is damaged, or two checkpoints differ; 2 what was asked for could not be done.
 */
export async function main(words: readonly string[], out: Terminal): Promise<number> {
  const outcome = await run(words, out).catch((thrown: unknown): Outcome => E.left(troubleOf(thrown)));
  if (E.isRight(outcome)) return outcome.right;
  const message = sentence(outcome.left);
  out.say(message);
  // Machines read standard output: they are told there, too, unless it is that which failed.
  if (words.includes("--json")) await out.print([jsonText({ error: { ...outcome.left, message } })]).catch(() => {});
  return codeOf(outcome.left);
}
