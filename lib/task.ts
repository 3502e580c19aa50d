/**
 * Tasks: effects as values, which fp-ts can compose and a script can await.
 *
 * A task does nothing until it is called (`task()`) or awaited. Each call and each await runs it anew. Combinators of fp-ts return plain functions,
 * which `await` does not run: the last step of a `pipe` is {@link runOrThrow}, or `runMain`.
 *
 * @module
 */
import type { Either } from "fp-ts/lib/Either.js";
import type { IO } from "fp-ts/lib/IO.js";
import type { IOEither } from "fp-ts/lib/IOEither.js";
import type { Task } from "fp-ts/lib/Task.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { toError } from "./errors/mod.ts";

// --- types

/**
 * An fp-ts `TaskEither` that can also be awaited: `await task` runs it and gives its value, or throws what {@link runOrThrow} throws.
 *
 * Law: `await task` is `await runOrThrow(task)`.
 */
export interface Awaitable<E, A> extends TaskEither<E, A>, PromiseLike<A> {}

/** An fp-ts `Task` that can also be awaited. */
export interface AwaitableTask<A> extends Task<A>, PromiseLike<A> {}

/** An fp-ts `IO` that can also be awaited. */
export interface AwaitableIO<A> extends IO<A>, PromiseLike<A> {}

/** An fp-ts `IOEither` that can also be awaited: `await effect` runs it and gives its value, or throws its error. */
export interface AwaitableIOEither<E, A> extends IOEither<E, A>, PromiseLike<A> {}

// --- constructors

/** Bun loses the stack of the code that awaits a thenable: there it is taken when the task is built. */
const isBun = Reflect.has(globalThis, "Bun");

/** An error with the stack of the code that built a task. */
function thrownFrom(site: Error | undefined, error: Error): Error {
  if (site?.stack === undefined) return error;
  // Bun prints no frame without a name in front of its place, as those of a module's top level are.
  const frames = site.stack.split("\n").slice(2).map((line) =>
    line.replace(/^\s+at (?=[^()]*$)(.*)$/, "    at <anonymous> ($1)")
  );
  return Object.defineProperty(error, "stack", { value: [String(error), ...frames].join("\n") });
}

function isEither(result: unknown): result is Either<unknown, unknown> {
  const { _tag } = Object(result) as { readonly _tag?: unknown };
  return _tag === "Left" || _tag === "Right";
}

/**
 * Makes an effect awaitable. It stays the function that it is.
 *
 * @param effect A `TaskEither`, `IOEither`, `Task` or `IO`. A value of the last two must not be an `Either`.
 */
export function awaitable<E, A>(effect: TaskEither<E, A>): Awaitable<E, A>;
export function awaitable<E, A>(effect: IOEither<E, A>): AwaitableIOEither<E, A>;
export function awaitable<A>(effect: Task<A>): AwaitableTask<A>;
export function awaitable<A>(effect: IO<A>): AwaitableIO<A>;
export function awaitable(effect: () => unknown): (() => unknown) & PromiseLike<unknown> {
  const site = isBun ? new Error() : undefined;
  const run = async (): Promise<unknown> => {
    const result = await effect();
    if (!isEither(result)) return result;
    if (result._tag === "Right") return result.right;
    throw result.left instanceof Error ? result.left : thrownFrom(site, toError(result.left));
  };
  const then: PromiseLike<unknown>["then"] = (onValue, onError) => run().then(onValue, onError);
  return Object.defineProperty(() => effect(), "then", { value: then }) as (() => unknown) & PromiseLike<unknown>;
}

// --- combinators

/**
 * Runs a task and returns its value or throws: what `await` does with the tasks of the toolkit, for a pipeline made of them.
 *
 * @param task A task of the toolkit, or of a pipeline with other errors.
 * @returns A promise that rejects with an `Error` whose message is `explain`'s sentence and whose cause is the error. If your code threw, the
 *   exception is the cause of that error, and an uncaught rejection prints it with its stack.
 *
 * @example
 * ```ts
 * import { loadState, memory, pipe, runOrThrow, saveState } from "@dogear/dogear";
 * import * as TE from "fp-ts/lib/TaskEither.js";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * const saveThenLoad = pipe(saveState(store)({ step: 1 }), TE.flatMap(() => loadState(store)({ step: 0 })));
 * assert.deepEqual(await runOrThrow(saveThenLoad), { step: 1 });
 * await assert.rejects(runOrThrow(loadState(memory())({ step: 0 })), /holds no checkpoint/);
 * ```
 */
export async function runOrThrow<A>(task: TaskEither<unknown, A>): Promise<A> {
  const result = await resultOf(task);
  if (result._tag === "Right") return result.right;
  throw toError(result.left);
}

/**
 * Runs a task. What is no task is a `TypeError`.
 *
 * @param isMain Whether a function that gives a promise of any other value counts as a task, too.
 */
export async function resultOf<A>(task: TaskEither<unknown, A>, isMain: boolean = false): Promise<Either<unknown, A>> {
  const returned: unknown = typeof task === "function" ? task() : task;
  // A task that still needs an argument gives another task, which must not run.
  const result = typeof returned === "function" ? returned : await returned;
  if (isEither(result)) return result as Either<unknown, A>;
  if (isMain && typeof result !== "function" && !Object.is(result, returned)) {
    return { _tag: "Right", right: result as A };
  }
  const expected = "Expected a task such as saveState(store)(state), found ";
  throw new TypeError(
    typeof result === "function"
      ? `${expected}a function that gives another function: nothing was done`
      : `${expected}something else`,
  );
}
