/**
 * The status of a checkpoint: its entry, the space it shares, and whether it is intact.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { entryOf, inOrder, notAFile, type ReadError, readManifest, verifyCheckpoint } from "../checkpoint/mod.ts";
import type { NoCheckpoint, Problem } from "../errors/mod.ts";
import type { Entry, Store } from "../store/mod.ts";
import type { CommandTask } from "./arguments.ts";
import type { NamedCheckpoint } from "./reference.ts";
import { type Bar, type Terminal, withBar } from "./terminal.ts";

// --- types

/**
 * Whether a checkpoint is intact. `complete`: the manifest is intact and every file has its length. `verified`: every byte is as committed.
 * `damaged`: something is not. `newer`: a later version of dogear wrote it. `unreadable`: the store refused to read it.
 */
export type Verdict = "complete" | "verified" | "damaged" | "newer" | "unreadable";

/** The status of a checkpoint, for a command with a further verdict `V` or error `X`. */
export interface CheckpointStatus<V = never, X = never> {
  readonly checkpoint: number;
  /** Its entry; null if its manifest cannot be read. */
  readonly entry: Entry | null;
  /** The checkpoint before it, which is of another run where it forked; null if there is none, or it cannot be read. */
  readonly parent?: number | null;
  /** How many of its bytes are in files that other checkpoints link too; null if unknown. */
  readonly shared: number | null;
  readonly verdict: Verdict | V;
  /** Why it is neither complete nor verified. */
  readonly error: ReadError | X | null;
}

/** Statuses, which are read as they are asked for. */
export type Statuses = AsyncIterable<CheckpointStatus>;

type Facts = Omit<CheckpointStatus, "verdict" | "error">;

type NamedLength = { readonly name: string; readonly bytes: number };

type LengthCheck = Pick<CheckpointStatus, "shared" | "error">;

// --- constructors

const verdicts: Readonly<Record<Exclude<ReadError["_tag"], "NoCheckpoint">, Verdict>> = {
  Damaged: "damaged",
  NewerFormat: "newer",
  StoreFailed: "unreadable",
};

/** The status of a checkpoint with an error or without. A checkpoint that does not exist has none. */
function statusOf(known: Facts, error: ReadError | null, verified: boolean): E.Either<NoCheckpoint, CheckpointStatus> {
  if (error === null) return E.right({ ...known, verdict: verified ? "verified" : "complete", error });
  return error._tag === "NoCheckpoint" ? E.left(error) : E.right({ ...known, verdict: verdicts[error._tag], error });
}

/** Length and, where the store knows it, links of a file. */
function fileStatus(store: Store, checkpoint: number, name: string) {
  return store.status?.(checkpoint, name) ?? pipe(
    store.open(checkpoint, name),
    TE.tapTask(({ close }) => close),
    TE.map(({ bytes }) => ({ bytes, links: undefined })),
  );
}

/** Compares the lengths of a checkpoint's files with its manifest, and counts the bytes in shared files. */
async function checkLengths(store: Store, checkpoint: number, files: readonly NamedLength[]): Promise<LengthCheck> {
  const problems: Problem[] = [];
  let shared: number | null = 0;
  for (const { name, bytes } of files) {
    const status = await fileStatus(store, checkpoint, name)();
    if (E.isLeft(status)) {
      const { left: error } = status;
      if (error._tag === "NoCheckpoint" || !notAFile.includes(error.code)) return { shared: null, error };
      problems.push({ path: name, kind: "missing", expected: `a file of ${bytes} bytes`, found: "none" });
    } else if (status.right.bytes !== bytes) {
      problems.push({ path: name, kind: "length", expected: `${bytes} bytes`, found: `${status.right.bytes}` });
    } else if (status.right.links === undefined) shared = null;
    else if (status.right.links > 1 && shared !== null) shared += bytes;
  }
  return { shared, error: problems.length > 0 ? { _tag: "Damaged", checkpoint, problems } : null };
}

/**
 * The status of a checkpoint.
 *
 * @param store Its store.
 * @param checkpoint Its number.
 * @param verify Whether to read every byte, or only the manifest and the lengths of the files.
 * @param bar Draws the progress of reading every byte.
 * @returns The status, also of a damaged checkpoint; `NoCheckpoint` if it does not exist.
 */
export function checkpointStatus(
  store: Store,
  checkpoint: number,
  verify: boolean,
  bar?: Bar,
): CommandTask<CheckpointStatus> {
  return async () => {
    const manifest = await readManifest(store, checkpoint)();
    if (E.isLeft(manifest)) return statusOf({ checkpoint, entry: null, shared: null }, manifest.left, verify);
    const { shared, error } = await checkLengths(store, checkpoint, manifest.right.files);
    const { parent } = manifest.right;
    const known = { checkpoint, entry: entryOf(checkpoint, manifest.right), parent, shared };
    // Every byte is read even if a length is wrong, to find all of the damage.
    const isRead = verify && (error === null || error._tag === "Damaged");
    const read = isRead ? await verifyCheckpoint(store, checkpoint, bar)() : E.right(undefined);
    return statusOf(known, E.isLeft(read) ? read.left : error, verify);
  };
}

/**
 * The status of each of some checkpoints, in their order. Those that do not exist are left out: they were removed meanwhile, or their folder
 * never became a checkpoint.
 *
 * @param store Their store.
 * @param numbers Their numbers.
 * @param verify Whether to read every byte of them.
 */
export async function* checkpointStatuses(store: Store, numbers: readonly number[], verify: boolean): Statuses {
  for await (const [, status] of inOrder(numbers, (n) => checkpointStatus(store, n, verify)())) {
    if (E.isRight(status)) yield status.right;
  }
}

/**
 * Verifies files of a checkpoint, with a progress bar.
 *
 * @param at The checkpoint.
 * @param terminal Where to draw the bar.
 * @param only The names of the files; all files if it is undefined.
 */
export function verifyFiles(at: NamedCheckpoint, terminal: Terminal, only?: ReadonlySet<string>): CommandTask<unknown> {
  const label = `checking checkpoint ${at.checkpoint}`;
  return withBar(terminal, label, (bar) => {
    return verifyCheckpoint(at.store, at.checkpoint, bar, ({ name }) => only?.has(name) ?? true);
  });
}

// --- showing

/** Whether a checkpoint has an error that fails a command. */
export function isBad({ verdict }: CheckpointStatus): boolean {
  return verdict === "damaged" || verdict === "unreadable";
}

/** Colours a verdict: red for an error, green for verified. */
export function colourVerdict({ paint }: Terminal): (verdict: string) => string {
  return (verdict) => verdict === "complete" ? verdict : paint(verdict === "verified" ? "green" : "red", verdict);
}

/** A status as JSON. */
export function statusJson(status: CheckpointStatus<unknown, unknown>): Record<string, unknown> {
  const { checkpoint, entry, shared, verdict, error } = status;
  const { step = null, metrics = {}, note = null, time = null, bytes = null, run = null } = entry ?? {};
  return { checkpoint, step, metrics, note, time, bytes, shared, run, verdict, error };
}
