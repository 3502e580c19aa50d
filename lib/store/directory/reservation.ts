/**
 * The reservation of a number by a save that is being committed.
 *
 * A reservation is a folder. Its name is the number, so that only one save can have it, and the folder in it names the owner. The header of
 * the commit describes how reservations are used.
 *
 * @module
 */

import { join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as T from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { means } from "./answers.ts";
import type { FileSystem } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { done, ensureFolder, removeTree, renameOnce } from "./folder_ops.ts";
import { type Owner, ownerName, ownerOf, reservationName } from "./temporary.ts";
import type { Listing } from "./listing.ts";

// --- types

/** The reservation of one save. */
export interface Reservation {
  readonly fs: FileSystem;
  /** The folder of checkpoints. */
  readonly parent: string;
  /** Its path while it reserves no number. */
  readonly unused: string;
  readonly owner: Owner;
}

/** The number that a reservation reserves, if any. */
export type Reserved = number | undefined;

/** A reservation of another save of the same run. */
export interface Rival {
  readonly number: number;
  /** The first name of its temporary folder. */
  readonly folder: string;
}

// --- paths

function pathOf({ parent, unused }: Reservation, number: Reserved): string {
  return number === undefined ? unused : join(parent, reservationName(number));
}

/** The path of the folder that names the owner. */
export function ownerPath(reservation: Reservation, reserved: Reserved): string {
  return join(pathOf(reservation, reserved), ownerName(reservation.owner));
}

/** Whether a failure says that a reservation does not exist. */
const isReleased = means("missing", "makeFolder", "names");

const bypassMark = (number: number): string => `passed-${number}`;

/** The names in a folder, none if it cannot be read. */
function namesIn({ fs }: Reservation, path: string): Promise<readonly string[]> {
  return TE.getOrElse(() => T.of<readonly string[]>([]))(fs.names(path))();
}

// --- combinators

/** Makes the folders of a reservation, which reserves no number yet. */
export function makeReservation(reservation: Reservation): TE.TaskEither<StoreFailed, void> {
  const { fs, unused } = reservation;
  return pipe(ensureFolder(fs, unused), TE.flatMap(() => ensureFolder(fs, ownerPath(reservation, undefined))));
}

/** Moves a reservation to another number, if it still exists: one that was unchanged for an hour may have been removed as an orphan. */
export function moveReservation(
  reservation: Reservation,
  from: Reserved,
  to: Reserved,
): TE.TaskEither<StoreFailed, void> {
  const { fs } = reservation;
  const rename = renameOnce(fs, pathOf(reservation, from), pathOf(reservation, to), ownerPath(reservation, to));
  return from === undefined ? rename : pipe(fs.status(ownerPath(reservation, from)), TE.flatMap(() => rename));
}

/**
 * Releases a number. The reservation is renamed before it is removed, because other saves may put marks into it as long as it has the
 * number. What cannot be removed becomes an orphan when this process ends.
 */
export function releaseReservation(reservation: Reservation, reserved: Reserved): T.Task<void> {
  const { fs, unused } = reservation;
  const move = reserved === undefined ? done : moveReservation(reservation, reserved, undefined);
  return async () => {
    await pipe(move, TE.orElse(() => move))();
    await pipe(
      fs.removeFolder(ownerPath(reservation, undefined)),
      TE.flatMap(() => fs.removeFolder(unused)),
      TE.orElse(() => removeTree(fs, unused)),
    )();
  };
}

/** Whether another save has bypassed this reservation of a number. */
export async function isBypassed(reservation: Reservation, number: number): Promise<boolean> {
  return (await namesIn(reservation, ownerPath(reservation, number))).includes(bypassMark(number));
}

/** The names of the owners of a number, none if it is not reserved. */
export function ownersOf(reservation: Reservation, number: number): Promise<readonly string[]> {
  return namesIn(reservation, pathOf(reservation, number));
}

/** Marks the reservation of a number by other saves as bypassed; false if one of them has released it. */
export async function bypass(reservation: Reservation, number: number, owners: readonly string[]): Promise<boolean> {
  const path = pathOf(reservation, number);
  const marked = await Promise.all(
    owners.map((owner) => reservation.fs.makeFolder(join(path, owner, bypassMark(number)))()),
  );
  return !marked.some((mark) => E.isLeft(mark) && isReleased(mark.left));
}

/** The reservations of other saves of the run, ascending; undefined if one was released after the listing, perhaps by a commit. */
export async function rivalsOf(
  reservation: Reservation,
  reserved: Reserved,
  { reservations }: Listing,
): Promise<E.Either<StoreFailed, readonly Rival[] | undefined>> {
  const { fs, owner: { folder, key } } = reservation;
  const rivals: Rival[] = [];
  for (const number of reservations) {
    if (number === reserved) continue;
    const names = await fs.names(pathOf(reservation, number))();
    if (E.isLeft(names)) return isReleased(names.left) ? E.right(undefined) : names;
    for (const name of names.right) {
      const owner = ownerOf(name);
      if (owner !== undefined && owner.key === key && owner.folder !== folder) {
        rivals.push({ number, folder: owner.folder });
      }
    }
  }
  return E.right(rivals);
}
