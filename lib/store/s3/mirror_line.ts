/**
 * The checkpoints of a local and a remote store, compared: what both have, what only the local one has, and what another machine has overtaken.
 *
 * The remote decides. Uploads come in order, and each one checks that the remote's newest checkpoint is still the one that the local store knows. So where
 * the newest checkpoint that both have is the same, all before it is one line.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import { Buffer } from "node:buffer";
import { candidates, readSummary } from "../../checkpoint/mod.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { sha256Of, type Store } from "../mod.ts";

// --- types

/** What the two stores have. */
export interface MirrorLine {
  readonly local: readonly number[];
  readonly remote: readonly number[];
  /** The newest checkpoint of the remote, -1 if it has none. */
  readonly base: number;
  /** The checkpoints of the local store that another machine has overtaken. They can never be uploaded. */
  readonly lost: ReadonlySet<number>;
}

/** What is compared. */
export interface Compared {
  readonly local: Store;
  readonly remote: Store;
  /** The SHA-256 of the manifests that this process has sent: an answer that was lost says nothing of what the remote has. */
  readonly sent: ReadonlyMap<number, string>;
}

// --- constructors

/**
 * Whether a number is the same checkpoint in both stores; undefined if the remote's is not what this process sent under it, and has removed since. One that
 * cannot be decoded, or was removed meanwhile, is no other checkpoint.
 */
async function isSame(
  { local, remote, sent }: Compared,
  checkpoint: number,
): Promise<E.Either<StoreFailed, boolean | undefined>> {
  const [own, theirs] = await Promise.all([local.manifest(checkpoint)(), remote.manifest(checkpoint)()]);
  if (E.isLeft(theirs)) return theirs.left._tag === "StoreFailed" ? E.left(theirs.left) : E.right(true);
  const known = sent.get(checkpoint);
  if (E.isLeft(own)) return E.right(known === undefined || known === sha256Of(theirs.right) || undefined);
  if (Buffer.compare(own.right, theirs.right) === 0) return E.right(true);
  return E.right(E.isLeft(await readSummary(local, checkpoint)()));
}

/** The newest checkpoint that is the same in both, -1 if there is none, and the lowest one above it that is another one in the remote. */
async function lineEnd(
  stores: Compared,
  common: readonly number[],
): Promise<E.Either<StoreFailed, { readonly last: number; readonly different: number }>> {
  let different = Infinity;
  for (const checkpoint of common.toReversed()) {
    const same = await isSame(stores, checkpoint);
    if (E.isLeft(same)) return same;
    if (same.right === true) return E.right({ last: checkpoint, different });
    if (same.right === false) different = checkpoint;
  }
  return E.right({ last: -1, different });
}

/** Whether the remote has one of these checkpoints in the run of a local one, saved after its parent. */
async function isOvertaken(
  { local, remote }: Compared,
  checkpoint: number,
  numbers: readonly number[],
): Promise<E.Either<StoreFailed, boolean>> {
  const own = await readSummary(local, checkpoint)();
  if (E.isLeft(own)) return E.right(false);
  const { run, parent } = own.right;
  for (const number of numbers.toReversed()) {
    if (number <= (parent ?? -1)) break;
    const theirs = await readSummary(remote, number)();
    if (E.isLeft(theirs) && theirs.left._tag === "StoreFailed") return E.left(theirs.left);
    if (E.isRight(theirs) && theirs.right.run === run) return E.right(true);
  }
  return E.right(false);
}

/**
 * Compares two stores. It reads both lists and, in most cases, one manifest of each.
 *
 * The local checkpoint that follows the newest common one tells whether the remote's newer ones are of another line. Retention keeps it for that.
 *
 * @param stores The stores, and what was sent.
 */
export function compareStores(stores: Compared): TE.TaskEither<StoreFailed, MirrorLine> {
  const { local, remote, sent } = stores;
  return async () => {
    const [own, theirs] = await Promise.all([candidates(local)(), candidates(remote)()]);
    if (E.isLeft(own)) return own;
    if (E.isLeft(theirs)) return theirs;
    const base = theirs.right.at(-1) ?? -1;
    const known = new Set([...own.right, ...sent.keys()]);
    const end = await lineEnd(stores, theirs.right.filter((number) => known.has(number)));
    if (E.isLeft(end)) return end;
    const { last, different } = end.right;
    const next = own.right.find((number) => number > last);
    let from = different;
    if (last < base && next !== undefined && next < different) {
      const overtaken = await isOvertaken(stores, next, theirs.right.filter((number) => number > last));
      if (E.isLeft(overtaken)) return overtaken;
      if (overtaken.right) from = next;
    }
    const lost = new Set(own.right.filter((number) => number >= from));
    return E.right({ local: own.right, remote: theirs.right, base, lost });
  };
}

/** The numbers of both stores without those that are lost, ascending. */
export function numbersOf({ local, remote, lost }: MirrorLine): readonly number[] {
  return [...new Set([...local.filter((number) => !lost.has(number)), ...remote])].sort((a, b) => a - b);
}
