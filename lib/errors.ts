/**
 * Every error of the toolkit as a plain tagged value, and {@link explain}, which makes the sentence.
 *
 * A sentence says what was expected, what was found, and what to do. Nothing here is thrown: errors travel in the left
 * of an `Either` or a `TaskEither`. Only a programmer's own mistake is a `TypeError`, which names the path.
 *
 * @module
 */
import type { TaskEither } from "fp-ts/lib/TaskEither.js";

// --- types

/** What sort of difference a {@link Problem} is. */
export type ProblemKind =
  | "missing"
  | "extra"
  | "kind"
  | "class"
  | "config"
  | "dtype"
  | "shape"
  | "length"
  | "value"
  | "sharing"
  | "digest"
  | "format"
  | "name"
  | "data"
  | "memory";

/** One difference between what was expected and what was found, at one place. */
export interface Problem {
  /** Where: `/`-separated names from the component down, such as `model/layers/0/weights/kernel`. */
  readonly path: string;
  readonly kind: ProblemKind;
  readonly expected: string;
  readonly found: string;
}

/** The snapshot does not fit the live components, or cannot be decoded: every difference, not the first. */
export interface Mismatch {
  readonly _tag: "Mismatch";
  readonly problems: readonly Problem[];
}

/** The snapshot was used after its release. */
export interface Released {
  readonly _tag: "Released";
}

/** The disk or another store refused an operation. */
export interface StoreFailed {
  readonly _tag: "StoreFailed";
  /** What was being done, such as `write` or `rename`. */
  readonly operation: string;
  readonly path: string;
  /** The system's code, such as `ENOSPC`. */
  readonly code: string;
  readonly message: string;
}

/** The store holds no checkpoint, or not the one that was asked for. */
export interface NoCheckpoint {
  readonly _tag: "NoCheckpoint";
  readonly location: string;
  readonly checkpoint?: number;
  readonly available: readonly number[];
}

/** A checkpoint's bytes are not what was committed. */
export interface Damaged {
  readonly _tag: "Damaged";
  readonly checkpoint: number;
  readonly problems: readonly Problem[];
  /** The newest older checkpoint whose bytes verify, or null if none does; not there if nobody looked. */
  readonly older?: number | null;
}

/** A checkpoint was written by a later format than this version reads. */
export interface NewerFormat {
  readonly _tag: "NewerFormat";
  readonly checkpoint: number;
  readonly found: string;
  readonly supported: string;
}

/** The data under a cursor is not the data it was made on. */
export interface CursorMismatch {
  readonly _tag: "CursorMismatch";
  readonly problems: readonly Problem[];
}

/** A file of samples is not what it is read as, or no longer what it was. */
export interface DataFailed {
  readonly _tag: "DataFailed";
  readonly location: string;
  readonly problems: readonly Problem[];
}

/** A data source, or a function mapped over it, threw. */
export interface SourceFailed {
  readonly _tag: "SourceFailed";
  readonly cause: unknown;
  readonly epoch: number;
  readonly position: number;
}

/** The training step threw; nothing half done was saved. */
export interface StepFailed {
  readonly _tag: "StepFailed";
  readonly cause: unknown;
  /** How many batches of the data had been trained on before it. */
  readonly at: number;
}

/** A signal asked the training to stop; the checkpoint, if saving was asked for, is committed. */
export interface Stopped {
  readonly _tag: "Stopped";
  readonly signal: string;
  readonly checkpoint?: number;
}

/** Why a snapshot could not be restored. */
export type RestoreError = Mismatch | Released;
/** Why a checkpoint could not be saved. */
export type SaveError = StoreFailed | Released;
/** Why a checkpoint could not be loaded. */
export type LoadError = StoreFailed | NoCheckpoint | Damaged | NewerFormat | RestoreError;
/** Why an iteration over data broke off. */
export type LoaderError = CursorMismatch | SourceFailed;
/** Why a training loop ended early. */
export type TrainError = SaveError | LoaderError | StepFailed | Stopped;
/** Why a training by `fit` or `fitDataset` ended early. */
export type FitError = LoadError | TrainError;
/** Every error of the toolkit. */
export type DogearError = RestoreError | SaveError | LoadError | LoaderError | DataFailed | TrainError;

// --- constructors

/** A {@link Mismatch} of these problems. */
export function mismatch(problems: readonly Problem[]): Mismatch {
  return { _tag: "Mismatch", problems };
}

// --- combinators

const shown = 20;

function lines(problems: readonly Problem[]): string {
  const list = problems.slice(0, shown).map((p) =>
    `\n  ${p.path || "(whole)"}: ${p.kind}: expected ${p.expected}, found ${p.found}`
  );
  return list.join("") + (problems.length > shown ? `\n  and ${problems.length - shown} more` : "");
}

function causeOf(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

/** What usually helps against a system's error code. */
const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "free some space on that disk and save again",
  EDQUOT: "raise the quota or free some space and save again",
  EACCES: "give this process write permission there, or choose another folder",
  EPERM: "give this process write permission there, or choose another folder",
  EROFS: "that file system is read-only: choose another folder",
  ENOTDIR: "a part of that path is a file: choose a path for a folder",
  EEXIST: "that path is a file: choose a path for a folder",
};

