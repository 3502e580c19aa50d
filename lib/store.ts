/**
 * Where checkpoints go: named streams of bytes and one atomic step that makes them a checkpoint.
 *
 * Nothing here speaks of folders, so that an object store can be one too, its conditional write the commit. Every store
 * keeps the same laws; `memory` is the smallest that does.
 *
 * - **Old or new.** What has been put is invisible until `commit` resolves, and then it is there whole. A saving that
 *   fails, is aborted or dies leaves what was committed before as it was.
 * - **Numbers.** The first checkpoint is 0, the next has the highest committed number + 1, or the first free one above it.
 *   Two savings at once never share a number, whatever but the newest is removed meanwhile.
 * - **Immutable.** A committed checkpoint never changes; it can only be removed, and then it is gone whole.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import * as E from "fp-ts/lib/Either.js";
import type { IO } from "fp-ts/lib/IO.js";
import type { Task } from "fp-ts/lib/Task.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import type { NoCheckpoint, Overtaken, StoreFailed } from "./errors.ts";
import type { LocationState } from "./location.ts";
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import type { Retention } from "./retention.ts";
import { demand, must, oneOf, shown } from "./rules.ts";

// --- types

/**
 * The bytes of a part, in pieces. A piece must stay as it is until the next but one is asked for: it is written while the next is made.
 * A store never writes into one: it may be a live tensor's own memory, or be given again at a later save.
 */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** What was written: the length and the digests of a part's bytes. */
export interface Written {
  readonly bytes: number;
  /** CRC-32 as in zlib and PNG: eight lower-case hexadecimal digits. */
  readonly crc32: string;
  /** SHA-256 in hexadecimal, where the store was asked for it. */
  readonly sha256?: string;
}

/** Where a part of a committed checkpoint is. */
export interface PartPlace {
  readonly checkpoint: number;
  readonly name: string;
}

/** A part of a committed checkpoint, open for reading. */
export interface Part {
  readonly bytes: number;
  /** Fills all of `into` from this position of the part. Bytes that are not there are a `StoreFailed` with code `ETRUNC`. */
  readonly read: (into: Uint8Array, position: number) => TE.TaskEither<StoreFailed, void>;
  /** Lets go of the part; a second time does nothing. */
  readonly close: Task<void>;
}

/** What there is to say of a part without opening it. */
export interface PartStatus {
  readonly bytes: number;
  /** How many checkpoints have these very bytes, which then take up their space once: 1 where nothing is shared. */
  readonly links: number;
}

/** The checkpoint of a run that another one is to go after. */
export interface After {
  /** The run: of two commits with the same key at once, one is made, or the second has looked at the first. */
  readonly key: string;
  /** The checkpoint it goes after. */
  readonly parent: number;
  /**
   * Whether the commit of the parent failed, though it made a checkpoint: the parent must be durable before this one is there.
   * @default false
   */
  readonly isDoubtful?: boolean;
  /** Looks at checkpoints, of which those above the parent count: the left is a newer one of the run. */
  readonly look: (checkpoints: readonly number[]) => TE.TaskEither<StoreFailed | Overtaken, void>;
}

/**
 * One checkpoint being written, by one caller, one step after the other.
 *
 * A step that fails ends the saving and leaves nothing of it, as `abort` does. An exception out of the chunks does the
 * same and rejects the task with that very exception. A step after the end, or beside another one, is a `TypeError`.
 */
