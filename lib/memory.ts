/**
 * The smallest store there is: checkpoints in the memory of this process.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { NoCheckpoint, StoreFailed } from "./errors.ts";
import { newLocationState } from "./location.ts";
import {
  checkCheckpoint,
  checkedChunk,
  checkOptions,
  checkPartName,
  checkRange,
  digester,
  manifestName,
  type Part,
  type PartStatus,
  savingOf,
  type Store,
  storeFailed,
  type StoreOptions,
  type Writer,
} from "./store.ts";

// --- constructors

/**
 * A store in memory: for tests, and for forks that need no disk.
 *
 * It holds a copy of every part and loses all of them with the process. Its laws are those of every store.
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
  checkOptions(options);
  const checkpoints = new Map<number, ReadonlyMap<string, Uint8Array>>();
  const state = newLocationState();
  const numbers = (): readonly number[] => [...checkpoints.keys()].sort((a, b) => a - b);
  const locationOf = (checkpoint: number): string => `memory/checkpoint_${checkpoint}`;

  function find(checkpoint: number, name: string): E.Either<StoreFailed | NoCheckpoint, Uint8Array> {
    const parts = checkpoints.get(checkpoint);
    if (parts === undefined) {
      return E.left({ _tag: "NoCheckpoint", location: "memory", checkpoint, available: numbers() });
    }
    const bytes = parts.get(name);
    return bytes === undefined
      ? E.left(storeFailed("open", `${locationOf(checkpoint)}/${name}`, "ENOENT", "no such part"))
      : E.right(bytes);
  }

  function writer(): Writer {
    const parts = new Map<string, Uint8Array>();
    return {
      put: (name, chunks) => async () => {
        const digest = digester(options.digest);
        const copies: Uint8Array[] = [];
        for await (const chunk of chunks) {
          copies.push(copyOf(checkedChunk(chunk)));
          digest.update(chunk);
        }
        const written = digest.written();
        parts.set(name, joined(copies, written.bytes));
        return E.right(written);
      },
      reuse: (name, from) => async () => {
        const bytes = checkpoints.get(from.checkpoint)?.get(from.name);
        if (bytes !== undefined) parts.set(name, bytes);
        return await Promise.resolve(E.right(bytes !== undefined));
      },
      looks: true,
      commit: (manifest, after) => async () => {
        let newest = numbers().at(-1) ?? -1;
        for (let looked = -1; after !== undefined && looked !== newest;) {
          looked = newest;
          const ahead = await after.look(numbers().filter((number) => number > after.parent))();
          if (E.isLeft(ahead)) return ahead;
          newest = numbers().at(-1) ?? -1;
        }
        checkpoints.set(newest + 1, new Map(parts).set(manifestName, copyOf(manifest)));
        return E.right(newest + 1);
      },
      discard: () => Promise.resolve(parts.clear()),
    };
  }

  const store: Store = {
    _tag: "Store",
    location: "memory",
    place: () => state,
    ...(options.keep && { keep: options.keep }),
    ...(options.digest && { digest: options.digest }),
    list: () => Promise.resolve(E.right(numbers())),
    begin: () => Promise.resolve(E.right(savingOf(writer()))),
    manifest: (checkpoint) => {
      checkCheckpoint(checkpoint);
      return () => Promise.resolve(E.map(copyOf)(find(checkpoint, manifestName)));
    },
    open: (checkpoint, name) => {
      checkCheckpoint(checkpoint);
      checkPartName(name);
      const path = `${locationOf(checkpoint)}/${name}`;
      return () => Promise.resolve(E.map((bytes: Uint8Array) => partOf(bytes, path))(find(checkpoint, name)));
    },
    status: (checkpoint, name) => {
      checkCheckpoint(checkpoint);
      checkPartName(name);
      const linked = (bytes: Uint8Array): number =>
        [...checkpoints.values()].filter((parts) => parts.get(name) === bytes).length;
      return () =>
        Promise.resolve(
          E.map((bytes: Uint8Array): PartStatus => ({ bytes: bytes.length, links: linked(bytes) }))(
            find(checkpoint, name),
          ),
        );
    },
    remove: (checkpoint) => {
      checkCheckpoint(checkpoint);
      return () => Promise.resolve(E.right(void checkpoints.delete(checkpoint)));
    },
    locationOf,
  };
  return Object.freeze(store);
}

/** A copy: `slice` would give a view of a Node `Buffer`. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function partOf(bytes: Uint8Array, path: string): Part {
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
