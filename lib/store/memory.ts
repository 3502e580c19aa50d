/**
 * A store in the memory of this process.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as T from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { Buffer } from "node:buffer";
import { digester } from "./digest.ts";
import type { NoCheckpoint, Overtaken, StoreFailed } from "../errors/mod.ts";
import { savingOf, type StoreWriter } from "./saving.ts";
import { newLocationState } from "./location.ts";
import { checkedChunk, checkRange, checkStoreOptions, ofCheckpoint, ofPart } from "./checks.ts";
import { manifestName, numberTaken, storeFailed } from "./store.ts";
import type { CommitCondition, OpenPart, Store, StoreOptions } from "./store.ts";

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
 * import { loadState, memory, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await saveState(store)({ step: 3 });
 * assert.deepEqual(await loadState(store)({ step: 0 }), { step: 3 });
 * ```
 */
export function memory(options: StoreOptions = {}): Store {
  checkStoreOptions(options);
  const checkpoints: Checkpoints = new Map();
  const state = newLocationState();
  return Object.freeze<Store>({
    _tag: "Store",
    location: "memory",
    place: () => state,
    ...(options.keep && { keep: options.keep }),
    ...(options.digest && { digest: options.digest }),
    list: TE.fromIO(() => committedNumbers(checkpoints)),
    begin: TE.fromIO(() => savingOf(writerInto(checkpoints, options.digest))),
    manifest: ofCheckpoint((checkpoint) => pipe(findPart(checkpoints, checkpoint, manifestName), TE.map(copyBytes))),
    open: ofPart((checkpoint, name) =>
      pipe(
        findPart(checkpoints, checkpoint, name),
        TE.map((bytes) => openBytes(bytes, `${locationOf(checkpoint)}/${name}`)),
      )
    ),
    status: ofPart((checkpoint, name) =>
      pipe(
        findPart(checkpoints, checkpoint, name),
        TE.map((bytes) => ({
          bytes: bytes.length,
          links: [...checkpoints.values()].filter((parts) => parts.get(name) === bytes).length,
        })),
      )
    ),
    remove: ofCheckpoint((checkpoint) => TE.fromIO(() => void checkpoints.delete(checkpoint))),
    locationOf,
  });
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
      parts.set(name, Buffer.concat(copies));
      return E.right(digesting.result());
    },
    reuse: (name, from) =>
      TE.fromIO(() => {
        const bytes = checkpoints.get(from.checkpoint)?.get(from.name);
        if (bytes !== undefined) parts.set(name, bytes);
        return bytes !== undefined;
      }),
    checksCondition: true,
    commit: (manifest, condition) => commitTo(checkpoints, parts, manifest, condition),
    discard: T.fromIO(() => parts.clear()),
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
    const number = condition?.number ?? newest + 1;
    if (number <= newest) return E.left(numberTaken(locationOf(number)));
    checkpoints.set(number, new Map(parts).set(manifestName, copyBytes(manifest)));
    return E.right(number);
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
): TE.TaskEither<StoreFailed | NoCheckpoint, Uint8Array> {
  const parts = checkpoints.get(checkpoint);
  if (parts === undefined) {
    return TE.left({ _tag: "NoCheckpoint", location: "memory", checkpoint, available: committedNumbers(checkpoints) });
  }
  const bytes = parts.get(name);
  return bytes === undefined
    ? TE.left(storeFailed("open", `${locationOf(checkpoint)}/${name}`, "ENOENT", "no such part"))
    : TE.right(bytes);
}

/** A copy; `slice` would return a view of a Node `Buffer`. */
function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function openBytes(bytes: Uint8Array, path: string): OpenPart {
  return {
    bytes: bytes.length,
    read: (into, position) => {
      const outside = checkRange(bytes.length, path, into, position);
      if (outside !== undefined) return TE.left(outside);
      return TE.fromIO(() => into.set(bytes.subarray(position, position + into.length)));
    },
    close: T.of(undefined),
  };
}