export interface Saving {
  /** Writes one part; every name once. */
  readonly put: (name: string, chunks: Chunks) => TE.TaskEither<StoreFailed, Written>;
  /** Takes over a part of a committed checkpoint, under any name, without writing it again. False: this cannot be done here, put it. */
  readonly reuse: (name: string, from: PartPlace) => TE.TaskEither<StoreFailed, boolean>;
  /**
   * Makes all of it a checkpoint, and resolves to its number once no crash can take it back. After a checkpoint of a run only if none of the run
   * has been committed since: the left is what {@link After.look} says, and then there is no checkpoint.
   */
  readonly commit: (manifest: Uint8Array, after?: After) => TE.TaskEither<StoreFailed | Overtaken, number>;
  /** Whether the commit does look: if not, this is done just before it, and of two commits at once both may be made. */
  readonly looks?: boolean;
  /** The numbers that may have a checkpoint, ascending, as a commit that was made has seen them; without it the store is asked. */
  readonly seen?: IO<readonly number[] | undefined>;
  /** Ends the saving after the step under way, and leaves nothing of it; after the end it does nothing. */
  readonly abort: Task<void>;
}

/** How a store keeps checkpoints. */
export interface StoreOptions {
  /** The retention policy the savers apply after each commit; without one nothing is ever removed. */
  readonly keep?: Retention;
  /**
   * The digest of each part: CRC-32, or SHA-256 beside it. With `"sha256"`, a checkpoint saved without it is not read, and a save tells one
   * digest of the whole checkpoint.
   *
   * @default "crc32"
   */
  readonly digest?: "crc32" | "sha256";
}

/** A place for checkpoints. A value: every task looks anew at what is there. */
export interface Store {
  readonly _tag: "Store";
  /** The place's name in messages. */
  readonly location: string;
  /**
   * What this process remembers of the location: one state for all stores of the location, made with `newLocationState`.
   * @default one state for each `location`
   */
  readonly place?: IO<LocationState>;
  /** The retention policy the savers apply after each commit. */
  readonly keep?: Retention;
  /**
   * With `"sha256"`, a checkpoint whose manifest lacks the SHA-256 of a file is refused when it is read.
   * @default "crc32"
   */
  readonly digest?: "crc32" | "sha256";
  /** The numbers of the committed checkpoints, ascending; none where nothing has been saved yet. */
  readonly list: TE.TaskEither<StoreFailed, readonly number[]>;
  /**
   * The numbers that may have a checkpoint, ascending: the last is the newest checkpoint's, of the others some may turn out to have none.
   * A store that looks at each number for its `list` looks here at the last alone; without this, `list` is asked.
   */
  readonly candidates?: TE.TaskEither<StoreFailed, readonly number[]>;
  /** Starts a checkpoint. */
  readonly begin: TE.TaskEither<StoreFailed, Saving>;
  /** The manifest a checkpoint was committed with. */
  readonly manifest: (checkpoint: number) => TE.TaskEither<StoreFailed | NoCheckpoint, Uint8Array>;
  /** Opens a part; one that is not there is a `StoreFailed` with code `ENOENT`. */
  readonly open: (checkpoint: number, name: string) => TE.TaskEither<StoreFailed | NoCheckpoint, Part>;
  /** Length and sharing of a part, as `open` would find it; without this, parts are opened, and nobody knows what they share. */
  readonly status?: (checkpoint: number, name: string) => TE.TaskEither<StoreFailed | NoCheckpoint, PartStatus>;
  /** Removes a checkpoint; one that is not there is no failure. */
  readonly remove: (checkpoint: number) => TE.TaskEither<StoreFailed, void>;
  /** A checkpoint's name in messages. */
  readonly locationOf: (checkpoint: number) => string;
}

/** What a store must be able to do for {@link savingOf}. */
export interface Writer extends Pick<Saving, "put" | "reuse" | "commit" | "looks" | "seen"> {
  /** Removes what has been written and not committed; called once, at most, and never fails. */
  readonly discard: Task<void>;
}

/** Length and digests of bytes as they pass. */
export interface Digester {
  readonly update: (bytes: Uint8Array) => void;
  readonly written: () => Written;
}

/** The name the manifest has among the parts; no part may have it. */
export const manifestName: string = "snapshot.json";

/** The most bytes of a manifest: 256 MiB. A longer one is neither written nor read. */
export const mostManifestBytes: number = 256 * 2 ** 20;

// --- constructors

