/**
 * The sentence of each error, and errors as exceptions at the edge of a program.
 *
 * A sentence says what was expected, what was found, and what to do.
 *
 * @module
 */
import {
  type Damaged,
  type Divergence,
  type DogearError,
  type Mismatch,
  type Problem,
  type ResumeCause,
  type StepFailed,
  type StoreFailed,
  tagOf,
} from "./errors.ts";

// --- types

/** For each of these tags, the sentence of its error. */
type Sentences<Tags extends DogearError["_tag"]> = {
  readonly [Tag in Tags]: (error: Extract<DogearError, { readonly _tag: Tag }>) => string;
};

// --- parts of sentences

/** How many problems, checkpoints or calls a sentence lists. */
const listed = 20;

function problemLines(problems: readonly Problem[]): string {
  const lines = problems.slice(0, listed).map((p) =>
    `\n  ${p.path || "(whole)"}: ${p.kind}: expected ${p.expected}, found ${p.found}`
  );
  return lines.join("") + (problems.length > listed ? `\n  and ${problems.length - listed} more` : "");
}

function thrownText(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

function countText(n: number, unit: "samples" | "batches"): string {
  return n === 1 ? `1 ${{ samples: "sample", batches: "batch" }[unit]}` : `${n} ${unit}`;
}

// --- restoring

/** For a call of `fit` or `fitDataset` that does not continue the training that the store holds under its name. */
function trainingText(
  { name, location, checkpoint }: NonNullable<Mismatch["training"]>,
  problems: readonly Problem[],
): string {
  const at = checkpoint === undefined ? "" : ` (checkpoint ${checkpoint})`;
  return `${location} holds a training by the name ${JSON.stringify(name)}${at}, which this call does not continue. ` +
    `Nothing was changed.${problemLines(problems)}\n` +
    'Give each training of a script a name, such as { to, name: "fine-tuning" }; or call this one with the ' +
    "data, arguments, model and callbacks that it began with; or use another store";
}

const restoring: Sentences<"Mismatch" | "Released"> = {
  Mismatch: ({ training, problems }) => {
    if (training !== undefined) return trainingText(training, problems);
    const kinds = new Set(problems.map(({ kind }) => kind));
    const isOtherData = kinds.has("data") && [...kinds].every((kind) => kind === "data" || kind === "length");
    const remedy = isOtherData
      ? "The data differs from the data of the snapshot: give the loader the former data and shuffle seed, or keep the live cursor: " +
        'keep: ["cursor"]'
      : kinds.size === 1 && kinds.has("memory")
      ? "Dispose of tensors and release snapshots that you no longer need, or restore on the cpu backend"
      : "Build the components as they were when the snapshot was saved, or pass what may differ to restoreInto or loadState: " +
        "only (restore these), keep (live parts to leave as they are), skip (saved parts to leave out), rename, convert (dtypes)";
    return `The snapshot does not fit the live components. Nothing was changed.${problemLines(problems)}\n${remedy}`;
  },
  Released: () => "The snapshot has been released: capture again, or release it after its last use",
};

// --- stores

/** What usually helps against a system's error code. */
const remedies: Readonly<Record<string, string>> = {
  ENOMEM: "free some memory, or use a machine with more",
  ENOSPC: "free some space on that disk and save again",
  EDQUOT: "raise the quota or free some space, and save again",
  EACCES: "give this process write permission there, or choose another folder",
  EPERM: "give this process write permission there, or choose another folder",
  EROFS: "that file system is read-only: choose another folder",
  ENOTDIR: "a part of that path is a file: choose a path for a folder",
  EEXIST: "that path is a file: choose a path for a folder",
  EFBIG: "keep large data as tensors or typed arrays, whose bytes are not in the manifest",
  ENOTRUN: "nothing was created there",
  ENOLINK: "mount the file system it points to, or repair the link",
};

/** Operations that only read. */
const readings: readonly string[] = ["look at", "list", "open", "read", "find a run in"];

function storeRemedy({ operation, code }: StoreFailed): string {
  if ((code === "EACCES" || code === "EPERM") && readings.includes(operation)) {
    return "give this process permission to read there";
  }
  return remedies[code] ?? "check the path and its disk, then try again";
}

const storing: Sentences<"StoreFailed" | "DeviceFailed" | "Overtaken" | "StepWentBack"> = {
  StoreFailed: (error) =>
    `Cannot ${error.operation} ${error.path} (${error.code}): ${error.message}` +
    `${readings.includes(error.operation) ? "" : ". Earlier checkpoints are intact"}; ${storeRemedy(error)}`,
  Overtaken: ({ checkpoint, step, by }) =>
    "Expected to save after the newest checkpoint of this run, but another process has saved " +
    `checkpoint ${checkpoint} of this run since (${step === null ? "" : `step ${step}, `}${by}). ` +
    "Nothing was written: stop one of the two processes, or save with { fork: true }",
  StepWentBack: ({ step, parent, parentStep }) =>
    `Expected a step of ${parentStep} or more, since checkpoint ${parent} of this run has step ${parentStep}, ` +
    `found ${step}. Nothing was written: train with what loadState or resume gives back (only models, optimizers and ` +
    "variables are restored in place), or save with { fork: true } to begin again on purpose",
  DeviceFailed: ({ kernel, message }) =>
    kernel === undefined
      ? `The device of the webgpu backend failed: ${message}. ` +
        "Earlier checkpoints are intact; run the script again, or train on the cpu or wasm backend"
      : `WebGPU refused the kernel ${kernel} of tfjs: ${message}. Its results, and those of operations at the same time, ` +
        "were not saved; earlier checkpoints are intact. Train on the cpu or wasm backend, or without the layer that needs " +
        "this kernel (masking, and embedding with maskZero, before a recurrent layer transpose int32 or bool tensors)",
};

// --- checkpoints

function damageRemedy(older: Damaged["older"]): string {
  return older === null
    ? "No older checkpoint in this store verifies: restore the files from a backup"
    : older === undefined
    ? "Restore its files from a backup, or load another checkpoint with { checkpoint: n }"
    : `Checkpoint ${older} verifies: load it with { checkpoint: ${older} } or { fallback: true }`;
}

const loading: Sentences<"NoCheckpoint" | "Damaged" | "NewerFormat"> = {
  NoCheckpoint: ({ location, checkpoint, available }) => {
    const held = available.slice(-listed).join(", ");
    const found = `${location} ${held === "" ? "holds no checkpoint" : `holds checkpoints ${held}`}`;
    return checkpoint === undefined
      ? `${found}: save one first, or use resume, which begins with what you pass if the store is empty`
      : `Expected checkpoint ${checkpoint}, but ${found}${held === "" ? "" : ": load one of them"}`;
  },
  Damaged: ({ checkpoint, problems, older }) =>
    `Checkpoint ${checkpoint} is damaged. Nothing was changed.${problemLines(problems)}\n${damageRemedy(older)}`,
  NewerFormat: ({ checkpoint, found, supported }) =>
    `Checkpoint ${checkpoint} has format ${found}, this version reads up to ${supported}: update @dogear/dogear`,
};

// --- data

const reading: Sentences<"CursorMismatch" | "DataFailed" | "SourceFailed"> = {
  CursorMismatch: ({ problems }) =>
    `The data differs from the data that this run was trained on.${problemLines(problems)}\n` +
    "Give the loader the data and the shuffle seed that the cursor was made with, or begin again with Loader.start",
  DataFailed: ({ location, problems }) =>
    `The data in ${location} cannot be read.${problemLines(problems)}\n` +
    "Repair the file or restore the former one, and open it again",
  SourceFailed: ({ epoch, position, unit = "samples", cause }) =>
    `The data failed in epoch ${epoch} after ${countText(position, unit)}: ${thrownText(cause)}. ` +
    "The state is that after the last batch: fix the source and resume",
};

// --- training

function stepText({ at, by, epoch, cause }: StepFailed): string {
  const batches = countText(at, "batches");
  if (by === undefined) {
    return `The training step failed after ${batches}: ${thrownText(cause)}. ` +
      "The failed step was not saved: fix the step and run again";
  }
  const where = `in epoch ${epoch} (counted from 0), after ${batches} in all: ${thrownText(cause)}. `;
  return by === "training"
    ? `Training on a batch failed ${where}The last checkpoint is intact: fix the model or the data and run again`
    : `The callback ${by} threw ${where}The last checkpoint is intact: fix the callback and run again`;
}

const training: Sentences<"StepFailed" | "Stopped"> = {
  StepFailed: stepText,
  Stopped: ({ signal, checkpoint }) =>
    checkpoint === undefined
      ? `Training was stopped by ${signal}, and nothing was saved`
      : `Training was stopped by ${signal} and saved as checkpoint ${checkpoint}: run it again to continue`,
};

// --- proofs

/** What each cause of {@link NotResumable} means, and its remedy. */
const causes: Readonly<Record<ResumeCause, readonly [found: string, remedy: string]>> = {
  random: [
    "It draws from a generator that no component holds; with the same draws repeated, it resumes",
    "draw from Rng or inside Rng.withRandom(state.rng), whose thunk is synchronous, and keep the generator that it returns; in place of model.trainOnBatch use trainOnBatch",
  ],
  clock: [
    "It reads a clock; with the same times repeated, it resumes",
    "read the clock once, in fresh, and keep the result in a component",
  ],
  unlisted: ["A step changes an object that no component holds", "return it from fresh as a component"],
  late: [
    "The state changes after the step has ended",
    "await in the step all that it starts, so that no save comes in between",
  ],
  captured: [
    "It depends on state that a restore does not reset, and neither Math.random nor a clock explains it: steps change a variable of the " +
    "module or of a closure (a counter, a Map, a best so far), or do not await all they start",
    "make what they change a component",
  ],
  rebuilt: [
    "Restored runs agree with each other, but not with the uninterrupted run: fresh makes something anew that steps " +
    "change and no component holds (a variable of the module or of a closure)",
    "make it a component",
  ],
  loaded: [
    "In this process every restored run agrees: it uses a value that was made when the module was loaded, or before the proof began",
    "make the value in fresh and keep it in a component, or compute it so that it is the same in each process",
  ],
  kernel: [
    "Two runs restored from one checkpoint differ from each other, and neither Math.random nor a clock explains it: " +
    "the backend has kernels that add in varying order, or steps change a variable of the module or of a closure",
    "on webgpu, set WEBGPU_MATMUL_PROGRAM_TYPE to 3 and WEBGPU_CPU_FORWARD to false with tf.env().set, and use no scatter with duplicate indices",
  ],
  codec: [
    "What was loaded differs from what was saved, before any step",
    "check that the codec of that component decodes what it encodes, and that fresh builds what was captured",
  ],
  nothing: [
    "A cold start from the same cursor ends in the same state, so that agreement proves nothing",
    "check that steps change the components they are given, and that these are the ones they train",
  ],
};

function divergenceText({ from, step, resumed, path, expected, found, element, count, places }: Divergence): string {
  const when = step === from ? "before any step" : `after batch ${step}`;
  const where = path === "" ? "" : `${path}${element === undefined ? "" : `, element ${element}`}: `;
  const elements = count === undefined || count < 2 ? "" : ` (${count} elements differ)`;
  const others = places < 2 ? "" : `; ${places} places differ in all`;
  const batches = countText(from, "batches");
  return `Resumed ${resumed} after ${batches}, it differs from the uninterrupted run, first ${when}: ` +
    `${where}expected ${expected}, found ${found}${elements}${others}. `;
}

const proving: Sentences<"NotResumable" | "ProcessFailed"> = {
  NotResumable: ({ cause, divergence, evidence }) => {
    const [found, remedy] = causes[cause];
    const calls = evidence.length === 0 ? "" : `: ${evidence.slice(0, listed).join("; ")}`;
    return `This training does not resume exactly. ${divergence === undefined ? "" : divergenceText(divergence)}` +
      `${found}${calls}. Remedy: ${remedy}`;
  },
  ProcessFailed: ({ module, found, output }) =>
    `Expected a new process to resume the training of ${module}, found that ${found}. ` +
    "Check that the module exports fresh, step and loader, and that it can be loaded by itself" +
    (output === "" ? "" : `. It wrote:\n${output}`),
};

// --- combinators

const sentences: Sentences<DogearError["_tag"]> = {
  ...restoring,
  ...storing,
  ...loading,
  ...reading,
  ...training,
  ...proving,
};

/**
 * The sentence for an error: what was expected, what was found, and what to do.
 *
 * @param error Any error value of the toolkit; another value is a `TypeError`.
 * @returns Text of one or more lines; it lists at most twenty problems, then their number.
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
  const tag = tagOf(error);
  if (typeof tag === "string" && Object.hasOwn(sentences, tag)) {
    return (sentences[error._tag] as (error: DogearError) => string)(error);
  }
  const found = error instanceof Error ? "an Error" : typeof tag === "string" ? JSON.stringify(tag) : typeof error;
  throw new TypeError(
    `Expected an error of dogear with its _tag, found ${found}: pass the left of a result, or the cause of what runOrThrow threw`,
  );
}

/** Bun prints the cause of an error only if that is an `Error`, and each other property that is one. */
const isBun = Reflect.has(globalThis, "Bun");

/** An `Error` with a value as its cause. If the cause of that value is an `Error`, the engine prints it with its stack. */
function errorWith(message: string, cause: unknown): Error {
  const error = new Error(message, { cause });
  const inner: unknown = Object(cause).cause;
  return isBun && inner instanceof Error ? Object.assign(error, { thrown: inner }) : error;
}

/** The sentence of an error value of the toolkit, if it is one: the error of another library may have the same tag and other fields. */
export function sentenceIfKnown(error: unknown): string | undefined {
  try {
    return explain(error as DogearError);
  } catch {
    return undefined;
  }
}

/**
 * Converts an error value to an `Error` to throw at the edge of a program.
 *
 * @param error An error of the toolkit, an `Error`, or any left of a pipeline.
 * @returns An `Error` itself; for other values one with the value as its cause, and {@link explain}'s sentence as its message. If a step, a
 *   layer or a callback threw, the exception is the cause of the value, and an uncaught `Error` prints it with its stack.
 */
export function toError(error: unknown): Error {
  if (error instanceof Error) return error;
  return errorWith(sentenceIfKnown(error) ?? String(Object(error).message ?? tagOf(error) ?? error), error);
}
