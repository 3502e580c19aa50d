/**
 * Every error of the toolkit as a plain tagged value, and {@link explain}, which makes the sentence.
 *
 * A sentence says what was expected, what was found, and what to do. Nothing here is thrown: errors travel in the left
 * of an `Either` or a `TaskEither`. Only a programmer's own mistake is a `TypeError`, which names the path.
 *
 * @module
 */

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
  | "data";

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
  /** The newest older checkpoint whose bytes verify, if there is one. */
  readonly older?: number;
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
/** Every error of the toolkit. */
export type DogearError = RestoreError | SaveError | LoadError | LoaderError | TrainError;
