/**
 * References: the names of runs and checkpoints on the command line.
 *
 * ```text
 * reference  = run | [ run ] "@" checkpoint
 * checkpoint = number | "latest" [ "~" number ] | "best:" metric ":" ( "min" | "max" )
 * ```
 *
 * `runs/digits@12` is checkpoint 12, `runs/digits@latest~1` the one before the newest. The best is that of the run of the newest checkpoint, as
 * for `loadState`. The run ends at the last `@` that a checkpoint
 * follows, so folders, URLs and metrics may have `@` in them. Parsing never looks at the disk: a folder whose last name has an `@` is
 * written with a slash after it, `a@b/`, or with a checkpoint, `a@b@latest`. So is a URL. Without a run, as in `@18`, the run of the reference before it
 * is meant, and for the first reference the working directory.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join, resolve } from "node:path";
import { bestFirst, candidates, inOrder } from "../checkpoint/mod.ts";
import { checkpointsName, localFileSystem, numberIn } from "../store/directory/mod.ts";
import type { NoCheckpoint } from "../errors/mod.ts";
import type { Store } from "../store/mod.ts";
import { type CommandError, type CommandTask, type Usage, usage, usageError } from "./arguments.ts";
import { inside, nearbyRemedy } from "./nearby.ts";
import { isUrl, type OpenUrl, openUrl, storeAt } from "./stores.ts";

// --- types

/** A checkpoint by its number, by how many are newer, or by the best value of a metric. */
export type CheckpointName =
  | { readonly number: number }
  | { readonly back: number }
  | { readonly metric: string; readonly mode: "min" | "max" };

/** A parsed reference. */
export interface Reference {
  /** The reference as it was typed. */
  readonly text: string;
  readonly run: string;
  readonly checkpoint?: CheckpointName;
}

/** Checkpoints of an existing run. */
export interface OpenRun {
  /** The reference as it was typed. */
  readonly text: string;
  readonly store: Store;
  /** The numbers that may have a checkpoint, ascending; the last one has. */
  readonly numbers: readonly number[];
}

/** An existing checkpoint. */
export interface NamedCheckpoint {
  /** The reference as it was typed. */
  readonly text: string;
  readonly store: Store;
  readonly checkpoint: number;
}

/** The runs at a location. */
export interface RunsAt {
  /** The runs in a folder of runs, by name; otherwise the run at the location itself, which may lack checkpoints. */
  readonly runs: readonly OpenRun[];
  /** Whether they are in it. */
  readonly areInside: boolean;
  /** Why others in it cannot be read. */
  readonly unread: readonly CommandError[];
}

// --- parsing

/** The checkpoint that a text names; undefined if it names none. */
export function parseCheckpoint(text: string): CheckpointName | undefined {
  const match = /^(?:(0|[1-9]\d*)|latest(?:~(\d+))?|best:(.+):(min|max))$/s.exec(text);
  const [, digits, back = "0", metric, mode] = match ?? [];
  if (metric !== undefined && (mode === "min" || mode === "max")) return { metric, mode };
  const number = Number(digits ?? back);
  if (match === null || !Number.isSafeInteger(number)) return undefined;
  return digits === undefined ? { back: number } : { number };
}

/**
 * Parses a reference.
 *
 * @param text The reference.
 * @param runBefore The run that a reference without a run is to.
 */
export function parseReference(text: string, runBefore: string = "."): E.Either<Usage, Reference> {
  if (text === "") return usage('Expected RUN or RUN@CHECKPOINT, found ""');
  for (let at = text.lastIndexOf("@"); at >= 0; at = at === 0 ? -1 : text.lastIndexOf("@", at - 1)) {
    const checkpoint = parseCheckpoint(text.slice(at + 1));
    if (checkpoint !== undefined) return E.right({ text, run: text.slice(0, at) || runBefore, checkpoint });
  }
  const unknown = /@([^@/\\]*)$/.exec(text)?.[1];
  if (unknown === undefined) return E.right({ text, run: text });
  const expected = "Expected a number, latest, latest~1 or best:METRIC:min after the @";
  const found = `${expected}, found ${JSON.stringify(unknown)}`;
  if (!isUrl(text)) return usage(`${found}. A folder of this name is written ${text}/`);
  // Before the first slash it may be a key that someone wrote into the URL: it is not repeated.
  return usage(/:\/\/[^/]*@/.test(text) ? found : `${found}. A prefix of this name is written ${text}/`);
}

