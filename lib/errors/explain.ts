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
  type NoCheckpoint,
  type ResumeCause,
  type StepFailed,
  type StoreFailed,
  tagOf,
} from "./errors.ts";
import { cursorText, dataText, mismatchText } from "./mismatch.ts";
import { listed, problemLines } from "./problem_lines.ts";

// --- types

/** How a checkpoint is named: in a script by options, on the command line after its run. */
export type Reader = "script" | "command line";

/** For each of these tags, the sentence of its error. */
type Sentences<Tags extends DogearError["_tag"]> = {
  readonly [Tag in Tags]: (error: Extract<DogearError, { readonly _tag: Tag }>, reader: Reader) => string;
};

// --- parts of sentences

function thrownText(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

function countText(n: number, unit: "samples" | "batches"): string {
  return n === 1 ? `1 ${{ samples: "sample", batches: "batch" }[unit]}` : `${n} ${unit}`;
}

// --- restoring

const restoring: Sentences<"Mismatch" | "Released"> = {
  Mismatch: (error) => mismatchText(error),
  Released: () =>
    "The snapshot was released, by release or at the end of the block of its `using`. Release it after its last use, or capture again",
};

// --- stores

const toBucket =
  'Save to the bucket itself, with s3("s3://bucket/prefix") from "@dogear/dogear/s3", or to a local disk';

/** What usually helps against a system's error code. */
const remedies: Readonly<Record<string, string>> = {
  ENOMEM: "Free some memory, or use a machine with more",
  ENOSPC: "Free some space on that disk and save again",
  EDQUOT: "Raise the quota or free some space, and save again",
  EACCES: "Give this process write permission there, or choose another folder",
  EPERM: "Give this process write permission there, or choose another folder",
  EROFS: "That file system is read-only: choose another folder",
  ENOTDIR: "A part of that path is a file: choose a path for a folder",
  EEXIST: "That path is a file: choose a path for a folder",
  EFBIG: "Keep large data as tensors or typed arrays, whose bytes are not in the manifest",
  ENOTRUN: "Nothing was created there",
  NotCapable: "Run Deno with that permission, or with -A",
  EOBJECTSTORE: toBucket,
  ENOLINK: "Mount the file system it points to, or repair the link",
};

/** Operations that only read. */
const readings: readonly string[] = ["look at", "list", "open", "read", "find a run in"];

/** What helps on the command line, by code, where the remedy for a script is one of its options. */
const commandRemedies: Readonly<Record<string, string>> = {
  EACCES: "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that the server is the one that gave them",
  ENOCONDITION: "Use an object store with conditional writes (If-None-Match)",
  ENOKEYS:
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or install @aws-sdk/credential-provider-node, which finds the keys of " +
    "profiles, containers and instances",
  EKEYEXPIRED: "Set new keys, or install @aws-sdk/credential-provider-node, which renews them",
  EREGION: "Set AWS_REGION to the region of the bucket",
  EAGAIN: "Try again",
  ECONNREFUSED: "Start it, or check AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL",
  ENOTFOUND:
    "Check AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL and AWS_REGION, and that this machine can reach a name server",
  ETIMEDOUT: "Check the network, then try again",
  ENOTS3: "Check AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL: it is the URL of the S3 API, not of a console or web site",
  ENOTRUN: "Give the folder of the run",
};

/** Whether a text names a function or an option of a script. */
const ofScripts = /\{ |s3\(|AccessKey|accessKey/;

function storeRemedy(error: StoreFailed, reader: Reader): string {
  const text = remedyOf(error);
  if (reader === "script") return text;
  if (!ofScripts.test(text)) return text.replace("save again", "run it again");
  return commandRemedies[error.code] ?? "Give the s3:// URL of the bucket, or a folder on a local disk";
}

function remedyOf({ operation, code, remedy }: StoreFailed): string {
  if (remedy !== undefined) return remedy;
  if ((code === "EACCES" || code === "EPERM") && readings.includes(operation)) {
    return "Give this process permission to read there";
  }
  if (operation === "rename" && (code === "ENOSYS" || code === "ENOTSUP" || code === "EOPNOTSUPP")) {
    return `That file system cannot rename folders, like most mounts of object stores. ${toBucket}`;
  }
  return remedies[code] ?? "Check the path and its disk, then try again";
}

const storing: Sentences<"StoreFailed" | "DeviceFailed" | "Overtaken" | "StepWentBack"> = {
  StoreFailed: (error, reader) => {
    const isSave = reader === "script" && !readings.includes(error.operation);
    return `Cannot ${error.operation} ${error.path} (${error.code}): ${error.message}` +
      `${isSave ? ". Earlier checkpoints are intact" : ""}. ${storeRemedy(error, reader)}`;
  },
  Overtaken: ({ checkpoint, step, by }) =>
    `Another process has saved checkpoint ${checkpoint} of this run (${step === null ? "" : `step ${step}, `}${by}). ` +
    "Nothing was written. Stop one of the two processes, or give this one a separate store: another folder or prefix",
  StepWentBack: ({ step, parent, parentStep }) =>
    `The step to save is ${step}, but checkpoint ${parent} of this run has step ${parentStep}. Nothing was written. ` +
    "Train with the result of loadState or resume: only models, optimizers and variables are restored in place. " +
    "To begin again on purpose, save with { fork: true }, which begins a new run",
  DeviceFailed: ({ kernel, message }) =>
    kernel === undefined
      ? `The device of the webgpu backend failed: ${message}. ` +
        "Earlier checkpoints are intact; run the script again, or train on the cpu or wasm backend"
      : `WebGPU refused the kernel ${kernel} of tfjs: ${message}. Its results, and those of operations at the same time, ` +
        "were not saved; earlier checkpoints are intact. Train on the cpu or wasm backend, or without the layer that needs " +
        "this kernel (masking, and embedding with maskZero, before a recurrent layer transpose int32 or bool tensors)",
};

// --- checkpoints

function damageRemedy({ older, problems }: Damaged, reader: Reader): string {
  const isScript = reader === "script";
  if (older === null) {
    const backup = "No older checkpoint in this store verifies: restore the files from a backup";
    if (problems.some(({ path }) => path.startsWith("snapshot.json"))) return backup;
    const read = isScript ? "loadModel(store) and `dogear export` read" : "dogear export reads";
    return `${backup}. ${read} components whose files are whole`;
  }
  if (older === undefined) {
    return `Restore its files from a backup, or use another checkpoint: ${isScript ? "{ checkpoint: n }" : "RUN@N"}`;
  }
  return `Checkpoint ${older} verifies. Use it: ${isScript ? "{ fallback: true }" : `RUN@${older}`}`;
}

/** For a metric that no checkpoint has, or of which each has NaN. */
function metricText({ name, available }: NonNullable<NoCheckpoint["metric"]>, location: string): string {
  const others = available.filter((one) => one !== name);
  const names = others.slice(0, listed).map((one) => JSON.stringify(one)).join(", ");
  if (others.length < available.length) {
    return `The metric ${
      JSON.stringify(name)
    } is NaN in every checkpoint in the newest run of ${location} that has it. ` +
      (names === "" ? "They have no other" : `Other metrics: ${names}`);
  }
  return `No checkpoint in the newest run of ${location} has the metric ${JSON.stringify(name)}. ` +
    (names === "" ? "They were saved without metrics" : `They have ${names}`);
}

const loading: Sentences<"NoCheckpoint" | "Damaged" | "NewerFormat"> = {
  NoCheckpoint: ({ location, checkpoint, available, metric }, reader) => {
    if (metric !== undefined) return metricText(metric, location);
    const held = available.slice(-listed).join(", ");
    const start = reader === "script"
      ? ". Save one first, or use resume, which begins with what you pass if the store is empty"
      : "";
    if (held === "") return `${location} holds no checkpoint${checkpoint === undefined ? start : ""}`;
    const older = available.length > listed ? ` and ${available.length - listed} older ones` : "";
    const found = `${available.length === 1 ? "checkpoint" : "checkpoints"} ${held}${older}`;
    return checkpoint === undefined
      ? `${location} holds ${found}`
      : `${location} has no checkpoint ${checkpoint}. It has ${found}`;
  },
  Damaged: (error, reader) => {
    const { checkpoint, problems, restoring } = error;
    const nothing = restoring ? " Nothing was changed." : "";
    return `Checkpoint ${checkpoint} is damaged.${nothing}${problemLines(problems)}\n${damageRemedy(error, reader)}`;
  },
  NewerFormat: ({ checkpoint, found, supported }, reader) => {
    const option =
      "{ checkpoint: n }. In resume, take that out after the next save, or every restart begins there again";
    return `Checkpoint ${checkpoint} has format ${found}, but this version reads up to ${supported}. ` +
      `Update @dogear/dogear, or use a checkpoint of an older format: ${reader === "script" ? option : "RUN@N"}`;
  },
};

// --- data

const reading: Sentences<"CursorMismatch" | "DataFailed" | "SourceFailed"> = {
  CursorMismatch: (error) => cursorText(error),
  DataFailed: (error) => dataText(error),
  SourceFailed: ({ epoch, position, unit = "samples", cause }) => {
    const at = `epoch ${epoch} after ${countText(position, unit)}`;
    const inner = Object(Object(cause).cause) as DogearError;
    if (inner._tag === "DataFailed") return dataText(inner, `in ${at}`);
    return `The data failed in ${at}: ${thrownText(cause)}. ` +
      "The last checkpoint is intact: fix the source and run again";
  },
};

// --- training

function stepText({ at, by, epoch, cause }: StepFailed): string {
  const batches = countText(at, "batches");
  if (by === undefined) {
    return `The training step failed after ${batches}: ${thrownText(cause)}. ` +
      "The last checkpoint is intact. Fix the step and run again: it continues from there";
  }
  const intact = "The last checkpoint is intact: ";
  if (by === "trackers") {
    const known = sentenceIfKnown(Object(cause).cause);
    const end = "the training resumes from its last checkpoint";
    return known === undefined
      ? `A tracker failed after ${batches}: ${
        thrownText(cause)
      }. Fix the tracker or leave it out, and run again: ${end}`
      : `A tracker failed after ${batches}: ${known}. When it is run again, ${end}`;
  }
  const moment = by === "onTrainEnd" ? "after the last epoch" : `in epoch ${epoch} (counted from 0)`;
  const where = `${moment}, after ${batches} in all: ${thrownText(cause)}. `;
  if (by === "training") return `Training on a batch failed ${where}${intact}fix the model or the data and run again`;
  return by === "restoreBest"
    ? `The option restoreBest failed ${where}${intact}fix the option and run again`
    : `The callback ${by} threw ${where}${intact}fix the callback and run again`;
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
    "It draws random numbers that are not in the state",
    "draw with Rng, or inside Rng.withRandom(state.rng)(…), and put the generator that it returns into the state",
  ],
  clock: [
    "It depends on a clock",
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
  return explainTo("script", error);
}

/** The sentence for an error, as its reader names checkpoints and options. */
export function explainTo(reader: Reader, error: DogearError): string {
  const tag = tagOf(error);
  if (typeof tag === "string" && Object.hasOwn(sentences, tag)) {
    return (sentences[error._tag] as (error: DogearError, reader: Reader) => string)(error, reader);
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