/**
 * A failure of a store.
 *
 * @param operation What was being done.
 * @param path To what.
 * @param code The system's code, or one like it.
 * @param message What is wrong.
 * @returns The error value.
 */
export function storeFailed(operation: string, path: string, code: string, message: string): StoreFailed {
  return { _tag: "StoreFailed", operation, path, code, message };
}

/**
 * That a manifest of so many bytes is too long.
 *
 * @param operation What was to be done with it.
 * @param path The manifest's name in messages.
 * @param bytes Its length.
 * @returns The failure with code `EFBIG` if there are more than {@link mostManifestBytes}.
 */
export function tooLong(operation: "read" | "write", path: string, bytes: number): StoreFailed | undefined {
  if (bytes <= mostManifestBytes) return undefined;
  return storeFailed(
    operation,
    path,
    "EFBIG",
    `expected a manifest of at most ${mostManifestBytes} bytes, found ${bytes}`,
  );
}

/**
 * A digester that has seen nothing yet.
 *
 * @param digest Which digests to make; CRC-32 is always among them.
 * @returns Its `written` tells of all bytes given to `update` so far.
 */
export function digester(digest: "crc32" | "sha256" = "crc32"): Digester {
  const sha256 = digest === "sha256" ? createHash("sha256") : undefined;
  let bytes = 0;
  let crc = 0;
  return {
    update: (chunk) => {
      bytes += chunk.length;
      crc = crc32(chunk, crc);
      sha256?.update(chunk);
    },
    written: () => ({
      bytes,
      crc32: crc.toString(16).padStart(8, "0"),
      ...(sha256 && { sha256: sha256.copy().digest("hex") }),
    }),
  };
}

/**
 * The SHA-256 of bytes, in hexadecimal.
 *
 * @param bytes Such as a manifest's.
 */
export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * A saving from what a store can do, with the rules that hold in every store: names, order, and nothing left of failures.
 *
 * @param writer The store's own steps.
 * @returns The saving.
 */
export function savingOf(writer: Writer): Saving {
  const names = new Set<string>();
  let state: "ready" | "busy" | "over" = "ready";
  let underWay: Promise<unknown> = Promise.resolve();

  async function run<F, A>(step: TE.TaskEither<F, A>, then: "ready" | "over"): Promise<E.Either<F, A>> {
    let done = false;
    try {
      const result = await step();
      done = E.isRight(result);
      return result;
    } finally {
      if (!done) await writer.discard();
      state = done ? then : "over";
    }
  }

  function begin<F, A>(step: TE.TaskEither<F, A>, then: "ready" | "over"): TE.TaskEither<F, A> {
    return () => {
      if (state !== "ready") {
        const found = state === "busy" ? "one still under way: await it" : "a saving that is over: begin another";
        return Promise.reject(new TypeError(`Expected one step of a saving after the other, found ${found}`));
      }
      state = "busy";
      const result = run(step, then);
      underWay = result.catch(() => undefined);
      return result;
    };
  }

  function checkNew(name: string): void {
    if (names.has(name)) throw new TypeError(`Expected every part once, found ${name} twice: rename one`);
  }

  return {
    put: (name, chunks) => {
      checkPartName(name);
      return begin(() => {
        checkNew(name);
        names.add(name);
        return writer.put(name, chunks)();
      }, "ready");
    },
    reuse: (name, from) => {
      checkPartName(name);
      checkPartName(from.name);
      checkCheckpoint(from.checkpoint);
      return begin(async () => {
        checkNew(name);
        const reused = await writer.reuse(name, from)();
        if (E.isRight(reused) && reused.right) names.add(name);
        return reused;
      }, "ready");
    },
    commit: (manifest, after) => begin(writer.commit(manifest, after), "over"),
    ...(writer.looks !== undefined && { looks: writer.looks }),
    ...(writer.seen && { seen: writer.seen }),
    abort: async () => {
      await underWay;
      if (state !== "ready") return;
      state = "over";
      await writer.discard();
    },
  };
}

// --- combinators

