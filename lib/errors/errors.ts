/**
 * Every error of the toolkit as a plain tagged value.
 *
 * Errors are not thrown: they are the left of an `Either` or a `TaskEither`. Only a programmer's own mistake is thrown, as a `TypeError`
 * that names the path. `explain` turns one into a readable message.
 *
 * @module
 */

// --- types

/** What differs in a {@link Problem}. */
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

/** One difference between what was expected and what was found, at one path. */
export interface Problem {
  /** Where: `/`-separated names from the component down, such as `model/layers/0/weights/kernel`. */
  readonly path: string;
  /** What sort of difference it is. */
  readonly kind: ProblemKind;
  /** What was expected, in words. */
  readonly expected: string;
  /** What was found, in words. */
  readonly found: string;
  /** Which of the two is in the checkpoint or snapshot, where the other is in your script; absent if the difference is of another sort. */
  readonly saved?: "expected" | "found";
  /** What to do, if it follows from the problem alone. */
  readonly remedy?: string;
  /** The exception that it is about, if your code or tfjs threw one. */
  readonly cause?: unknown;
}

/** The snapshot does not fit the live components, or cannot be decoded. It lists every difference, not only the first. */
export interface Mismatch {
  /** The name of the error. */
  readonly _tag: "Mismatch";
  /** Every difference, with its path. */
  readonly problems: readonly Problem[];
  /** The first exception that a problem is about, such as one of a codec. */
  readonly cause?: unknown;
  /** The checkpoint that was loaded; absent for a snapshot in memory. */
  readonly checkpoint?: number;
  /**
   * The call that could not restore.
   * @default "loadState" for a checkpoint, "restoreInto" for a snapshot in memory
   */
  readonly call?: "resume";
  /** The options of a partial restore that the load was given, by name: lists of parts, and `rename`. Absent if there were none. */
  readonly options?: Readonly<Record<string, readonly string[] | Readonly<Record<string, string>>>>;
  /** What would not fit with the options that `explain` advises for the problems, and that it advises on as well; absent if nothing. */
  readonly following?: readonly Problem[];
  /** The runtime that saved the checkpoint, such as `bun 1.4.5`, if data differs and another runtime runs now. */
  readonly savedBy?: string;
  /** The saved parts whose tensors are not restored with the options that `explain` advises; `"all"` if that is every tensor. */
  readonly unused?: readonly string[] | "all";
  /** Set if the options that `explain` advises solve only a part of the problems. */
  readonly isPartlySolved?: true;
  /** The training of `fit` or `fitDataset` that the call does not continue, and the checkpoint it would have resumed from. */
  readonly training?: { readonly name: string; readonly location: string; readonly checkpoint?: number };
  /** The checkpoint that does not have the tensor, or the rows of it, that `readTensor` should read. */
  readonly reading?: { readonly location: string; readonly checkpoint: number };
}

/** The snapshot was used after its release. */
export interface Released {
  /** The name of the error. */
  readonly _tag: "Released";
}

/** The disk or another store failed at an operation. */
export interface StoreFailed {
  /** The name of the error. */
  readonly _tag: "StoreFailed";
  /** The operation, such as `write` or `rename`. */
  readonly operation: string;
  /** The path or the address that it was about. */
  readonly path: string;
  /** The system's code, such as `ENOSPC`. */
  readonly code: string;
  /** The message of the system or the server. */
  readonly message: string;
  /**
   * What to do.
   * @default what helps against the code on a disk
   */
  readonly remedy?: string;
}

/**
 * Another process has saved a newer checkpoint of the run, which this save would not follow, or has begun a run where this process found no
 * checkpoint. Nothing was written.
 */
export interface Overtaken {
  /** The name of the error. */
  readonly _tag: "Overtaken";
  /** The newest checkpoint of the run, and its step. */
  readonly checkpoint: number;
  /** Its training step; null if it has none. */
  readonly step: number | null;
  /** The runtime that saved it and the time, as the checkpoint records them: `deno 2.6.0 at 2026-01-31T12:00:00.000Z`. */
  readonly by: string;
}

