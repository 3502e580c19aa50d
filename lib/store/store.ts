/**
 * The contract of a store: where checkpoints are written and read.
 *
 * A checkpoint is a set of named parts and one manifest. The contract mentions no files, so an object store can implement it, with a
 * conditional write as the commit. `memory` is the smallest implementation, `directory` the one for disks, `s3` the one for object stores. A
 * store of your own implements {@link Store}; `savingOf` builds the {@link Saving} that its `begin` returns from the store's own steps.
 *
 * ## Laws
 *
 * Every store keeps these laws. `storeLaws` of `@dogear/dogear/store` checks them.
 *
 * - *Old or new.* Parts are invisible until `commit` resolves; then the whole checkpoint is visible. A save that fails, is aborted or is
 *   killed changes no committed checkpoint.
 * - *Numbers.* The first checkpoint is 0. The next is the highest committed number + 1, or the first free number above that. Two saves never
 *   get the same number, even if older checkpoints are removed meanwhile. A copy gets the number that it names, above all others, or fails.
 * - *Immutable.* A committed checkpoint never changes. It can only be removed, and `remove` removes it as a whole.
 * - *One line of history.* Two commits that follow the same parent of the same run never both succeed, if the store sets
 *   {@link Saving.checksCondition}.
 *
 * ## States of a save
 *
 * ```text
 *                   a step succeeds
 *               ┌────────────────────┐
 *               ▼                    │
 *  begin ───▶ ready ──put, reuse,──▶ busy ──commit succeeds, or any step fails or throws──▶ over
 *               │        commit                                                              ▲
 *               └────────────────────────────── abort ───────────────────────────────────────┘
 * ```
 *
 * | state | `put`, `reuse`, `commit` | `abort` |
 * |---|---|---|
 * | ready | start, and the save is busy | discards the parts, and the save is over |
 * | busy | a `TypeError` | waits for the step, then as in the new state |
 * | over | a `TypeError` | does nothing |
 *
 * A step that fails discards the parts, as `abort` does. An exception from the chunks of a part does the same, and rejects the task with that
 * exception.
 *
 * @module
 */

import type { IO } from "fp-ts/lib/IO.js";
import type { Task } from "fp-ts/lib/Task.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import type { Retention } from "./decision.ts";
import type { PartDigest } from "./digest.ts";
import type { NoCheckpoint, Overtaken, StoreFailed } from "../errors/mod.ts";
import type { LocationState } from "./location.ts";

// --- types

/**
 * The bytes of a part, in pieces. A piece must not change until the next but one is requested, because it is written while the next one is
 * made. A store never writes into a piece: it may be the memory of a live tensor.
 */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** The location of a part in a store. */
export interface PartLocation {
  /** The checkpoint that has the part. */
  readonly checkpoint: number;
  /** The name of the part. */
  readonly name: string;
}

/** A part of a committed checkpoint, open for reading. */
export interface OpenPart {
  /** Its length. */
  readonly bytes: number;
  /**
   * How many reads of some MiB are best in progress at once.
   * @default 2
   */
  readonly concurrency?: number;
  /**
   * The most bytes of a read into tensors. Each such read is one call of `read`.
   * @default 8 MiB
   */
  readonly readBytes?: number;
  /** Fills `into` from a position in the part. It fails with `ETRUNC` if the part ends before `into` is full. */
  readonly read: (into: Uint8Array, position: number) => TE.TaskEither<StoreFailed, void>;
  /** Closes the part; closing it again does nothing. */
  readonly close: Task<void>;
}

/** The properties of a part that a store knows without opening it. */
export interface PartStatus {
  /** Its length. */
  readonly bytes: number;
  /** How many checkpoints share the stored bytes; 1 if the part is not shared. */
  readonly links: number;
}

/** The condition of a commit: the checkpoint must be the one after `parent` in its run. */
export interface CommitCondition {
  /** The name of the run. Of two concurrent commits with the same key, at most one succeeds, or the second checks after the first. */
  readonly key: string;
  /** The checkpoint that this one follows. */
  readonly parent: number;
  /**
   * Whether the commit of the parent failed after it had made the checkpoint. Then the store makes the parent durable first.
   * @default false
   */
  readonly isDoubtful?: boolean;
  /**
   * The number that the checkpoint must get, because it is a copy of the one with that number in another store. If the store has a checkpoint
   * with this number or a higher one, or another save takes the number first, the commit fails with code `ETAKEN`. While it commits a number
   * beyond the next one, nothing else may save to the store: a save of the same run could get a number in between.
   * @default the next number
   */
  readonly number?: number;
  /** Checks checkpoints, of which only those above the parent count. It fails with `Overtaken` if one of them belongs to the run. */
  readonly check: (checkpoints: readonly number[]) => TE.TaskEither<StoreFailed | Overtaken, void>;
}

