/**
 * What the words of a command line mean: options, run folders, checkpoints, policies, sizes.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { candidates, entriesOf } from "../catalogue.ts";
import { directory } from "../directory.ts";
import { localFileSystem } from "../local_file_system.ts";
import type { DogearError } from "../errors.ts";
import { explain } from "../explain.ts";
import { numberIn } from "../listing.ts";
import * as Retention from "../retention.ts";
import type { Store } from "../store.ts";

// --- types

/** The words of a command line that do not say what is to be done. */
export interface Usage {
  readonly _tag: "Usage";
  readonly message: string;
}

/** Why a command could not do what it was asked for. */
export type Trouble = DogearError | Usage;

/** What a command comes to: the exit code. */
export type Outcome = E.Either<Trouble, number>;

/** A command's options by name, and its other words. */
export interface Words {
  readonly options: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;
  readonly rest: readonly string[];
}

/** A run folder, and the checkpoints of it that were named. */
export interface Selection {
  /** As it was given. */
  readonly given: string;
  readonly store: Store;
  readonly checkpoints: readonly Reference[];
}

/** A checkpoint as it is named: by its number, by how many checkpoints before the newest it is, or by the best value of a metric. */
export type Reference =
  | { readonly number: number }
  | { readonly back: number }
  | { readonly metric: string; readonly mode: "min" | "max" };

/** One checkpoint of a run folder. */
export interface Chosen {
  readonly given: string;
  readonly store: Store;
  readonly checkpoint: number;
}

/** A policy under the words it was asked for by. */
export interface NamedPolicy {
  readonly name: string;
  readonly policy: Retention.Retention;
}

// --- constructors

/** A {@link Usage} in a left. */
export function usage(message: string): E.Either<Usage, never> {
  return E.left({ _tag: "Usage", message });
}

/** The sentence for any trouble. */
export function sentence(trouble: Trouble): string {
  return trouble._tag === "Usage" ? trouble.message : explain(trouble);
}

/**
 * Sorts words into options and others.
 *
 * @param words What was typed after the command.
 * @param options What it knows beside `--json` and `--help`.
 */
export function parse(
  words: readonly string[],
  options: NonNullable<ParseArgsConfig["options"]>,
): E.Either<Usage, Words> {
  const known = { json: { type: "boolean" }, help: { type: "boolean", short: "h" }, ...options } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...words], options: known, allowPositionals: true });
    return E.right({ options: values, rest: positionals });
  } catch (cause) {
    return usage(cause instanceof Error ? cause.message : String(cause));
  }
}

/** The checkpoint that a word names: `12`, `latest`, `latest~1` or `best:val_loss:min`; undefined for any other word. */
export function checkpointIn(word: string): Reference | undefined {
  const [, digits, back, metric, mode] = /^(?:(\d+)|latest(?:~(\d+))?|best:(.+):(min|max))$/s.exec(word) ?? [word];
  if (digits !== undefined) return Number.isSafeInteger(Number(digits)) ? { number: Number(digits) } : undefined;
  if (metric !== undefined && (mode === "min" || mode === "max")) return { metric, mode };
  return word === "latest" || back !== undefined ? { back: Number(back ?? 0) } : undefined;
}

/** A run and a checkpoint of it in one word, such as `runs/digits@12`; the run is empty in `@12`, and left to who asks. */
function referenceIn(word: string): { readonly run: string; readonly checkpoint: Reference } | undefined {
  // From the last @ on: a run's path may have others.
  for (let at = word.lastIndexOf("@"); at >= 0; at = at === 0 ? -1 : word.lastIndexOf("@", at - 1)) {
    const checkpoint = checkpointIn(word.slice(at + 1));
    if (checkpoint !== undefined) return { run: word.slice(0, at), checkpoint };
  }
  return undefined;
}

async function isFolder(path: string): Promise<boolean> {
  const found = await localFileSystem.status(path)();
  return E.isRight(found) && found.right.kind === "folder";
}

