/**
 * A store in the memory of this process.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { digester } from "./digest.ts";
import type { NoCheckpoint, Overtaken, StoreFailed } from "../errors/mod.ts";
import { savingOf, type StoreWriter } from "./saving.ts";
import { newLocationState } from "./location.ts";
import {
  checkCheckpoint,
  checkedChunk,
  checkPartName,
  checkRange,
  checkStoreOptions,
  type CommitCondition,
  manifestName,
  type OpenPart,
  type PartStatus,
  type Store,
  storeFailed,
  type StoreOptions,
} from "./store.ts";

// --- types

/** The bytes of each part of a checkpoint by name; the manifest is one of them. */
type PartBytes = ReadonlyMap<string, Uint8Array>;

/** The committed checkpoints. */
type Checkpoints = Map<number, PartBytes>;

// --- constructors

/**
 * A store in memory: for tests, and for forks that need no disk.
 *
 * It holds a copy of every part, and loses all of them when the process ends. It keeps the laws of every store.
 *
 * @param options The retention policy and the digest.
 * @returns An empty store.
 *
 * @example
 * ```ts
 * import { loadState, memory, runOrThrow, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await runOrThrow(saveState(store)({ step: 3 }));
 * assert.deepEqual(await runOrThrow(loadState(store)({ step: 0 })), { step: 3 });
 * ```
 */
export function memory(options: StoreOptions = {}): Store {
  checkStoreOptions(options);
  const checkpoints: Checkpoints = new Map();
  const state = newLocationState();
  const store: Store = {
    _tag: "Store",
    location: "memory",
    place: () => state,
    ...(options.keep && { keep: options.keep }),
    ...(options.digest && { digest: options.digest }),
    list: () => Promise.resolve(E.right(committedNumbers(checkpoints))),
    begin: () => Promise.resolve(E.right(savingOf(writerInto(checkpoints, options.digest)))),
    manifest: (checkpoint) => {
      checkCheckpoint(checkpoint);
      return () => Promise.resolve(E.map(copyBytes)(findPart(checkpoints, checkpoint, manifestName)));
    },
    open: (checkpoint, name) => {
      checkCheckpoint(checkpoint);
      checkPartName(name);
      const open = (bytes: Uint8Array): OpenPart => openBytes(bytes, `${locationOf(checkpoint)}/${name}`);
      return () => Promise.resolve(E.map(open)(findPart(checkpoints, checkpoint, name)));
    },
    status: (checkpoint, name) => {
      checkCheckpoint(checkpoint);
      checkPartName(name);
      const status = (bytes: Uint8Array): PartStatus => {
        const links = [...checkpoints.values()].filter((parts) => parts.get(name) === bytes).length;
        return { bytes: bytes.length, links };
      };
      return () => Promise.resolve(E.map(status)(findPart(checkpoints, checkpoint, name)));
    },
    remove: (checkpoint) => {
      checkCheckpoint(checkpoint);
      return () => Promise.resolve(E.right(void checkpoints.delete(checkpoint)));
    },
    locationOf,
  };
  return Object.freeze(store);
}

function writerInto(checkpoints: Checkpoints, digest: StoreOptions["digest"]): StoreWriter {
  const parts = new Map<string, Uint8Array>();
  return {
    put: (name, chunks) => async () => {
      const digesting = digester(digest);
      const copies: Uint8Array[] = [];
      for await (const chunk of chunks) {
        copies.push(copyBytes(checkedChunk(chunk)));
        digesting.update(chunk);
      }
      const written = digesting.result();
      parts.set(name, concatenate(copies, written.bytes));
      return E.right(written);
    },
    reuse: (name, from) => async () => {
      const bytes = checkpoints.get(from.checkpoint)?.get(from.name);
      if (bytes !== undefined) parts.set(name, bytes);
      return await Promise.resolve(E.right(bytes !== undefined));
    },
    checksCondition: true,
    commit: (manifest, condition) => commitTo(checkpoints, parts, manifest, condition),
    discard: () => Promise.resolve(parts.clear()),
  };
}

function commitTo(
  checkpoints: Checkpoints,
  parts: PartBytes,
  manifest: Uint8Array,
  condition: CommitCondition | undefined,
): TE.TaskEither<StoreFailed | Overtaken, number> {
  return async () => {
    let newest = newestNumber(checkpoints);
    // The check is asynchronous, so it is repeated until no commit has come in between.
    for (let checked = -1; condition !== undefined && checked !== newest;) {
      checked = newest;
      const { parent, check } = condition;
      const result = await check(committedNumbers(checkpoints).filter((number) => number > parent))();
      if (E.isLeft(result)) return result;
      newest = newestNumber(checkpoints);
    }
    checkpoints.set(newest + 1, new Map(parts).set(manifestName, copyBytes(manifest)));
    return E.right(newest + 1);
  };
}

// --- combinators

function locationOf(checkpoint: number): string {
  return `memory/checkpoint_${checkpoint}`;
}

function committedNumbers(checkpoints: Checkpoints): readonly number[] {
  return [...checkpoints.keys()].sort((a, b) => a - b);
}

/** The highest number, -1 if there is no checkpoint. */
function newestNumber(checkpoints: Checkpoints): number {
  return committedNumbers(checkpoints).at(-1) ?? -1;
}

function findPart(
  checkpoints: Checkpoints,
  checkpoint: number,
  name: string,
): E.Either<StoreFailed | NoCheckpoint, Uint8Array> {
  const parts = checkpoints.get(checkpoint);
  if (parts === undefined) {
    return E.left({ _tag: "NoCheckpoint", location: "memory", checkpoint, available: committedNumbers(checkpoints) });
  }
  const bytes = parts.get(name);
  return bytes === undefined
    ? E.left(storeFailed("open", `${locationOf(checkpoint)}/${name}`, "ENOENT", "no such part"))
    : E.right(bytes);
}

/** A copy; `slice` would return a view of a Node `Buffer`. */
function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function concatenate(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function openBytes(bytes: Uint8Array, path: string): OpenPart {
  return {
    bytes: bytes.length,
    read: (into, position) => {
      const outside = checkRange(bytes.length, path, into, position);
      if (outside !== undefined) return TE.left(outside);
      return () => Promise.resolve(E.right(into.set(bytes.subarray(position, position + into.length))));
    },
    close: () => Promise.resolve(),
  };
}
