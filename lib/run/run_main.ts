/**
 * The last line of a script: runs its task, says in one sentence what went wrong, and sets the exit code.
 *
 * @module
 */
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import * as E from "fp-ts/lib/Either.js";
import { inspect } from "node:util";
import { printableLines, sentenceIfKnown } from "../errors/mod.ts";
import { resultOf } from "../task.ts";
import { ownFolders } from "./own_code.ts";

// --- types

/** How a script ends: what it says, and its exit code. */
interface Outcome {
  readonly text: string;
  readonly code: number;
}

// --- stacks

/** The lines of an exception's stack, without those of this library and of the runtime. */
function framesOf({ name, message, stack }: Error): readonly string[] {
  if (typeof stack !== "string") return [];
  const head = `${name}: ${message}`;
  const lines = (stack.startsWith(head) ? stack.slice(head.length) : stack).split("\n");
  const notTheirs = ["node:internal/", "ext:", ...ownFolders];
  return lines.filter((line) => /^\s+at /.test(line) && !notTheirs.some((part) => line.includes(part)));
}

/** The user's lines of an exception, and of the exceptions that caused it. */
function traceOf(thrown: Error, seen: ReadonlySet<unknown> = new Set()): string {
  const frames = framesOf(thrown).map((line) => `\n${line}`).join("");
  const { cause } = thrown;
  if (!(cause instanceof Error) || seen.has(cause)) return frames;
  return `${frames}\nCaused by ${cause.name}: ${cause.message}${traceOf(cause, new Set([...seen, thrown]))}`;
}

// --- outcomes

/** What a left says that is no error of this library. */
function foreignText(left: unknown): string {
  if (typeof left === "string") return left;
  const { _tag, message } = Object(left) as { readonly _tag?: unknown; readonly message?: unknown };
  if (typeof message === "string") return typeof _tag === "string" ? `${_tag}: ${message}` : message;
  return `The script failed with ${inspect(left, { depth: 3, breakLength: Infinity })}`;
}

/** How a script ends after a left or an exception. `site` is where it called `runMain`. */
function failedOutcome(failure: unknown, site: Error): Outcome {
  // What was awaited throws an Error whose cause is the error value.
  const value = failure instanceof Error && sentenceIfKnown(failure.cause) !== undefined ? failure.cause : failure;
  const sentence = sentenceIfKnown(value);
  if (sentence !== undefined) {
    const { _tag, cause, checkpoint } = value as { readonly _tag: string; readonly [field: string]: unknown };
    const trace = cause instanceof Error ? traceOf(cause) : "";
    // 75 is EX_TEMPFAIL of sysexits.h: run it again.
    return { text: sentence + trace, code: _tag === "Stopped" && checkpoint !== undefined ? 75 : 1 };
  }
  if (!(failure instanceof Error)) return { text: foreignText(failure), code: 1 };
  return { text: `${failure.name}: ${failure.message}${traceOf(failure) || traceOf(site)}`, code: 1 };
}

/** {@link failedOutcome}, also of a value that throws when it is looked at. */
function outcomeOf(failure: unknown, site: Error): Outcome {
  try {
    return failedOutcome(failure, site);
  } catch {
    return { text: "The script failed with a value that cannot be shown", code: 1 };
  }
}

/** Writes a text to standard error, and waits until it is written or cannot be. */
function say(text: string): Promise<void> {
  const { stderr } = process;
  const ignore = (): void => {};
  return new Promise((resolve) => {
    stderr.on("error", ignore);
    stderr.write(`${printableLines(text)}\n`, (failure) => {
      // The stream emits its error after this.
      if (!failure) stderr.off("error", ignore);
      resolve();
    });
  });
}

/**
 * Runs a task, or a `main` that awaits several, as the last line of a script: if it fails, prints one sentence to standard error and sets the
 * exit code.
 *
 * The exit code is 75 (`EX_TEMPFAIL`: run it again) if a signal stopped the training and it was saved, 1 after any other failure, and is left
 * as it is after a success. Where your code threw, its stack follows the sentence, without the frames of this library. Control characters are
 * escaped. The process is not ended: it ends by itself once nothing keeps it alive. So write what comes after the training into `main`: nothing
 * in it runs after a stop or a failure.
 *
 * @param main A task of the toolkit, or of a pipeline with other errors; or a function that gives a promise. Such a promise may
 *   resolve to any value. It fails if that is an `Either` with a left, or a function, which is a task that was not run.
 * @returns A promise that resolves when `main` is over and the sentence is written. It never rejects.
 *
 * @example
 * ```ts
 * import { Loader, memory, resume, runMain, train } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 * import process from "node:process";
 *
 * const loader = Loader.fromArray([1, 2, 3]);
 * const store = memory();
 * let exported = 0;
 * await runMain(async () => {
 *   const state = await resume(store)({ sum: 0, cursor: Loader.start(loader) });
 *   const step = (s: typeof state, n: number) => ({ ...s, sum: s.sum + n });
 *   const { sum } = await train({ loader, step, save: { to: store }, stopOn: ["SIGTERM"] })(state);
 *   exported = sum;
 * });
 * assert.equal(exported, 6);
 * assert(!process.exitCode);
 * ```
 */
export async function runMain(main: TaskEither<unknown, unknown> | (() => Promise<unknown>)): Promise<void> {
  const site = new Error();
  const result = await resultOf(main as TaskEither<unknown, unknown>, true).then(
    E.mapLeft((left) => outcomeOf(left, site)),
    (thrown: unknown) => E.left(outcomeOf(thrown, site)),
  );
  if (E.isRight(result)) return;
  process.exitCode = result.left.code;
  await say(result.left.text);
}