/** The run folder that a path leads to: it may be the run's own, that of its checkpoints, or one of these. */
async function runAt(given: string): Promise<E.Either<Usage, Selection>> {
  const path = resolve(given);
  if (given === "" || !await isFolder(path)) {
    return usage(
      `Expected a run folder, found no folder ${JSON.stringify(given)}: give the path that the run saves to`,
    );
  }
  const number = numberIn(basename(path));
  if (number !== undefined && basename(dirname(path)) === "checkpoints") {
    return E.right({ given, store: directory(dirname(dirname(path))), checkpoints: [{ number }] });
  }
  const inner = basename(path) === "checkpoints" && !await isFolder(join(path, "checkpoints"));
  return E.right({ given, store: directory(inner ? dirname(path) : path), checkpoints: [] });
}

/**
 * What words select: run folders, and checkpoints of each, with it as `runs/digits@12` or after it as `12`; those before any folder are of the
 * working directory's.
 *
 * @param words Paths, references, numbers and `latest`. A folder whose name is a number is written `./12`.
 */
export function selections(words: readonly string[]): TaskEither<Usage, readonly Selection[]> {
  return async () => {
    const selected: Selection[] = [];
    for (const word of words) {
      const together = await isFolder(resolve(word)) ? undefined : referenceIn(word);
      const checkpoint = checkpointIn(word) ?? together?.checkpoint;
      const path = together === undefined ? checkpoint === undefined ? word : "" : together.run;
      if (path !== "" || selected.length === 0 || word === "") {
        const run = await runAt(path === "" && word !== "" ? "." : path);
        if (E.isLeft(run)) return run;
        selected.push(run.right);
      }
      const last = selected.at(-1);
      if (checkpoint !== undefined && last !== undefined) {
        selected.splice(-1, 1, { ...last, checkpoints: [...last.checkpoints, checkpoint] });
      }
    }
    if (selected.length > 0) return E.right(selected);
    return E.map((run: Selection) => [run])(await runAt("."));
  };
}

/** The number that a reference comes to; undefined if the newest is asked for where there is none. */
async function numberOf(
  store: Store,
  one: Reference,
  numbers: readonly number[],
): Promise<E.Either<Trouble, number | undefined>> {
  if ("number" in one) return E.right(one.number);
  if ("back" in one) {
    if (one.back === 0) return E.right(numbers.at(-1));
    // Of the candidates some may turn out to be none.
    const listed = await store.list();
    if (E.isLeft(listed)) return listed;
    const number = listed.right.at(-1 - one.back);
    if (number !== undefined) return E.right(number);
    return usage(
      `Expected more than ${one.back} checkpoints for latest~${one.back}, found ${listed.right.length} in ${store.location}`,
    );
  }
  const entries = await entriesOf(store, numbers);
  const sign = one.mode === "min" ? 1 : -1;
  const valued = entries.flatMap(({ checkpoint, metrics }) => {
    const value = Object.hasOwn(metrics, one.metric) ? metrics[one.metric] ?? NaN : NaN;
    return Number.isNaN(value) ? [] : [{ checkpoint, value: sign * value }];
  });
  // Of equal ones the newer, as for retention.
  const best = valued.reduce<typeof valued[number] | undefined>(
    (best, one) => best === undefined || one.value <= best.value ? one : best,
    undefined,
  );
  if (best !== undefined) return E.right(best.checkpoint);
  const known = [...new Set(entries.flatMap(({ metrics }) => Object.keys(metrics)))];
  return usage(
    `Expected a checkpoint with the metric ${JSON.stringify(one.metric)}, found none in ${store.location}: ` +
      (known.length === 0
        ? "no checkpoint has any metric"
        : `the metrics there are: ${known.map((name) => JSON.stringify(name)).join(", ")}`),
  );
}

/** The checkpoints that a selection names, the newest if it names none; one that is not there is an error. */
export function chosen({ given, store, checkpoints }: Selection): TaskEither<Trouble, readonly Chosen[]> {
  return async () => {
    const numbers = await candidates(store)();
    if (E.isLeft(numbers)) return numbers;
    const found: Chosen[] = [];
    for (const one of checkpoints.length === 0 ? [{ back: 0 }] : checkpoints) {
      const number = await numberOf(store, one, numbers.right);
      if (E.isLeft(number)) return number;
      const checkpoint = number.right;
      if (checkpoint === undefined || !numbers.right.includes(checkpoint)) {
        const asked = checkpoint === undefined ? {} : { checkpoint };
        return E.left({ _tag: "NoCheckpoint", location: store.location, ...asked, available: numbers.right });
      }
      found.push({ given, store, checkpoint });
    }
    return E.right(found);
  };
}

