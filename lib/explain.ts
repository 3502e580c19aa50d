/**
 * The sentence of each error, and errors as exceptions at the edge of a program.
 *
 * @module
 */
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { Divergence, DogearError, Mismatch, Problem, ResumeCause, StepFailed, StoreFailed } from "./errors.ts";

// --- combinators

const shown = 20;

function lines(problems: readonly Problem[]): string {
  const list = problems.slice(0, shown).map((p) =>
    `\n  ${p.path || "(whole)"}: ${p.kind}: expected ${p.expected}, found ${p.found}`
  );
  return list.join("") + (problems.length > shown ? `\n  and ${problems.length - shown} more` : "");
}

/** What a cause of {@link NotResumable} means, and its remedy. */
const causes: Readonly<Record<ResumeCause, readonly [found: string, remedy: string]>> = {
  random: [
    "It draws from a generator that no component holds, and with those draws repeated it resumes",
    "draw from Rng or inside Rng.withRandom(state.rng), whose thunk is synchronous, and keep the generator that comes back; for model.trainOnBatch there is trainOnBatch",
  ],
  clock: [
    "It reads a clock, and with the clock repeated it resumes",
    "take what depends on the time once, in fresh, and keep it in a component",
  ],
  unlisted: ["A step changes what no component holds", "list it among the components that fresh gives"],
  late: [
    "The state goes on changing after the step has ended",
    "await in the step whatever it starts, so that a save never falls in between",
  ],
  captured: [
    "It depends on what outlives a restore, and neither Math.random nor a clock explains it: steps change a variable of the module " +
    "or of a closure (a counter, a Map, a best so far), or do not await all they start",
    "make what they change a component",
  ],
  rebuilt: [
    "Restores agree with each other, and not with the run that was never interrupted: fresh makes something anew that steps " +
    "change and no component holds (a variable of the module or of a closure)",
    "make it a component",
  ],
  loaded: [
    "In this process every restore agrees: what is used was made when the module was loaded, or before the proof began",
    "make it in fresh and keep it in a component, or compute it in a way that gives the same each time",
  ],
  kernel: [
    "Two restores of one checkpoint do not agree with each other either, and neither Math.random nor a clock explains it: " +
    "the backend has kernels that add up in any order, or steps change a variable of the module or of a closure",
    "on webgpu, set WEBGPU_MATMUL_PROGRAM_TYPE to 3 and WEBGPU_CPU_FORWARD to false with tf.env().set, and use no scatter with duplicate indices",
  ],
  codec: [
    "What was loaded is not what was saved, before any step",
    "see that the codec of that component decodes what it encodes, and that fresh builds what was captured",
  ],
  nothing: [
    "A cold start at the same place of the data ends in the same state, so that agreeing proves nothing",
    "see that steps change the components they are given, and that these are the ones they train",
  ],
};

function divergenceText({ from, step, resumed, path, expected, found, element, count, places }: Divergence): string {
  const when = step === from ? "before any step" : `after batch ${step}`;
  const of = count === undefined || count < 2 ? "" : ` (${count} elements differ)`;
  const more = places < 2 ? "" : `; ${places} places differ in all`;
  const what = path === "" ? "expected" : `${path}${element === undefined ? "" : `, element ${element}`}: expected`;
  return `Resumed ${resumed} after ${from} ${
    from === 1 ? "batch" : "batches"
  }, it differs from the run never interrupted, first ${when}: ` +
    `${what} ${expected}, found ${found}${of}${more}. `;
}

