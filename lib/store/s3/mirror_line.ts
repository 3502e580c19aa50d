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
import type { Store } from "../mod.ts";

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

// --- constructors

/**
 * Whether a number is the same checkpoint in both stores. One that cannot be decoded, or was removed meanwhile, is no other checkpoint.
 */
async function isSame(local: Store, remote: Store, checkpoint: number): Promise<E.Either<StoreFailed, boolean>> {
  const [own, theirs] = await Promise.all([local.manifest(checkpoint)(), remote.manifest(checkpoint)()]);
  if (E.isLeft(theirs)) return theirs.left._tag === "StoreFailed" ? E.left(theirs.left) : E.right(true);
  if (E.isLeft(own) || Buffer.compare(own.right, theirs.right) === 0) return E.right(true);
  return E.right(E.isLeft(await readSummary(local, checkpoint)()));
}

/** The lowest checkpoint that is another one in the remote. All local ones from there are lost. */
async function firstDifference(
  local: Store,
  remote: Store,
  common: readonly number[],
): Promise<E.Either<StoreFailed, number>> {
  let lowest = Infinity;
  for (const checkpoint of common.toReversed()) {
    const same = await isSame(local, remote, checkpoint);
    if (E.isLeft(same)) return same;
    if (same.right) break;
    lowest = checkpoint;
  }
  return E.right(lowest);
}

/** Whether the remote has a checkpoint of the same run that was saved after the parent of a local one. */
async function isOvertaken(
  local: Store,
  remote: Store,
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
 * @param local The local store.
 * @param remote The remote store.
 */
export function compareStores(local: Store, remote: Store): TE.TaskEither<StoreFailed, MirrorLine> {
  return async () => {
    const [own, theirs] = await Promise.all([candidates(local)(), candidates(remote)()]);
    if (E.isLeft(own)) return own;
    if (E.isLeft(theirs)) return theirs;
    const base = theirs.right.at(-1) ?? -1;
    const inRemote = new Set(theirs.right);
    const difference = await firstDifference(local, remote, own.right.filter((number) => inRemote.has(number)));
    if (E.isLeft(difference)) return difference;
    let from = difference.right;
    const next = own.right.find((number) => number > base);
    if (from === Infinity && next !== undefined && base >= 0 && !own.right.includes(base)) {
      const overtaken = await isOvertaken(local, remote, next, theirs.right);
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
