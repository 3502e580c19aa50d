/**
 * What there is to say of each checkpoint without reading its tensors.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { entryOf } from "../catalogue.ts";
import { type ReadError, readManifest } from "../checkpoint.ts";
import type { NoCheckpoint, Problem, StoreFailed } from "../errors.ts";
import { inOrder } from "../in_order.ts";
import type { Manifest } from "../manifest.ts";
import { notAFile } from "../tensor_files.ts";
import { verifyCheckpoint } from "../verify.ts";
import type { Progress } from "../progress.ts";
import type { Entry } from "../retention.ts";
import type { PartStatus, Store } from "../store.ts";

// --- types

/**
 * What is known of a checkpoint's bytes: `complete`: the manifest is whole, and every file there with its length; `verified`: every byte is what
 * was committed; `damaged`: it is not; `newer`: a later version wrote it; `unreadable`: the store would not let it be read.
 */
export type Verdict = "complete" | "verified" | "damaged" | "newer" | "unreadable";

/** One checkpoint in a few words. */
export interface Summary {
  readonly checkpoint: number;
  /** What the catalogue says of it; null where its manifest cannot be read. */
  readonly entry: Entry | null;
  /** How many of its bytes other checkpoints have, too, so that they take up their space once; null where nobody knows. */
  readonly shared: number | null;
  readonly verdict: Verdict;
  /** Why it is neither complete nor verified. */
  readonly error: ReadError | null;
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

const verdicts: Readonly<Record<Exclude<ReadError["_tag"], "NoCheckpoint">, Verdict>> = {
  Damaged: "damaged",
  NewerFormat: "newer",
  StoreFailed: "unreadable",
};

/** The summary of a checkpoint with an error; there is none of one that is not there. */
function faulty(summary: Omit<Summary, "verdict" | "error">, error: ReadError): E.Either<NoCheckpoint, Summary> {
  return error._tag === "NoCheckpoint" ? E.left(error) : E.right({ ...summary, verdict: verdicts[error._tag], error });
}

/** What lengths and links of a checkpoint's files tell. */
async function looked(
  store: Store,
  checkpoint: number,
  manifest: Manifest,
): Promise<E.Either<NoCheckpoint, Summary>> {
  const problems: Problem[] = [];
  let shared: number | null = 0;
  for (const { name, bytes } of manifest.files) {
    const status = await partStatus(store, checkpoint, name)();
    if (E.isLeft(status)) {
      if (status.left._tag === "NoCheckpoint" || !notAFile.includes(status.left.code)) {
        return faulty({ checkpoint, entry: entryOf(checkpoint, manifest), shared: null }, status.left);
      }
      problems.push({ path: name, kind: "missing", expected: `a file of ${bytes} bytes`, found: "none" });
    } else if (status.right.bytes !== bytes) {
      problems.push({ path: name, kind: "length", expected: `${bytes} bytes`, found: `${status.right.bytes}` });
    } else if (status.right.links === undefined) shared = null;
    else if (status.right.links > 1 && shared !== null) shared += bytes;
  }
  const summary = { checkpoint, entry: entryOf(checkpoint, manifest), shared };
  return problems.length > 0
    ? faulty(summary, { _tag: "Damaged", checkpoint, problems })
    : E.right({ ...summary, verdict: "complete", error: null });
}

/**
 * One checkpoint in a few words.
 *
 * @param store Where it is.
 * @param checkpoint Its number.
 * @param verify Whether to read every byte of it, or its manifest and the lengths of its files.
 * @param onProgress Told after each piece that is read.
 * @returns The summary, of a damaged one, too; or that it is not there.
 */
export function summarize(
  store: Store,
  checkpoint: number,
  verify: boolean,
  onProgress?: (progress: Progress) => void,
): TaskEither<NoCheckpoint, Summary> {
  return async () => {
    const manifest = await readManifest(store, checkpoint)();
    if (E.isLeft(manifest)) return faulty({ checkpoint, entry: null, shared: null }, manifest.left);
    const summary = await looked(store, checkpoint, manifest.right);
    if (E.isLeft(summary) || summary.right.error?._tag === "StoreFailed" || !verify) return summary;
    const read = await verifyCheckpoint(store, checkpoint, onProgress)();
    const { entry, shared } = summary.right;
    if (E.isLeft(read)) return faulty({ checkpoint, entry, shared }, read.left);
    return E.right({ checkpoint, entry, shared, verdict: "verified", error: null });
  };
}

/**
 * Checkpoints in a few words, as they are asked for. What turns out not to be there is passed over: it is no checkpoint, or was removed since.
 *
 * @param store Where they are.
 * @param checkpoints Their numbers.
 * @param verify Whether to read every byte of them.
 */
export async function* summaries(
  store: Store,
  checkpoints: readonly number[],
  verify: boolean,
): AsyncGenerator<Summary> {
  for await (const [, summary] of inOrder(checkpoints, (n) => summarize(store, n, verify)())) {
    if (E.isRight(summary)) yield summary.right;
  }
}
