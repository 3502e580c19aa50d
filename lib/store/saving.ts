/**
 * The state machine of a save, for every store: part names, the order of steps, and cleanup after a failure.
 *
 * A store implements the steps as a {@link StoreWriter}, and {@link savingOf} calls them only in the states that `store.ts` describes.
 * A step that fails or throws ends the save, and its data is discarded exactly once.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import { demand, must } from "../validation/mod.ts";
import { checkCheckpoint, checkPartName } from "./checks.ts";
import type { Saving } from "./store.ts";

// --- types

/**
 * The steps of a save, as a store implements them: make one writer for each save. {@link savingOf} has checked part names, runs one step
 * at a time, and starts none after the end.
 *
 * - `put` writes each chunk before it requests the next but one, and resolves to the digest of what it wrote.
 * - `reuse` may always resolve to false; the part is then put.
 * - `commit` makes everything visible in one atomic step. With `checksCondition`, it calls `condition.check` with the numbers above
 *   `condition.parent`, and commits only if no other commit has come since; otherwise it checks again.
 * - `discard` follows a failure of any step, also of `commit`. If `commit` fails but may have committed, `discard` must leave the parts.
 *
 * A failure of the system is a `StoreFailed`, made with `storeFailed`. An exception of the chunks is not the store's: let it pass.
 */
export interface StoreWriter extends Pick<Saving, "put" | "reuse" | "commit" | "checksCondition" | "listed"> {
  /** Removes what has been written and not committed. It is called at most once, and cannot fail. */
  readonly discard: Task<void>;
}

// --- constructors

const steps = ["put", "reuse", "commit", "discard"];
const writers = must(
  "the steps put, reuse, commit and discard of a save",
  (u) => steps.every((name) => typeof Object(u)[name] === "function"),
);

/** Runs the steps of one save, one at a time. */
function stepsOf(discard: Task<void>): {
  /** Makes a task a step; after it succeeds, the save is ready for the next step, or over. */
  readonly step: <F, A>(task: TE.TaskEither<F, A>, next: "ready" | "over") => TE.TaskEither<F, A>;
  readonly abort: Task<void>;
} {
  let state: "ready" | "busy" | "over" = "ready";
  let current: Promise<unknown> = Promise.resolve();

  async function run<F, A>(task: TE.TaskEither<F, A>, next: "ready" | "over"): Promise<E.Either<F, A>> {
    let succeeded = false;
    try {
      const result = await task();
      succeeded = E.isRight(result);
      return result;
    } finally {
      if (!succeeded) await discard();
      state = succeeded ? next : "over";
    }
  }

  return {
    step: (task, next) => () => {
      if (state !== "ready") {
        const found = state === "busy" ? "another step still running: await it" : "a save that is over: begin another";
        return Promise.reject(new TypeError(`Expected one step of a save at a time, found ${found}`));
      }
      state = "busy";
      const result = run(task, next);
      current = result.catch(() => undefined);
      return result;
    },
    abort: async () => {
      await current;
      if (state !== "ready") return;
      state = "over";
      await discard();
    },
  };
}

/**
 * A save, from the steps that a store implements.
 *
 * @param writer The steps.
 * @returns The save. It rejects a step with a `TypeError` while another one runs, after the end, and for a repeated or invalid part name.
 *
 * @example
 * ```ts
 * import { savingOf } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * let parts = 0;
 * const right = <A>(right: A) => async () => ({ _tag: "Right" as const, right });
 * const saving = savingOf({
 *   put: () => right({ bytes: 0, crc32: "00000000" }),
 *   reuse: () => right(false),
 *   commit: () => right(0),
 *   discard: async () => void (parts = -1),
 * });
 * await saving.put("a", [])();
 * await saving.abort();
 * assert.equal(parts, -1);
 * await assert.rejects(saving.put("b", [])(), TypeError);
 * ```
 */
export function savingOf(writer: StoreWriter): Saving {
  demand("writer", writers, writer);
  const { checksCondition, listed } = writer;
  const names = new Set<string>();
  const { step, abort } = stepsOf(writer.discard);

  function checkNew(name: string): void {
    if (names.has(name)) throw new TypeError(`Expected each part once, found ${name} twice: rename one`);
  }

  return {
    put: (name, chunks) => {
      checkPartName(name);
      return step(() => {
        checkNew(name);
        names.add(name);
        return writer.put(name, chunks)();
      }, "ready");
    },
    reuse: (name, from) => {
      checkPartName(name);
      checkPartName(from.name);
      checkCheckpoint(from.checkpoint);
      return step(async () => {
        checkNew(name);
        const reused = await writer.reuse(name, from)();
        if (E.isRight(reused) && reused.right) names.add(name);
        return reused;
      }, "ready");
    },
    commit: (manifest, condition) => step(writer.commit(manifest, condition), "over"),
    ...(checksCondition !== undefined && { checksCondition }),
    ...(listed && { listed }),
    abort,
  };
}