/** A checkpoint that is being written. Its caller runs one step at a time; the states are in the description of this module. */
export interface Saving {
  /** Writes a part. Each name can be used once. */
  readonly put: (name: string, chunks: Chunks) => TE.TaskEither<StoreFailed, PartDigest>;
  /** Shares a part of a committed checkpoint under a new name, without writing it again; false if the store cannot, and then `put` it. */
  readonly reuse: (name: string, from: PartLocation) => TE.TaskEither<StoreFailed, boolean>;
  /**
   * Makes the parts and the manifest a checkpoint, and resolves to its number when the checkpoint is durable. With a condition, the commit
   * first calls {@link CommitCondition.check}; if that fails, nothing is committed.
   */
  readonly commit: (
    manifest: Uint8Array,
    condition?: CommitCondition,
  ) => TE.TaskEither<StoreFailed | Overtaken, number>;
  /**
   * Whether `commit` checks its condition. If not, the caller checks before `commit`, and two concurrent commits may both succeed.
   * @default false
   */
  readonly checksCondition?: boolean;
  /** The {@link Store.candidates} that a successful commit found, including its own number; undefined if the caller must list them. */
  readonly listed?: IO<readonly number[] | undefined>;
  /** Ends the save after the current step and discards its parts. After the end it does nothing. */
  readonly abort: Task<void>;
}

/** What a killed save or an interrupted removal has left in a store. No checkpoint has it. */
export interface Orphan {
  /** Its name in messages, such as a path or an `s3://` URL; no other orphan of the store has it. */
  readonly name: string;
  /** What left it: a save that was not committed, an upload that was not completed, or a checkpoint whose removal did not end. */
  readonly kind: "unfinished save" | "unfinished upload" | "removed checkpoint";
  /** How many bytes it takes; null if the store cannot tell. */
  readonly bytes: number | null;
  /** When it was last written, by the store's clock, in milliseconds since 1970. */
  readonly modified: number;
  /** Whether a save may still be writing it: its process lives, or it is younger than the store's grace time. Then it is never removed. */
  readonly isLive: boolean;
}

/** The orphans of a store. */
export interface Orphans {
  /** Finds them, those that may be live included. */
  readonly list: TE.TaskEither<StoreFailed, readonly Orphan[]>;
  /** Removes those of these that are orphans still and are not live. It resolves to what it removed. */
  readonly remove: (orphans: readonly Orphan[]) => TE.TaskEither<StoreFailed, readonly Orphan[]>;
}

/** Options of a store. */
export interface StoreOptions {
  /**
   * The retention policy that is applied after each commit.
   * @default keep all checkpoints
   */
  readonly keep?: Retention;
  /**
   * The digests of each part. With `"sha256"` there is a SHA-256 in addition to the CRC-32, each save gives one digest of the whole
   * checkpoint, and a checkpoint without SHA-256 is rejected.
   *
   * @default "crc32"
   */
  readonly digest?: "crc32" | "sha256";
}