/** The component `step` is lower than in the checkpoint that was loaded or saved last: the state was not restored whole. Nothing was written. */
export interface StepWentBack {
  /** The name of the error. */
  readonly _tag: "StepWentBack";
  /** The step that was to be saved. */
  readonly step: number;
  /** The checkpoint that was loaded or saved last, and its step. */
  readonly parent: number;
  /** The step of that checkpoint. */
  readonly parentStep: number;
}

/** The device of a backend refused an operation, or can no longer be read: its results since then are unusable. */
export interface DeviceFailed {
  /** The name of the error. */
  readonly _tag: "DeviceFailed";
  /** The program of tfjs that was refused, such as `TransposeProgram`; absent if the device itself failed. */
  readonly kernel?: string;
  /** The message of the device. */
  readonly message: string;
}

/** The store holds no checkpoint, or not the requested one. */
export interface NoCheckpoint {
  /** The name of the error. */
  readonly _tag: "NoCheckpoint";
  /** The store that was read. */
  readonly location: string;
  /** The number that was requested; absent if the newest or the best one was. */
  readonly checkpoint?: number;
  /** The numbers of the checkpoints that the store holds. */
  readonly available: readonly number[];
  /** The metric whose best checkpoint was requested, if no checkpoint of the newest run has a number for it; and the metrics that they have. */
  readonly metric?: { readonly name: string; readonly available: readonly string[] };
}

/** The bytes of a checkpoint differ from those that were committed. */
export interface Damaged {
  /** The name of the error. */
  readonly _tag: "Damaged";
  /** The number of the damaged checkpoint. */
  readonly checkpoint: number;
  /** Every damage found, with its path. */
  readonly problems: readonly Problem[];
  /** The newest older checkpoint that verifies, or null if none does; absent if none was tried. */
  readonly older?: number | null;
  /** Whether it was to be restored into live objects, none of which was changed; absent for what only reads. */
  readonly restoring?: true;
}

/** The format of a checkpoint is newer than those that this version reads. */
export interface NewerFormat {
  /** The name of the error. */
  readonly _tag: "NewerFormat";
  /** The number of the checkpoint. */
  readonly checkpoint: number;
  /** Its format. */
  readonly found: string;
  /** The newest format that this version reads. */
  readonly supported: string;
}

/** The data of a loader differs from the data that the cursor was made on. */
export interface CursorMismatch {
  /** The name of the error. */
  readonly _tag: "CursorMismatch";
  /** Every difference, with its path. */
  readonly problems: readonly Problem[];
}

/** A file of samples is not of the expected format, or has changed since it was opened. */
export interface DataFailed {
  /** The name of the error. */
  readonly _tag: "DataFailed";
  /** The file. */
  readonly location: string;
  /** Everything wrong with it, with the path in the file. */
  readonly problems: readonly Problem[];
}

/** A data source, or a function mapped over it, threw. */
export interface SourceFailed {
  /** The name of the error. */
  readonly _tag: "SourceFailed";
  /** What was thrown. */
  readonly cause: unknown;
  /** The epoch in which it was thrown, from 0. */
  readonly epoch: number;
  /** How many samples of the epoch had been read before. */
  readonly position: number;
  /**
   * What `position` counts.
   * @default "samples"
   */
  readonly unit?: "samples" | "batches";
}

/** The training step threw; the failed step was not saved. */
export interface StepFailed {
  /** The name of the error. */
  readonly _tag: "StepFailed";
  /** What was thrown. */
  readonly cause: unknown;
  /** How many batches had been trained on before. */
  readonly at: number;
  /**
   * What threw, if not the step of `train`: its `onEpochEnd` or `until`; in `fit` and `fitDataset` the method of a callback, `training`, the
   * batch itself, or `restoreBest`; in all three `trackers`, one of which failed.
   */
  readonly by?: string;
  /** With `by`, except for `trackers`, the epoch, counted from 0 as callbacks receive it. */
  readonly epoch?: number;
}