/** Parses consecutive references; without any, the working directory is the run. */
export function parseReferences(words: readonly string[]): E.Either<Usage, readonly Reference[]> {
  const references: Reference[] = [];
  for (const word of words.length === 0 ? ["."] : words) {
    const reference = parseReference(word, references.at(-1)?.run);
    if (E.isLeft(reference)) return reference;
    references.push(reference.right);
  }
  return E.right(references);
}

/**
 * The remedy if a checkpoint was typed apart from its run, as the 12 of `inspect RUN 12`; empty for any other word.
 *
 * @param word The word.
 * @param run The word before it. If that has a checkpoint already, there is no remedy. Undefined if it is not known.
 */
export function separateCheckpoint(word: string | undefined, run?: string): string {
  const checkpoint = word?.replace(/^@/, "") ?? "";
  if (parseCheckpoint(checkpoint) === undefined) return "";
  if (run === undefined) {
    return `. A checkpoint is written after its run: RUN@${checkpoint}, or after another checkpoint of it: @${checkpoint}`;
  }
  const hasOne = E.exists(({ checkpoint }: Reference) => checkpoint !== undefined)(parseReference(run));
  return hasOne ? "" : `. A checkpoint is written after its run: ${run}@${checkpoint}`;
}

// --- resolving

/** The remedy for a path inside a checkpoint; undefined for any other path. */
function insideCheckpoint(run: string): string | undefined {
  const [, owner, number] = /^(.+)[/\\]checkpoints[/\\]checkpoint_(\d+)(?:[/\\]|$)/.exec(resolve(run)) ?? [];
  return owner && `, which is in checkpoint ${number} of the run ${owner}: write ${owner}@${number}`;
}

/** The error of a place that is no run, with what was found there. Inside a checkpoint it names the run, otherwise the runs nearby. */
async function notARun(run: string, found: string, open: OpenUrl): Promise<CommandError> {
  const remedy = insideCheckpoint(run) ?? (separateCheckpoint(run) || await nearbyRemedy(run, open));
  const expected = `Expected ${isUrl(run) ? "the URL" : "the folder"} of a run`;
  return {
    ...usageError(`${expected}, found ${found}${remedy || ": give the path that the run saves to"}`),
    near: run,
  };
}

/** The error of a run that lacks a checkpoint: the one of a number, or any. */
export function noCheckpoint({ store: { location }, numbers: available }: OpenRun, checkpoint?: number): NoCheckpoint {
  return { _tag: "NoCheckpoint", location, ...(checkpoint === undefined ? {} : { checkpoint }), available };
}

/** Whether a run that is a folder exists. A bucket has no folders, so every URL counts as existing, also one without checkpoints. */
function checkFolder(run: string, open: OpenUrl): CommandTask<unknown> {
  if (isUrl(run)) return TE.right(undefined);
  return async () => {
    const status = await localFileSystem.status(resolve(run))();
    if (E.isLeft(status) && status.left.code === "EACCES") return status;
    const kind = E.isRight(status) ? status.right.kind : "none";
    if (kind === "folder") return E.right(undefined);
    return E.left(
      await notARun(
        run,
        `${kind === "none" ? "no folder" : `the ${kind === "file" ? kind : "device"}`} ${JSON.stringify(run)}`,
        open,
      ),
    );
  };
}

/** Whether a location without checkpoints is a run all the same: one whose first save has begun. */
async function hasBegun({ location, orphans }: Store): Promise<boolean> {
  if (isUrl(location)) {
    const left = await (orphans?.list ?? TE.right([]))();
    return E.isRight(left) && left.right.length > 0;
  }
  const names = await localFileSystem.names(join(location, checkpointsName))();
  return E.isRight(names) && names.right.every((name) => name.startsWith(".") || numberIn(name) !== undefined);
}

/**
 * Demands that a run has a checkpoint. The error of a place that is no run names the runs nearby.
 *
 * @param open Makes the store at a URL.
 * @param run The path of the run's folder, or its URL.
 */
export function withCheckpoints(open: OpenUrl, run: string): (opened: OpenRun) => CommandTask<OpenRun> {
  return (opened) => async () => {
    if (opened.numbers.length > 0) return E.right(opened);
    if (await hasBegun(opened.store)) return E.left(noCheckpoint(opened));
    const found = isUrl(run)
      ? `no checkpoint at ${run}`
      : `the folder ${JSON.stringify(run)}, which holds no checkpoint`;
    return E.left(await notARun(run, found, open));
  };
}

/**
 * Opens a run.
 *
 * @param run The path of its folder, or its URL.
 * @param open Makes the store at a URL.
 * @param text The reference that names it.
 */