function causeOf(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

function countText(n: number, unit: "samples" | "batches"): string {
  return n === 1 ? `1 ${{ samples: "sample", batches: "batch" }[unit]}` : `${n} ${unit}`;
}

/** The sentences for a step, a batch or a callback that threw. */
function stepText({ at, by, epoch, cause }: StepFailed): string {
  if (by === undefined) {
    return `The training step failed after ${countText(at, "batches")}: ${causeOf(cause)}. ` +
      "Nothing half done was saved: mend the step and resume";
  }
  const where = `in epoch ${epoch} (counted from 0), after ${countText(at, "batches")} in all: ${causeOf(cause)}. `;
  return by === "training"
    ? `Training on a batch failed ${where}The last checkpoint is intact: mend the model or the data and run it again`
    : `The callback ${by} threw ${where}The last checkpoint is intact: mend the callback and run it again`;
}

/** The sentences for a call of `fit` or `fitDataset` that is not the training that a store holds by its name. */
function trainingText(
  { name, location, checkpoint }: NonNullable<Mismatch["training"]>,
  problems: readonly Problem[],
): string {
  const first = checkpoint === undefined ? "" : ` (checkpoint ${checkpoint})`;
  return `${location} holds a training by the name ${
    JSON.stringify(name)
  }${first} which this call does not continue, and nothing was ` +
    `changed.${
      lines(problems)
    }\nGive each training of a script a name, such as { to, name: "fine-tuning" }; or call this one with the ` +
    "data, arguments, model and callbacks that it began with, or start in another store";
}

/** What usually helps against a system's error code. */
const remedies: Readonly<Record<string, string>> = {
  ENOMEM: "free some memory, or use a machine that has more",
  ENOSPC: "free some space on that disk and save again",
  EDQUOT: "raise the quota or free some space and save again",
  EACCES: "give this process write permission there, or choose another folder",
  EPERM: "give this process write permission there, or choose another folder",
  EROFS: "that file system is read-only: choose another folder",
  ENOTDIR: "a part of that path is a file: choose a path for a folder",
  EEXIST: "that path is a file: choose a path for a folder",
  EFBIG: "keep large data as tensors or typed arrays, whose bytes are no part of the manifest",
  ENOTRUN: "nothing was created there",
  ENOLINK: "mount it, or mend the link",
};

/** Operations that only read. */
const readings: readonly string[] = ["look at", "list", "open", "read", "find a run in"];

/** What usually helps against a failure of a store. */
function remedyOf({ operation, code }: StoreFailed): string {
  if ((code === "EACCES" || code === "EPERM") && readings.includes(operation)) {
    return "give this process permission to read there";
  }
  return remedies[code] ?? "see that the path is right and its disk is well, then try again";
}

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
  if (typeof Object(error)._tag !== "string") throw noError(error);
  switch (error._tag) {
    case "Mismatch":
      if (error.training !== undefined) return trainingText(error.training, error.problems);
      return `The snapshot does not fit, and nothing was changed.${lines(error.problems)}\n` +
        (error.problems.every(({ kind }) => kind === "memory")
          ? "Dispose of tensors and release snapshots that are no longer needed, or restore on the cpu backend"
          : "Build the components as they were when it was saved, tell restoreInto or loadState what is to differ (keep, only, skip, rename, convert), or start in another store");
    case "Released":
      return "The snapshot has been released: capture again, or release it after its last use";
    case "StoreFailed": {
      return `Cannot ${error.operation} ${error.path} (${error.code}): ${error.message}. What was committed before is untouched; ${
        remedyOf(error)
      }`;
    }
    case "Overtaken":
      return `Expected to save after the newest checkpoint of this run, but another process has saved checkpoint ${error.checkpoint} of this run since ` +
        `(${
          error.step === null ? "" : `step ${error.step}, `
        }${error.by}). Nothing was written: stop one of the two, or save with { fork: true }`;
    case "StepWentBack":
      return `Expected a step of ${error.parentStep} or more, as checkpoint ${error.parent} of this run has step ${error.parentStep}, found ${error.step}. ` +
        "Nothing was written: train with what loadState or resume gives back, which restores in place only models, optimizers and variables, " +
        "or, to begin again on purpose, save with { fork: true }";
    case "DeviceFailed":
      return error.kernel === undefined
        ? `The device of the webgpu backend failed: ${error.message}. ` +
          "What was committed before is untouched: run the script again, or train on the cpu or wasm backend"
        : `WebGPU refused the kernel ${error.kernel} of tfjs: ${error.message}. What it and the operations beside it gave is not saved; ` +
          "what was committed before is untouched. Train on the cpu or wasm backend, or without the layer that needs this kernel " +
          "(masking and embedding with maskZero before a recurrent layer transpose int32 or bool tensors)";
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
      return `The data failed in epoch ${error.epoch} after ${countText(error.position, error.unit ?? "samples")}: ${
        causeOf(error.cause)
      }. ` +
        "The state is as it was after the last batch: mend the source and resume";
    case "StepFailed":
      return stepText(error);
    case "NotResumable": {
      const [found, remedy] = causes[error.cause];
      const evidence = error.evidence.length === 0 ? "" : `: ${error.evidence.slice(0, shown).join("; ")}`;
      return `This training does not resume exactly. ${error.divergence ? divergenceText(error.divergence) : ""}` +
        `${found}${evidence}. Remedy: ${remedy}`;
    }
    case "ProcessFailed":
      return `Expected a new process to resume the training of ${error.module}, found that ${error.found}. ` +
        "See that the module exports fresh, step and loader, and can be loaded by itself" +
        (error.output === "" ? "" : `; it wrote:\n${error.output}`);
    case "Stopped":
      return `Training was stopped by ${error.signal}` +
        (error.checkpoint === undefined
          ? ", and nothing was saved"
          : ` and saved as checkpoint ${error.checkpoint}: run it again to go on`);
    default: {
      const other: never = error;
      throw noError(other);
    }
  }
}

/** What `explain` says of a value that is no error of the toolkit. */
function noError(found: unknown): TypeError {
  const { _tag } = Object(found) as { readonly _tag?: unknown };
  const what = found instanceof Error ? "an Error" : typeof _tag === "string" ? JSON.stringify(_tag) : typeof found;
  return new TypeError(
    `Expected an error of dogear with its _tag, found ${what}: give it the left of a result, or the cause of what runOrThrow threw`,
  );
}

/** Whether this is Bun, which prints the cause of an error only if it is an `Error` itself, and any other property that is one. */
const isBun = Reflect.has(globalThis, "Bun");

/** An `Error` with a value as its cause; where that has an `Error` for its own cause, the engine shows it with its stack. */
function caused(message: string, cause: unknown): Error {
  const error = new Error(message, { cause });
  const inner: unknown = Object(cause).cause;
  return isBun && inner instanceof Error ? Object.assign(error, { thrown: inner }) : error;
}

/**
 * The error as an `Error` to throw at the edge of a program.
 *
 * @param error An error of the toolkit, an `Error`, or any value a pipeline had in its left.
 * @returns An `Error` whose message is {@link explain}'s sentence and whose cause is the value; an `Error` comes back as it is. What a step, a
 *   layer or a callback threw is the cause of that value, and is shown with its stack where the `Error` is not caught.
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
  if (typeof known === "string") return caused(known, error);
  const own = typeof error === "object" && error !== null && "message" in error ? String(error.message) : undefined;
  return caused(own ?? (tagged ? String(error._tag) : String(error)), error);
}

/**
 * Runs a task to its value: the edge of a script.
 *
 * @param task A task of the toolkit, or of a pipeline with errors of its own.
 * @returns A promise that rejects with an `Error` whose message is `explain`'s sentence and whose cause is the error. What the user's own code
 *   threw is the cause of that, and is shown with its stack where the rejection is not caught.
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