/** A signal stopped the training. The checkpoint is committed, if the training saves. */
export interface Stopped {
  /** The name of the error. */
  readonly _tag: "Stopped";
  /** The signal, such as `SIGTERM`. */
  readonly signal: string;
  /** The checkpoint that was saved; absent if the training does not save. */
  readonly checkpoint?: number;
}

/** Where a resumed training first differs from the uninterrupted one. */
export interface Divergence {
  /** How many batches had been trained on at the save. */
  readonly from: number;
  /** After how many batches the two first differ; equal to `from` if they differ before any step. */
  readonly step: number;
  /** Where the training was resumed. */
  readonly resumed: "in this process" | "in a new process";
  /** The first path that differs: `/`-separated names from the component down; empty if a step threw. */
  readonly path: string;
  /** The value of the uninterrupted training. */
  readonly expected: string;
  /** The value of the resumed training. */
  readonly found: string;
  /** In a tensor or typed array, the first element that differs, from 0 in row-major order. */
  readonly element?: number;
  /** How many of its elements differ. */
  readonly count?: number;
  /** How many paths of the state differ. */
  readonly places: number;
}

/**
 * Why a training does not resume exactly:
 *
 * - `random`, `clock`: it reads these, and resumes exactly if their values are repeated;
 * - `unlisted`: a step changes an object that no component holds;
 * - `late`: the state changes after the step has ended;
 * - `captured`: steps change state that a restore does not reset, such as a variable of a closure;
 * - `rebuilt`: `fresh` makes such state anew;
 * - `loaded`: such state was made before the proof began;
 * - `kernel`: results of the backend vary;
 * - `codec`: what was loaded differs from what was saved;
 * - `nothing`: a cold start ends in the same state as the run, so that agreement proves nothing.
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

/** A resumed training differs from the uninterrupted one. */
export interface NotResumable {
  /** The name of the error. */
  readonly _tag: "NotResumable";
  /** Why it does not resume exactly. */
  readonly cause: ResumeCause;
  /** The first difference; absent if the runs agree, but state that steps change would be lost. */
  readonly divergence?: Divergence;
  /** What shows the cause: calls with their lines of code, or the objects that no component holds. */
  readonly evidence: readonly string[];
}

/** A new process did not resume the training. */
export interface ProcessFailed {
  /** The name of the error. */
  readonly _tag: "ProcessFailed";
  /** The module that the process was to run. */
  readonly module: string;
  /** How the process ended. */
  readonly found: string;
  /** The end of its output. */
  readonly output: string;
}

/** Why a snapshot could not be restored. */
export type RestoreError = Mismatch | Released;
/** Why a checkpoint could not be saved. */
export type SaveError = StoreFailed | DeviceFailed | Released | Overtaken | StepWentBack;
/** Why a checkpoint could not be loaded. */
export type LoadError = StoreFailed | NoCheckpoint | Damaged | NewerFormat | RestoreError;
/** Why an iteration over data ended early. */
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

/** A {@link Mismatch} with these problems, and the first exception among them as its cause. */
export function mismatch(problems: readonly Problem[]): Mismatch {
  const thrown = problems.find(({ cause }) => cause !== undefined);
  return { _tag: "Mismatch", problems, ...(thrown && { cause: thrown.cause }) };
}

// --- combinators

/** An error of a load into live objects: of a damaged checkpoint it also says that none of them was changed. */
export function ofRestore(error: LoadError): LoadError {
  return error._tag === "Damaged" ? { ...error, restoring: true } : error;
}

/** The `_tag` of a value, if it has one. */
export function tagOf(value: unknown): unknown {
  return Object(value)._tag;
}