export function openRun(run: string, open: OpenUrl, text: string = run): CommandTask<OpenRun> {
  return pipe(
    checkFolder(run, open),
    TE.flatMap(() => storeAt(run, open)),
    TE.bindTo("store"),
    TE.bind("numbers", ({ store }) =>
      pipe(
        candidates(store),
        TE.mapLeft((failed): CommandError => {
          const remedy = failed.code === "ENOTRUN" ? insideCheckpoint(run) : undefined;
          const found = `found ${JSON.stringify(run)}${remedy}`;
          return remedy === undefined ? failed : usageError(`Expected the folder of a run, ${found}`);
        }),
      )),
    TE.map(({ store, numbers }) => ({ text, store, numbers })),
  );
}

/** Opens a name in a folder of runs; undefined if it is no run. */
async function runInside({ store: { location }, text }: OpenRun, name: string, open: OpenUrl) {
  const [at, ownText] = [inside(location, name), inside(text, name)];
  if (isUrl(at)) return await openRun(at, open, ownText)();
  const status = await localFileSystem.status(join(at, checkpointsName))();
  if (E.isLeft(status)) return status.left.code === "EACCES" ? status : undefined;
  return status.right.kind === "folder" ? await openRun(at, open, ownText)() : undefined;
}

/** The runs at a location, if it has no checkpoints itself but folders in it do; otherwise itself. */
export function runsAt(open: OpenUrl): (run: OpenRun) => CommandTask<RunsAt> {
  return (run) => {
    const itself: RunsAt = { runs: [run], areInside: false, unread: [] };
    const { numbers, store: { folders } } = run;
    if (numbers.length > 0 || folders === undefined) return TE.right(itself);
    return pipe(
      folders,
      TE.flatMapTask((names) => async () => {
        const [runs, unread]: [OpenRun[], CommandError[]] = [[], []];
        for await (const [, found] of inOrder(names.toSorted(), (name) => runInside(run, name, open))) {
          if (found === undefined) continue;
          if (E.isRight(found) && found.right.numbers.length > 0) runs.push(found.right);
          if (E.isLeft(found) && found.left._tag === "StoreFailed" && found.left.code !== "ENOTRUN") {
            unread.push(found.left);
          }
        }
        return runs.length > 0 ? { runs, areInside: true, unread } : { ...itself, unread };
      }),
    );
  };
}

/** The number of a checkpoint of a run. It may not exist; undefined is the newest of a run without checkpoints. */
function numberNamed(run: OpenRun, name: CheckpointName): CommandTask<number | undefined> {
  const { store, numbers } = run;
  if ("number" in name) return TE.right(name.number);
  if ("metric" in name) {
    // Whether other checkpoints are damaged is for `verify` to say.
    return pipe(bestFirst(store, { best: name.metric, mode: name.mode }, true), TE.map(({ order: [best] }) => best));
  }
  const { back } = name;
  if (back === 0) return TE.right(numbers.at(-1));
  // Some of the numbers may have no checkpoint.
  return pipe(
    store.list,
    TE.flatMapEither((listed) => {
      const expected = `Expected more than ${back} checkpoints for latest~${back}`;
      const missing = usageError(`${expected}, found ${listed.length} in ${store.location}`);
      return E.fromNullable(missing)(listed.at(-1 - back));
    }),
  );
}

/** Finds the checkpoint of a reference: the newest if the reference names none. */
export function findCheckpoint(reference: Reference, openStore: OpenUrl = openUrl): CommandTask<NamedCheckpoint> {
  const { text, run, checkpoint: name = { back: 0 } } = reference;
  return pipe(
    TE.Do,
    TE.bind("open", () => pipe(openRun(run, openStore, text), TE.flatMap(withCheckpoints(openStore, run)))),
    TE.bind("checkpoint", ({ open }) => numberNamed(open, name)),
    TE.flatMapEither(({ open, checkpoint }): E.Either<CommandError, NamedCheckpoint> =>
      checkpoint !== undefined && open.numbers.includes(checkpoint)
        ? E.right({ text, store: open.store, checkpoint })
        : E.left(noCheckpoint(open, checkpoint))
    ),
  );
}

/** Finds the checkpoints of a reference, ascending: all of the run if the reference names none. */
export function findCheckpoints(reference: Reference, openStore: OpenUrl): CommandTask<OpenRun> {
  const { text, run, checkpoint } = reference;
  return checkpoint === undefined ? openRun(run, openStore, text) : pipe(
    findCheckpoint(reference, openStore),
    TE.map(({ store, checkpoint }) => ({ text, store, numbers: [checkpoint] })),
  );
}
