/**
 * Names of what a save or a removal uses temporarily in a folder of checkpoints.
 *
 * ```text
 * .saving-<process>-<random>        the temporary folder of a save, or a reservation that reserves no number yet
 * .number-<n>                       a reservation of number n; the folder in it names its owner
 * .removing-<process>-<random>      a checkpoint that is being removed
 * .emptying-checkpoint_<n>          the mark that checkpoint n is being removed in place, because it cannot be renamed
 * ```
 *
 * @module
 */

import { randomBytes } from "node:crypto";

// --- types

/** The owner of a reservation. */
export interface Owner {
  /** The name of the owner's temporary folder, as it was first. */
  readonly folder: string;
  /** The key of its run; undefined if the save follows no checkpoint. */
  readonly key: string | undefined;
}

// --- names

/** A new name, which no other save or removal of any process uses. */
export function temporaryName(purpose: "saving" | "removing", processId: string): string {
  return `.${purpose}-${processId}-${randomBytes(6).toString("hex")}`;
}

const temporary = /^\.(saving|removing)-([0-9a-z.]+)-[0-9a-f]+$/;

/** The process in the name of a save's temporary folder; undefined for other names. */
export function savingProcess(name: string): string | undefined {
  const [, purpose, processId] = temporary.exec(name) ?? [];
  return purpose === "saving" ? processId : undefined;
}

/** The name of the reservation of a number. */
export function reservationName(number: number): string {
  return `.number-${number}`;
}

const reservation = /^\.number-(0|[1-9][0-9]*)$/;

/** The number in the name of a reservation; undefined for other names. */
export function reservedNumber(name: string): number | undefined {
  const digits = reservation.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The path of a temporary folder after its save has moved the reservation to another number. */
export function movedPath(folder: string, number: number): string {
  return `${folder}${number.toString(16)}`;
}

/** The name of the folder in a reservation, which identifies the owner. */
export function ownerName({ folder, key }: Owner): string {
  return key === undefined ? folder : `${folder}-${key}`;
}

/** The owner that a folder in a reservation names; undefined for other names. */
export function ownerOf(name: string): Owner | undefined {
  const [, folder, key] = /^(\.saving-[0-9a-z.]+-[0-9a-f]+)(?:-([0-9a-f]{16}))?$/.exec(name) ?? [];
  return folder === undefined ? undefined : { folder, key };
}

/** The name of the mark that a checkpoint's folder is being removed in place. */
export function removalMark(folder: string): string {
  return `.emptying-${folder}`;
}

const markPattern = /^\.emptying-(checkpoint_[0-9]+)$/;

/** The folder that a removal mark is for; undefined for other names. */
export function markedFolder(name: string): string | undefined {
  return markPattern.exec(name)?.[1];
}

/** Whether a name is one of these. */
export function isTemporary(name: string): boolean {
  return [temporary, reservation, markPattern].some((known) => known.test(name));
}
