/**
 * Errors of the runtime as error values: where a task promises a left, a failed allocation or a failed device is one, too.
 *
 * What stays an exception is a programmer's own mistake (the library's `TypeError`s), and what a callback of the user's threw.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { DeviceFailed, StoreFailed } from "./errors.ts";
import { toError } from "./explain.ts";

// --- constructors

const thrown = new WeakSet<object>();

/** A callback of the user's, whose exceptions are given back as they are. */
export function theirs<Args extends readonly unknown[], A>(callback: (...args: Args) => A): (...args: Args) => A {
  return (...args) => {
    try {
      return callback(...args);
    } catch (cause) {
      if (typeof cause === "object" && cause !== null) thrown.add(cause);
      throw cause;
    }
  };
}

/** Whether an exception is a failed allocation. */
export function isAllocation(cause: unknown): boolean {
  return cause instanceof RangeError && !/call stack/i.test(cause.message);
}

/** What a device failed with, if that is what an exception says. */
export function deviceFailure(cause: unknown): DeviceFailed | undefined {
  const { _tag } = Object(cause instanceof Error ? cause.cause : undefined) as { readonly _tag?: unknown };
  return _tag === "DeviceFailed" ? (cause as { readonly cause: DeviceFailed }).cause : undefined;
}

/** A failure of the runtime as one of the store, or undefined if it is the programmer's or a callback's. */
function storeFailure(cause: unknown, operation: string, path: string): StoreFailed | undefined {
  if (typeof cause === "object" && cause !== null && thrown.has(cause)) return undefined;
  if (cause instanceof TypeError && /^(Expected|Cannot capture)\b/.test(cause.message)) return undefined;
  const { name, message, code } = toError(cause) as Error & { readonly code?: unknown };
  const known = isAllocation(cause) ? "ENOMEM" : typeof code === "string" ? code : name;
  return { _tag: "StoreFailed", operation, path, code: known, message };
}

// --- combinators

/**
 * A task whose exceptions are lefts.
 *
 * @param operation What it does, such as `read`.
 * @param path To what.
 * @param task The task.
 */
export function guarded<Failure, A>(
  operation: string,
  path: string,
  task: TaskEither<Failure, A>,
): TaskEither<Failure | StoreFailed, A> {
  return async () => {
    try {
      return await task();
    } catch (cause) {
      const failure = storeFailure(cause, operation, path);
      if (failure === undefined) throw cause;
      return E.left(failure);
    }
  };
}

/** A task in which the failure of a device is a left; every other exception stays one. */
export function orDeviceFailed<Failure, A>(task: TaskEither<Failure, A>): TaskEither<Failure | DeviceFailed, A> {
  return async () => {
    try {
      return await task();
    } catch (cause) {
      const failure = deviceFailure(cause);
      if (failure === undefined) throw cause;
      return E.left(failure);
    }
  };
}

/**
 * A capture as part of a task: out of memory or on a failed device it is a left; what cannot be captured stays a `TypeError`.
 *
 * @param path The store's name in messages.
 * @param capture The capture.
 */
export function captured<A>(path: string, capture: () => A): E.Either<StoreFailed | DeviceFailed, A> {
  try {
    return E.right(capture());
  } catch (cause) {
    const failure = deviceFailure(cause) ?? (isAllocation(cause) ? storeFailure(cause, "capture", path) : undefined);
    if (failure === undefined) throw cause;
    return E.left(failure);
  }
}
