/**
 * Exceptions of the runtime as error values: a failed allocation, device or system call becomes the left of a task.
 *
 * Two sorts of exceptions pass through: a programmer's own mistake (this library's `TypeError`s), and what a user's callback threw.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type DeviceFailed, type StoreFailed, tagOf } from "./errors.ts";
import { toError } from "./explain.ts";

// --- constructors

const thrownByCallbacks = new WeakSet<object>();

/** Marks the exceptions of a user's callback, so that {@link guarded} does not convert them. */
export function theirs<Args extends readonly unknown[], A>(callback: (...args: Args) => A): (...args: Args) => A {
  return (...args) => {
    try {
      return callback(...args);
    } catch (cause) {
      if (typeof cause === "object" && cause !== null) thrownByCallbacks.add(cause);
      throw cause;
    }
  };
}

/** Whether an exception is a failed allocation. */
export function isAllocation(cause: unknown): boolean {
  return cause instanceof RangeError && !/call stack/i.test(cause.message);
}

/** The `DeviceFailed` that caused an exception; undefined for other exceptions. */
function deviceFailure(thrown: unknown): DeviceFailed | undefined {
  const cause: unknown = thrown instanceof Error ? thrown.cause : undefined;
  return tagOf(cause) === "DeviceFailed" ? cause as DeviceFailed : undefined;
}

/** An exception of the runtime as a failure of the store; undefined for a programmer's mistake and for an exception of a callback. */
function storeFailure(cause: unknown, operation: string, path: string): StoreFailed | undefined {
  if (typeof cause === "object" && cause !== null && thrownByCallbacks.has(cause)) return undefined;
  if (cause instanceof TypeError && /^(Expected|Cannot capture)\b/.test(cause.message)) return undefined;
  const { name, message, code } = toError(cause) as Error & { readonly code?: unknown };
  const systemCode = isAllocation(cause) ? "ENOMEM" : typeof code === "string" ? code : name;
  return { _tag: "StoreFailed", operation, path, code: systemCode, message };
}

/** Runs a task; what it throws before it returns a promise rejects the promise, too. */
async function attempt<Failure, A>(task: TaskEither<Failure, A>): Promise<E.Either<Failure, A>> {
  return await task();
}

/** The left of an exception that is a failure; any other exception is thrown again. */
function failedOr<Failure>(thrown: unknown, failure: Failure | undefined): E.Either<Failure, never> {
  if (failure === undefined) throw thrown;
  return E.left(failure);
}

// --- combinators

/**
 * A task whose exceptions of the runtime are `StoreFailed`.
 *
 * @param operation What the task does, such as `read`, for the message.
 * @param path The path that it does this to.
 */
export function guarded<Failure, A>(
  operation: string,
  path: string,
  task: TaskEither<Failure, A>,
): TaskEither<Failure | StoreFailed, A> {
  return () => attempt(task).catch((thrown) => failedOr(thrown, storeFailure(thrown, operation, path)));
}

/** A task in which the failure of a device is a left; other exceptions pass through. */
export function orDeviceFailed<Failure, A>(task: TaskEither<Failure, A>): TaskEither<Failure | DeviceFailed, A> {
  return () => attempt(task).catch((thrown) => failedOr(thrown, deviceFailure(thrown)));
}

/**
 * Captures as part of a task: a failed allocation or device is a left; a state that cannot be captured stays a `TypeError`.
 *
 * @param path The store's name in messages.
 */
export function captured<A>(path: string, capture: () => A): E.Either<StoreFailed | DeviceFailed, A> {
  try {
    return E.right(capture());
  } catch (thrown) {
    const failure = deviceFailure(thrown);
    return failedOr(thrown, failure ?? (isAllocation(thrown) ? storeFailure(thrown, "capture", path) : undefined));
  }
}