/**
 * The sentence for an error: what was expected, what was found, and what to do.
 *
 * @param error Any error value of the toolkit.
 * @returns Text of one or more lines; at most twenty problems are listed, then their number.
 *
 * @example
 * ```ts
 * import { explain } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.match(explain({ _tag: "NoCheckpoint", location: "runs/digits", available: [] }), /holds no checkpoint/);
 * ```
 */
export function explain(error: DogearError): string {
  switch (error._tag) {
    case "Mismatch":
      return `The snapshot does not fit, and nothing was changed.${lines(error.problems)}\n` +
        (error.problems.every(({ kind }) => kind === "memory")
          ? "Dispose of tensors and release snapshots that are no longer needed, or restore on the cpu backend"
          : "Build the components as they were when it was saved, ask for what is to differ (keep, only, skip, rename, convert), or start in another store");
    case "Released":
      return "The snapshot has been released: capture again, or release it after its last use";
    case "StoreFailed": {
      const remedy = remedies[error.code] ?? "see that the path is right and its disk is well, then try again";
      return `Cannot ${error.operation} ${error.path} (${error.code}): ${error.message}. What was committed before is untouched; ${remedy}`;
    }
    case "NoCheckpoint": {
      const range = error.available.length === 0
        ? "holds no checkpoint"
        : `holds checkpoints ${error.available.slice(-shown).join(", ")}`;
      return error.checkpoint === undefined
        ? `${error.location} ${range}: save one first, or use resume, which starts afresh on an empty store`
        : `Expected checkpoint ${error.checkpoint}, but ${error.location} ${range}: ask for one of those`;
    }
    case "Damaged":
      return `Checkpoint ${error.checkpoint} is damaged, and nothing was changed.${lines(error.problems)}\n` +
        (error.older === null
          ? "No older checkpoint in this store verifies: restore the files from a copy"
          : error.older === undefined
          ? "Restore its files from a copy, or load another one with { checkpoint: n }"
          : `Checkpoint ${error.older} verifies: load it with { checkpoint: ${error.older} } or { fallback: true }`);
    case "NewerFormat":
      return `Checkpoint ${error.checkpoint} has format ${error.found}, this version reads up to ${error.supported}: update @dogear/dogear`;
    case "CursorMismatch":
      return `The data is not the data this run was trained on.${lines(error.problems)}\n` +
        "Give the loader the data and shuffle seed the cursor was made with, or start a fresh cursor with Loader.start";
    case "DataFailed":
      return `The data in ${error.location} cannot be read.${lines(error.problems)}\n` +
        "Mend the file or put back the one that was there, and open it again";
    case "SourceFailed":
      return `The data failed in epoch ${error.epoch} after ${error.position} samples: ${causeOf(error.cause)}. ` +
        "The state is as it was after the last batch: mend the source and resume";
    case "StepFailed":
      return `The training step failed after ${error.at} batches: ${causeOf(error.cause)}. ` +
        "Nothing half done was saved: mend the step and resume";
    case "Stopped":
      return `Training was stopped by ${error.signal}` +
        (error.checkpoint === undefined
          ? ", and nothing was saved"
          : ` and saved as checkpoint ${error.checkpoint}: run it again to go on`);
  }
}

/**
 * The error as an `Error` to throw at the edge of a program.
 *
 * @param error An error of the toolkit, an `Error`, or any value a pipeline had in its left.
 * @returns An `Error` whose message is {@link explain}'s sentence and whose cause is the value; an `Error` comes back as it is.
 */
export function toError(error: unknown): Error {
  if (error instanceof Error) return error;
  const tagged = typeof error === "object" && error !== null && "_tag" in error;
  // A pipeline's own error may have any tag, one of these too.
  const known = ((): unknown => {
    try {
      return tagged ? explain(error as DogearError) : undefined;
    } catch {
      return undefined;
    }
  })();
  if (typeof known === "string") return new Error(known, { cause: error });
  const own = typeof error === "object" && error !== null && "message" in error ? String(error.message) : undefined;
  return new Error(own ?? (tagged ? String(error._tag) : String(error)), { cause: error });
}

/**
 * Runs a task to its value: the edge of a script.
 *
 * @param task A task of the toolkit, or of a pipeline with errors of its own.
 * @returns A promise that rejects with an `Error` whose message is `explain`'s sentence and whose cause is the error.
 *
 * @example
 * ```ts
 * import { loadState, memory, runOrThrow } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * await assert.rejects(runOrThrow(loadState(memory())({ step: 0 })), /holds no checkpoint/);
 * ```
 */
export async function runOrThrow<A>(task: TaskEither<unknown, A>): Promise<A> {
  const result: unknown = typeof task === "function" ? await task() : task;
  const { _tag, left, right } = Object(result) as { _tag?: unknown; left?: unknown; right?: A };
  if (_tag === "Left") throw toError(left);
  if (_tag === "Right") return right as A;
  const found = typeof result === "function" ? "a function that has not been given all it needs" : "something else";
  throw new TypeError(`Expected a task such as saveState(store)(state), found ${found}: nothing was done`);
}
