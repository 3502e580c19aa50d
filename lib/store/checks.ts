/**
 * Checks of what a store is given: names of parts, numbers of checkpoints, chunks and ranges, options.
 *
 * @module
 */

import type * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../errors/mod.ts";
import { manifestName, type Store, storeFailed, type StoreOptions } from "./store.ts";
import {
  checkOptionNames,
  demand,
  foundOrAwait,
  ifGiven,
  must,
  oneOf,
  type OptionNames,
  shown,
} from "../validation/mod.ts";

// --- combinators

const forbiddenCharacters = /[\p{Cc}\\:*?"<>|]/u;

function isFileName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !forbiddenCharacters.test(name) && name.isWellFormed() &&
    new TextEncoder().encode(name).length <= 255;
}

/**
 * Whether a part may have this name: a file name that all file systems accept, in at most one folder.
 *
 * @param name Such as `model.safetensors` or `state/optimizer.safetensors`.
 * @returns False for an empty name, a path out of its folder, more than two levels, and the manifest's own name.
 */
export function isPartName(name: string): boolean {
  const levels = name.split("/");
  return levels.length <= 2 && levels.every(isFileName) && name !== manifestName;
}

/**
 * Throws a `TypeError` if a part may not have this name.
 *
 * @param name The name.
 */
export function checkPartName(name: string): void {
  if (!isPartName(name)) {
    const expected = 'the name of a part, such as "state/rng.safetensors"';
    throw new TypeError(`Expected ${expected}, found ${JSON.stringify(name)}: encode it`);
  }
}

/**
 * Throws a `TypeError` if this is not a store.
 *
 * @param store What the user gave as a store.
 * @param given Where: the call, such as `list(store)`, or the name of an option.
 */
export function checkStore(store: Store, given: string): void {
  const found: unknown = store;
  if (Object(found)._tag === "Store") return;
  const made = typeof found === "string" && found !== "" ? `directory(${shown(found)})` : 'directory("runs/digits")';
  const isCall = given.includes("(store");
  const name = isCall ? "the store" : `\`${given}\``;
  const remedy = `write ${isCall ? given.replace("(store", `(${made}`) : `${given.split(".").at(-1)}: ${made}`}`;
  throw new TypeError(
    `Expected ${name} to be a store such as directory("runs/digits"), found ${foundOrAwait(found, remedy)}`,
  );
}

const optionNames = { keep: true, digest: true } satisfies OptionNames<StoreOptions>;

/**
 * Throws a `TypeError` if these are not options of a store. A misspelt `keep` would keep every checkpoint.
 *
 * @param options The argument of a store's constructor.
 *
 * @example
 * ```ts
 * import { checkStoreOptions } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * checkStoreOptions({ digest: "sha256" });
 * assert.throws(() => checkStoreOptions({ digset: "sha256" } as never), /digest/);
 * ```
 */
export function checkStoreOptions(options: StoreOptions): void {
  checkOptionNames("a store", options, optionNames);
  const { keep, digest } = options;
  demand("keep", ifGiven(must("a policy such as Retention.latest(3)", (u) => typeof u === "function")), keep);
  demand("digest", ifGiven(oneOf("crc32", "sha256")), digest);
}

/**
 * Throws a `TypeError` if this cannot be the number of a checkpoint.
 *
 * @param checkpoint The number.
 */
export function checkCheckpoint(checkpoint: number): void {
  if (!Number.isSafeInteger(checkpoint) || checkpoint < 0) {
    const expected = "the number of a checkpoint, an integer from 0";
    throw new TypeError(`Expected ${expected}, found ${checkpoint}: list the store's checkpoints`);
  }
}

/**
 * A task of a store for a checkpoint. Its argument is checked at once, the store is read when the task is run.
 *
 * @param task Reads the store.
 *
 * @example
 * ```ts
 * import { ofCheckpoint } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * const manifest = ofCheckpoint((checkpoint) => async () => ({ _tag: "Right" as const, right: checkpoint }));
 * assert.throws(() => manifest(-1), TypeError);
 * ```
 */
export function ofCheckpoint<F, A>(
  task: (checkpoint: number) => TE.TaskEither<F, A>,
): (checkpoint: number) => TE.TaskEither<F, A> {
  return (checkpoint) => {
    checkCheckpoint(checkpoint);
    return () => task(checkpoint)();
  };
}

/**
 * {@link ofCheckpoint} for a part.
 *
 * @param task Reads the store.
 *
 * @example
 * ```ts
 * import { ofPart } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * const open = ofPart((_checkpoint, name) => async () => ({ _tag: "Right" as const, right: name }));
 * assert.throws(() => open(0, "../secret"), TypeError);
 * ```
 */
export function ofPart<F, A>(
  task: (checkpoint: number, name: string) => TE.TaskEither<F, A>,
): (checkpoint: number, name: string) => TE.TaskEither<F, A> {
  return (checkpoint, name) => {
    checkCheckpoint(checkpoint);
    checkPartName(name);
    return () => task(checkpoint, name)();
  };
}

/**
 * Throws a `TypeError` if a chunk is not a `Uint8Array`.
 *
 * @param chunk A chunk of a part.
 * @returns The chunk.
 *
 * @example
 * ```ts
 * import { checkedChunk } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(checkedChunk(Uint8Array.of(1)), Uint8Array.of(1));
 * ```
 */
export function checkedChunk(chunk: Uint8Array): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError(`Expected chunks of type Uint8Array, found ${typeof chunk}: make a view of its bytes`);
}

/**
 * Checks that a read is within a part; a position that is not an integer from 0 is a `TypeError`.
 *
 * @param bytes The length of the part.
 * @param path The part's name in messages.
 * @param into The array to fill.
 * @param position The offset of the first byte.
 * @returns A failure with code `ETRUNC` if the part ends before the array is full.
 *
 * @example
 * ```ts
 * import { checkRange } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * assert.equal(checkRange(10, "a", new Uint8Array(4), 6), undefined);
 * assert.equal(checkRange(10, "a", new Uint8Array(4), 7)?.code, "ETRUNC");
 * ```
 */
export function checkRange(bytes: number, path: string, into: Uint8Array, position: number): StoreFailed | undefined {
  if (!Number.isSafeInteger(position) || position < 0) {
    throw new TypeError(`Expected a position that is an integer from 0, found ${position}: count bytes from the start`);
  }
  const end = position + into.length;
  return end <= bytes
    ? undefined
    : storeFailed("read", path, "ETRUNC", `expected ${end} bytes or more, found ${bytes}`);
}