/**
 * One checkpoint and what is asked of it: `[run[@checkpoint]] [checkpoint] [more]`.
 *
 * @param words At most three words.
 * @param more Whether the last word is neither run nor checkpoint though it is the only one after a run.
 */
export function oneChosen(
  words: readonly string[],
  more: "may follow" | "must follow",
): TaskEither<Trouble, { readonly chosen: Chosen; readonly more: string | undefined }> {
  return async () => {
    const [first = ".", second, third] = words;
    const together = checkpointIn(first) === undefined && referenceIn(first) !== undefined &&
      !await isFolder(resolve(first));
    const [run, ...after] = checkpointIn(first) === undefined ? [first, second, third] : [".", first, second];
    const rest = after.filter((word) => word !== undefined);
    const [next] = rest;
    const named = !together && next !== undefined && checkpointIn(next.replace(/^@/, "")) !== undefined &&
      (more === "may follow" || rest.length > 1);
    const tail = named ? rest.slice(1) : rest;
    if (words.length - rest.length > 1 || tail.length > 1 || (more === "must follow" && tail.length === 0)) {
      return usage(`Expected a run folder, a checkpoint and one word more at most, found ${words.length} words`);
    }
    const selected = await selections(named && next !== undefined ? [run ?? ".", next] : [run ?? "."])();
    if (E.isLeft(selected)) return selected;
    const [selection] = selected.right;
    const found = selection === undefined ? usage("Expected a run folder") : await chosen(selection)();
    if (E.isLeft(found)) return found;
    const one = found.right.at(-1);
    return one === undefined ? usage("Expected a checkpoint") : E.right({ chosen: one, more: tail[0] });
  };
}

function counted(name: string, word: string): E.Either<Usage, number> {
  return /^[1-9]\d*$/.test(word) && Number.isSafeInteger(Number(word))
    ? E.right(Number(word))
    : usage(`Expected --${name} with a whole number from 1, found ${JSON.stringify(word)}`);
}

/** A policy out of `3:loss:min`; a metric's name may hold colons. */
function best(word: string): E.Either<Usage, NamedPolicy> {
  const [, n = "", metric = "", mode] = /^([1-9]\d*):(.+):(min|max)$/s.exec(word) ?? [];
  if ((mode !== "min" && mode !== "max") || !Number.isSafeInteger(Number(n))) {
    return usage(
      `Expected --best with a number, a metric and min or max, as 3:loss:min, found ${JSON.stringify(word)}`,
    );
  }
  return E.right({ name: `best ${n} ${metric} ${mode}`, policy: Retention.best(Number(n), metric, mode) });
}

/** The policies that options ask for, each under its own words: a checkpoint stays if any keeps it. */
export function policies(
  { latest, best: bests, every }: {
    readonly latest?: string | undefined;
    readonly best?: readonly string[] | undefined;
    readonly every?: string | undefined;
  },
): E.Either<Usage, readonly NamedPolicy[]> {
  const asked: E.Either<Usage, NamedPolicy>[] = [
    ...(latest === undefined ? [] : [
      E.map((n: number) => ({ name: `latest ${n}`, policy: Retention.latest(n) }))(counted("latest", latest)),
    ]),
    ...(bests ?? []).map(best),
    ...(every === undefined ? [] : [
      E.map((n: number) => ({ name: `every ${n}`, policy: Retention.every(n) }))(counted("every", every)),
    ]),
  ];
  if (asked.length === 0) {
    return usage(
      "Expected a policy: --latest 3, --best 3:loss:min or --every 1000, or several; a checkpoint stays if any keeps it",
    );
  }
  const found: NamedPolicy[] = [];
  for (const one of asked) {
    if (E.isLeft(one)) return one;
    found.push(one.right);
  }
  return E.right(found);
}

const sizes: Readonly<Record<string, number>> = {
  "": 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** A number of bytes out of `5GB`, `200MiB` or `1000`. */
export function size(word: string): E.Either<Usage, number> {
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([KMGT]i?B)?$/i.exec(word) ?? [];
  const bytes = Math.floor(Number(digits) * (sizes[unit.toUpperCase()] ?? NaN));
  return digits !== "" && bytes >= 1 && Number.isSafeInteger(bytes)
    ? E.right(bytes)
    : usage(`Expected a size such as 5GB or 200MiB, found ${JSON.stringify(word)}`);
}
