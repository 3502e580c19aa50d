/**
 * Exceptions of the system as failures with its error codes.
 *
 * @module
 */

import { constants } from "node:os";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../../errors/mod.ts";
import { storeFailed } from "../mod.ts";

// --- constructors

/** The end of Deno's message for an error without a class or code, such as `EDQUOT`. */
const osError = / \(os error (\d+)\)$/;

/** The system's sentence without the code, the call and the path, which are fields of the failure. */
function sentenceOf(cause: unknown): string {
  const { message }: { message?: unknown } = Object(cause);
  return String(message).replace(/^E[A-Z0-9]+: /, "").replace(/, [a-z]+( '.*)?$/s, "").replace(osError, "");
}

/** The name of an error number of this system, such as `ENOSPC`; `EUNKNOWN` for others. */
export function errorCode(number: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? "EUNKNOWN";
}

/**
 * The system's code of an exception from the file system.
 *
 * @param cause The exception.
 * @returns Such as `ENOSPC`; `EUNKNOWN` if it has none.
 */
export function errorCodeOf(cause: unknown): string {
  const { code, name, message }: { code?: unknown; name?: unknown; message?: unknown } = Object(cause);
  if (typeof code === "string") return code;
  if (name === "NotCapable") return "EACCES";
  return errorCode(Number(process.platform === "win32" ? undefined : osError.exec(String(message))?.[1]));
}

/** An exception with a code of the system. */
export function systemError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** Runs a call of the system; an exception is a failure with its code. */
export function systemCall<A>(operation: string, path: string, run: () => Promise<A>): TE.TaskEither<StoreFailed, A> {
  return TE.tryCatch(run, (cause) => storeFailed(operation, path, errorCodeOf(cause), sentenceOf(cause)));
}
