/**
 * What there is to say of each checkpoint without reading its tensors.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { candidates, entryOf, inOrder } from "../catalogue.ts";
import { type ReadError, readManifest, verifyCheckpoint } from "../checkpoint.ts";
import type { LoadError, NoCheckpoint, Problem, StoreFailed } from "../errors.ts";
import type { Manifest } from "../manifest.ts";
import type { Progress } from "../progress.ts";
import type { Entry } from "../retention.ts";
import type { PartStatus, Store } from "../store.ts";

// --- types

/**
 * What is known of a checkpoint's bytes: `complete`: the manifest is whole, and every file there with its length; `verified`: every byte is what
 * was committed; `damaged`: it is not; `newer`: a later version wrote it.
 */
export type Verdict = "complete" | "verified" | "damaged" | "newer";

/** One checkpoint in a few words. */
export interface Summary {
  readonly checkpoint: number;
  /** What the catalogue says of it; null where its manifest cannot be read. */
  readonly entry: Entry | null;
  /** How many of its bytes other checkpoints have, too, and take up no space of their own; null where nobody knows. */
  readonly shared: number | null;
  readonly verdict: Verdict;
  readonly problems: readonly Problem[];
}

// --- constructors

/** Length and sharing of a part in any store. */
function partStatus(
  store: Store,
  checkpoint: number,
  name: string,
): TaskEither<StoreFailed | NoCheckpoint, Omit<PartStatus, "links"> & Partial<PartStatus>> {
  if (store.status !== undefined) return store.status(checkpoint, name);
  return async () => {
    const part = await store.open(checkpoint, name)();
    if (E.isRight(part)) await part.right.close();
    return E.map(({ bytes }: PartStatus) => ({ bytes }))(part as E.Either<StoreFailed | NoCheckpoint, PartStatus>);
  };
}

/** The verdict on a checkpoint that could not be read, and the same error where it says nothing about its bytes. */
function unread(checkpoint: number, error: ReadError): E.Either<ReadError, Summary> {
  const nothing = { checkpoint, entry: null, shared: null };
  if (error._tag === "Damaged") return E.right({ ...nothing, verdict: "damaged", problems: error.problems });
  return error._tag === "NewerFormat" ? E.right({ ...nothing, verdict: "newer", problems: [] }) : E.left(error);
}

async function lengths(store: Store, checkpoint: number, manifest: Manifest): Promise<E.Either<ReadError, Summary>> {
  const problems: Problem[] = [];
  let shared: number | null = 0;
  for (const { name, bytes } of manifest.files) {
    const status = await partStatus(store, checkpoint, name)();
    if (E.isLeft(status)) {
      if (status.left._tag === "NoCheckpoint" || !["ENOENT", "ENOTDIR", "EINVAL"].includes(status.left.code)) {
        return status;
      }
      problems.push({ path: name, kind: "missing", expected: `a file of ${bytes} bytes`, found: "none" });
    } else if (status.right.bytes !== bytes) {
      problems.push({ path: name, kind: "length", expected: `${bytes} bytes`, found: `${status.right.bytes}` });
    } else if (status.right.links === undefined) shared = null;
    else if (status.right.links > 1 && shared !== null) shared += bytes;
  }
  const verdict = problems.length > 0 ? "damaged" : "complete";
  return E.right({ checkpoint, entry: entryOf(checkpoint, manifest), shared, verdict, problems });
}

/**
 * One checkpoint in a few words.
 *
 * @param store Where it is.
 * @param checkpoint Its number.
 * @param verify Whether to read every byte of it.
 * @param onProgress Told after each piece that is read.
 * @returns The summary, of a damaged one, too; or why nothing can be said about it.
 */
export function summarize(
  store: Store,
  checkpoint: number,
  verify: boolean,
  onProgress?: (progress: Progress) => void,
): TaskEither<ReadError, Summary> {
  return async () => {
    const manifest = await readManifest(store, checkpoint)();
    if (E.isLeft(manifest)) return unread(checkpoint, manifest.left);
    const cheap = await lengths(store, checkpoint, manifest.right);
    if (E.isLeft(cheap) || !verify) return cheap;
    const read = await verifyCheckpoint(store, checkpoint, onProgress)();
    if (E.isRight(read)) return E.right({ ...cheap.right, verdict: "verified" });
    return read.left._tag === "Damaged"
      ? E.right({ ...cheap.right, verdict: "damaged", problems: read.left.problems })
      : read;
  };
}

/**
 * Every checkpoint of a store in a few words, the newest first, as they are asked for.
 *
 * @param store Which.
 * @param verify Whether to read every byte.
 */
export async function* summaries(store: Store, verify: boolean): AsyncGenerator<E.Either<LoadError, Summary>> {
  const numbers = await candidates(store)();
  if (E.isLeft(numbers)) return yield numbers;
  for await (const [, summary] of inOrder(numbers.right.toReversed(), (n) => summarize(store, n, verify)())) {
    // A number that has none, or one that was removed since: what remains is what there is.
    if (E.isRight(summary) || summary.left._tag !== "NoCheckpoint") yield summary;
  }
}
