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
  /** The training by `fit` or `fitDataset` that a call does not continue, and its checkpoint that was to be resumed from. */
  readonly training?: { readonly name: string; readonly location: string; readonly checkpoint?: number };
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

/** Another process has saved a newer checkpoint of the run: this save would not go after it, and nothing was written. */
export interface Overtaken {
  readonly _tag: "Overtaken";
  /** The newest checkpoint of the run, and its step. */
  readonly checkpoint: number;
  readonly step: number | null;
  /** What saved it and when, as it is recorded there: `deno 2.6.0 at 2026-01-31T12:00:00.000Z`. */
  readonly by: string;
}

/** The component `step` is below that of the checkpoint that was loaded or saved last: the state was not restored whole, and nothing was written. */
export interface StepWentBack {
  readonly _tag: "StepWentBack";
  readonly step: number;
  /** The checkpoint that was loaded or saved last, and its step. */
  readonly parent: number;
  readonly parentStep: number;
}

/** The device of a backend refused an operation, or can no longer be read: what it computed since is not to be used. */
export interface DeviceFailed {
  readonly _tag: "DeviceFailed";
  /** The program of tfjs that was refused, such as `TransposeProgram`; not there where the device itself failed. */
  readonly kernel?: string;
  /** What the device says. */
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
  /**
   * What `position` counts.
   * @default "samples"
   */
  readonly unit?: "samples" | "batches";
}

/** The training step threw; nothing half done was saved. */
export interface StepFailed {
  readonly _tag: "StepFailed";
  readonly cause: unknown;
  /** How many batches of the data had been trained on before it. */
  readonly at: number;
  /** In `fit` and `fitDataset`, the method of callbacks that threw, such as `onEpochEnd`; or `training`, the batch itself. */
  readonly by?: string;
  /** In `fit` and `fitDataset`, the epoch, counted from 0 as callbacks receive it. */
  readonly epoch?: number;
}

/** A signal asked the training to stop; the checkpoint, if saving was asked for, is committed. */
export interface Stopped {
  readonly _tag: "Stopped";
  readonly signal: string;
  readonly checkpoint?: number;
}

/** Where a resumed training first left the one that was never interrupted. */
export interface Divergence {
  /** How many batches had been trained on when it was saved. */
  readonly from: number;
  /** After how many batches the two first differ; as many as `from` if they do before any step. */
  readonly step: number;
  readonly resumed: "in this process" | "in a new process";
  /** The first place that differs: `/`-separated names from the component down; empty if a step threw. */
  readonly path: string;
  readonly expected: string;
  readonly found: string;
  /** In a tensor or typed array, the first element that differs, from 0 in row-major order. */
  readonly element?: number;
  /** How many elements differ there. */
  readonly count?: number;
  /** How many places of the state differ. */
  readonly places: number;
}

/**
 * Why a training does not resume: `random` or `clock`, with whose answers repeated it does; `unlisted`, the step changes what no component
 * holds; `late`, the state changes after the step has ended; `captured`, what steps change outlives a restore; `rebuilt`, `fresh` makes it
 * anew; `loaded`, it was made before the proof began; `kernel`, the backend does not repeat itself; `codec`, what was loaded is not what was
 * saved; `nothing`, a cold start ends like the run itself, so that there is nothing to prove.
 */
export type ResumeCause =
  | "random"
  | "clock"
  | "unlisted"
  | "late"
  | "captured"
  | "rebuilt"
  | "loaded"
  | "kernel"
  | "codec"
  | "nothing";

/** A training that was resumed did not go on as it would have. */
export interface NotResumable {
  readonly _tag: "NotResumable";
  readonly cause: ResumeCause;
  /** Where it shows; not there if it has not shown yet, but something that steps change would be lost. */
  readonly divergence?: Divergence;
  /** What the cause was told by: calls with their places in the code, or what is not listed. */
  readonly evidence: readonly string[];
}

/** A process in which a training was to be resumed did not do it. */
export interface ProcessFailed {
  readonly _tag: "ProcessFailed";
  readonly module: string;
  readonly found: string;
  /** The end of what it wrote. */
  readonly output: string;
}

/** Why a snapshot could not be restored. */
export type RestoreError = Mismatch | Released;
/** Why a checkpoint could not be saved. */
export type SaveError = StoreFailed | DeviceFailed | Released | Overtaken | StepWentBack;
/** Why a checkpoint could not be loaded. */
export type LoadError = StoreFailed | NoCheckpoint | Damaged | NewerFormat | RestoreError;
/** Why an iteration over data broke off. */
export type LoaderError = CursorMismatch | SourceFailed;
/** Why a training loop ended early. */
export type TrainError = SaveError | LoaderError | StepFailed | Stopped;
/** Why a training by `fit` or `fitDataset` ended early. */
export type FitError = LoadError | TrainError;
/** Why a training is not proved to resume. */
export type ProveError = NotResumable | ProcessFailed | SaveError | LoadError | LoaderError | StepFailed;
/** Every error of the toolkit. */
export type DogearError = RestoreError | SaveError | LoadError | LoaderError | DataFailed | TrainError | ProveError;

// --- constructors

/** A {@link Mismatch} of these problems. */
export function mismatch(problems: readonly Problem[]): Mismatch {
  return { _tag: "Mismatch", problems };
}