/** A store of checkpoints. Each task reads the store anew. */
export interface Store {
  /** Tells a store from other values. */
  readonly _tag: "Store";
  /** The name of the store in messages. */
  readonly location: string;
  /**
   * What this process remembers of the location: one state for all stores of the location, made with `newLocationState`.
   * @default one state for each `location`
   */
  readonly place?: IO<LocationState>;
  /** The retention policy that is applied after each commit. */
  readonly keep?: Retention;
  /**
   * With `"sha256"`, a checkpoint is rejected when its manifest lacks the SHA-256 of a file.
   * @default "crc32"
   */
  readonly digest?: "crc32" | "sha256";
  /** The numbers of the committed checkpoints in ascending order; none if nothing has been saved yet. */
  readonly list: TE.TaskEither<StoreFailed, readonly number[]>;
  /**
   * Numbers in ascending order, which include every committed checkpoint. The last one is the newest checkpoint; others may turn out to be
   * none. It is for stores whose `list` must examine each number.
   * @default list
   */
  readonly candidates?: TE.TaskEither<StoreFailed, readonly number[]>;
  /**
   * The number of the newest checkpoint, undefined if nothing has been saved yet. It is for stores that find it without listing all.
   * @default the last of the candidates
   */
  readonly newest?: TE.TaskEither<StoreFailed, number | undefined>;
  /**
   * What killed saves have left. The store removes it by itself at later saves; the command line lists and removes it on request.
   * @default the store has no orphans
   */
  readonly orphans?: Orphans;
  /**
   * The names of what is at the location besides its checkpoints and may be a separate run, such as folders. The command line lists them.
   * @default the store cannot tell
   */
  readonly folders?: TE.TaskEither<StoreFailed, readonly string[]>;
  /**
   * Waits until all that was saved is as safe as the store makes it, such as on another machine. `train`, `fit` and `saver` run it at their ends.
   * @default a committed save is safe
   */
  readonly drain?: TE.TaskEither<StoreFailed | Overtaken, void>;
  /**
   * A store with copies of the checkpoints. One that is damaged here is read from it.
   * @default none
   */
  readonly backup?: Store;
  /** Begins a save. */
  readonly begin: TE.TaskEither<StoreFailed, Saving>;
  /** The manifest of a checkpoint. */
  readonly manifest: (checkpoint: number) => TE.TaskEither<StoreFailed | NoCheckpoint, Uint8Array>;
  /** Opens a part; a missing part is a `StoreFailed` with code `ENOENT`. */
  readonly open: (checkpoint: number, name: string) => TE.TaskEither<StoreFailed | NoCheckpoint, OpenPart>;
  /** The status of a part, with the errors of `open`. Without it, parts are opened for their length, and their sharing is unknown. */
  readonly status?: (checkpoint: number, name: string) => TE.TaskEither<StoreFailed | NoCheckpoint, PartStatus>;
  /** Removes a checkpoint; a missing one is no error. */
  readonly remove: (checkpoint: number) => TE.TaskEither<StoreFailed, void>;
  /** The name of a checkpoint in messages. */
  readonly locationOf: (checkpoint: number) => string;
}

/** The name of the manifest among the parts; no part may have it. */
export const manifestName: string = "snapshot.json";

/** The most bytes of a manifest: 256 MiB. A longer one is neither written nor read. */
export const mostManifestBytes: number = 256 * 2 ** 20;

// --- constructors

/**
 * A failure of a store.
 *
 * @param operation The operation, a verb such as `write`.
 * @param path The file or object.
 * @param code The system's error code, or one in its style.
 * @param message What is wrong.
 * @param remedy What to do, if it is not what helps against the code on a disk.
 *
 * @example
 * ```ts
 * import { storeFailed } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * assert.equal(storeFailed("write", "runs/1/model", "ENOSPC", "no space left")._tag, "StoreFailed");
 * ```
 */
export function storeFailed(
  operation: string,
  path: string,
  code: string,
  message: string,
  remedy?: string,
): StoreFailed {
  return { _tag: "StoreFailed", operation, path, code, message, ...(remedy !== undefined && { remedy }) };
}

/**
 * The failure of a commit whose {@link CommitCondition.number} is not free.
 *
 * @param path The name of the checkpoint in messages.
 * @param found Whose the number is.
 *
 * @example
 * ```ts
 * import { numberTaken } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * assert.equal(numberTaken("runs.sqlite/checkpoint_3").code, "ETAKEN");
 * ```
 */
export function numberTaken(path: string, found = "another checkpoint has this number or a higher one"): StoreFailed {
  const remedy = "A copy keeps its number, and numbers only grow: copy to another place, the lowest number first";
  return storeFailed("copy to", path, "ETAKEN", found, remedy);
}

/**
 * Checks the length of a manifest.
 *
 * @param operation The operation on the manifest.
 * @param path The manifest's name in messages.
 * @param bytes Its length.
 * @returns A failure with code `EFBIG` if it is longer than {@link mostManifestBytes}.
 */
export function tooLong(operation: "read" | "write", path: string, bytes: number): StoreFailed | undefined {
  if (bytes <= mostManifestBytes) return undefined;
  const message = `expected a manifest of at most ${mostManifestBytes} bytes, found ${bytes}`;
  return storeFailed(operation, path, "EFBIG", message);
}