const forbidden = /[\p{Cc}\\:*?"<>|]/u;

function isFileName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !forbidden.test(name) && name.isWellFormed() &&
    new TextEncoder().encode(name).length <= 255;
}

/**
 * Whether a part may have this name: a file name, or a folder's and a file's, that every file system takes.
 *
 * @param name Such as `model.safetensors` or `state/optimizer.safetensors`.
 * @returns False for what is empty, leads out of its folder, is more than two levels deep or is the manifest's own name.
 */
export function isPartName(name: string): boolean {
  const levels = name.split("/");
  return levels.length <= 2 && levels.every(isFileName) && name !== manifestName;
}

/**
 * Sees that a part may have this name; it is a `TypeError` if not.
 *
 * @param name The name.
 */
export function checkPartName(name: string): void {
  if (!isPartName(name)) {
    throw new TypeError(
      `Expected a part's name such as "state/rng.safetensors", found ${JSON.stringify(name)}: encode it`,
    );
  }
}

/**
 * Sees that this is a store; it is a `TypeError` if not.
 *
 * @param store What a runner was given.
 * @param option The option that it was given as, if it was one.
 */
export function checkStore(store: Store, option?: string): void {
  const found: unknown = store;
  if (Object(found)._tag === "Store") return;
  const name = option === undefined ? "the store" : `\`${option}\``;
  const made = typeof found === "string" && found !== "" ? `directory(${shown(found)})` : 'directory("runs/digits")';
  const remedy = option === undefined
    ? `write ${made} there, and what it saves or loads after it, as in saveState(${made})(components)`
    : `write ${option.split(".").at(-1)}: ${made}`;
  throw new TypeError(
    `Expected ${name} to be a store such as directory("runs/digits"), found ${shown(found)}: ${remedy}`,
  );
}

const optionNames = { keep: true, digest: true } satisfies OptionNames<StoreOptions>;

/**
 * Sees that these are options of a store; it is a `TypeError` if not: a misspelt `keep` would keep everything.
 *
 * @param options What a constructor of stores was given.
 */
export function checkOptions(options: StoreOptions): void {
  checkOptionNames("a store", options, optionNames);
  const { keep, digest } = options;
  if (keep !== undefined) {
    demand(
      "keep",
      must("a policy such as Retention.latest(3)", (u) => typeof u === "function"),
      keep,
    );
  }
  if (digest !== undefined) demand("digest", oneOf("crc32", "sha256"), digest);
}

/**
 * Sees that this can be a checkpoint's number; it is a `TypeError` if not.
 *
 * @param checkpoint The number.
 */
export function checkCheckpoint(checkpoint: number): void {
  if (!Number.isSafeInteger(checkpoint) || checkpoint < 0) {
    throw new TypeError(`Expected a checkpoint's number, a whole one from 0, found ${checkpoint}: list the store's`);
  }
}

/**
 * Sees that a chunk is bytes; it is a `TypeError` if not.
 *
 * @param chunk What came out of a part's chunks.
 * @returns The chunk.
 */
export function checkedChunk(chunk: Uint8Array): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError(`Expected chunks of type Uint8Array, found ${typeof chunk}: make a view of its bytes`);
}

/**
 * Sees that a read stays within a part; a position that is no whole number from 0 is a `TypeError`.
 *
 * @param bytes The part's length.
 * @param path The part's name in messages.
 * @param into The array to be filled.
 * @param position Where to read from.
 * @returns The failure with code `ETRUNC` if the part ends before the array is full.
 */
export function checkRange(bytes: number, path: string, into: Uint8Array, position: number): StoreFailed | undefined {
  if (!Number.isSafeInteger(position) || position < 0) {
    throw new TypeError(
      `Expected a position that is a whole number from 0, found ${position}: count bytes from the start`,
    );
  }
  const end = position + into.length;
  return end <= bytes
    ? undefined
    : storeFailed("read", path, "ETRUNC", `expected ${end} bytes or more, found ${bytes}`);
}
