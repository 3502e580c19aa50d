/**
 * Which checkpoints a folder holds, though they come and go while one looks.
 *
 * @module
 */

import { join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Disk } from "./disk.ts";
import type { StoreFailed } from "./errors.ts";
import { unless } from "./folders.ts";
import { claimedIn, emptyingName } from "./leftovers.ts";
import { manifestName } from "./store.ts";

// --- types

/** What was seen of a folder. */
export interface Seen {
  readonly names: readonly string[];
  /** The number of the newest checkpoint, -1 if there is none. */
  readonly newest: number;
  /** The numbers among the names from one on up to that of the newest checkpoint, ascending. */
  readonly numbersFrom: (first: number) => readonly number[];
  /** The numbers that saves had claims on when the names began to be listed. */
  readonly claims: readonly number[];
}

/** Names that were listed, after what claims there were. */
type Listed = Pick<Seen, "names" | "claims">;

/** Milliseconds after a change of a folder within which another one may have the same time: FAT counts two seconds, others less. */
const clockTick = 2000;

/** How many checkpoints are looked at side by side. */
const sideBySide = 64;

// --- names

/** The name of a checkpoint's folder. */
export function folderName(checkpoint: number): string {
  return `checkpoint_${checkpoint}`;
}

const prefix = "checkpoint_";
const [zero, nine] = ["0".charCodeAt(0), "9".charCodeAt(0)];

/** The number in the name of a checkpoint's folder; undefined for any other name, and for other spellings of a number. */
export function numberIn(name: string): number | undefined {
  if (!name.startsWith(prefix) || name.length === prefix.length) return undefined;
  // Digit by digit: of a large folder's names this is most of the work.
  let number = 0;
  for (let i = prefix.length; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code < zero || code > nine || (number === 0 && i > prefix.length)) return undefined;
    number = 10 * number + (code - zero);
  }
  return Number.isSafeInteger(number) ? number : undefined;
}

// --- reading

/**
 * Whether there is a checkpoint of a number. A folder comes to its name by one rename, with its manifest in it: one that has
 * other files and no manifest is a checkpoint that was damaged, and must not be passed over in silence; unless it is marked as one that is
 * being removed in place, which is looked for first: the mark goes last.
 */
export function isCommitted(disk: Disk, parent: string, checkpoint: number): TE.TaskEither<StoreFailed, boolean> {
  return pipe(
    disk.status(join(parent, folderName(checkpoint), manifestName)),
    TE.map(() => true),
    unless(["ENOENT", "ENOTDIR"], () =>
      pipe(
        disk.status(join(parent, emptyingName(folderName(checkpoint)))),
        TE.map(() => false),
        unless(["ENOENT", "ENOTDIR"], () =>
          pipe(
            disk.names(join(parent, folderName(checkpoint))),
            TE.map((names) => names.length > 0),
          )),
        unless(["ENOENT", "ENOTDIR"], () => TE.right(false)),
      )),
  );
}

/**
 * The names in a folder at an instant: listed once where it is seen that nothing was changed meanwhile, else until two listings show the same. A large folder is listed
 * piece by piece: a listing may miss a checkpoint that is removed before its piece is read, and also the newer one that it is removed for,
 * whose piece has been read already.
 */
function steadyNames(disk: Disk, parent: string, probe?: string): TE.TaskEither<StoreFailed, Listed> {
  // The claims of the listing before: one that is gone since has become a checkpoint, which is among the names.
  const again = (before: readonly string[]): TE.TaskEither<StoreFailed, Listed> =>
    pipe(
      disk.names(parent),
      TE.flatMap((names) => isSame(before, names) ? TE.right({ names, claims: claimsIn(before) }) : again(names)),
    );
  return pipe(
    TE.fromIO(Date.now),
    TE.bindTo("begun"),
    TE.bind("before", () => disk.status(parent)),
    TE.bind("past", ({ before }) => probe === undefined ? TE.right(false) : isPast(disk, probe, before.modified)),
    TE.bind("names", () => disk.names(parent)),
    TE.flatMap(({ begun, before, past, names }) =>
      before.modified >= begun - clockTick && !past ? again(names) : pipe(
        disk.status(parent),
        TE.flatMap((after) =>
          before.modified === after.modified ? TE.right({ names, claims: claimsIn(names) }) : again(names)
        ),
      )
    ),
  );
}

/** How often the clock of the disk is looked at before a listing, a millisecond apart. */
const looksAtClock = 8;

/**
 * Whether the clock of the disk is past a time by now, or is so in a moment: then whatever changes from now on has a later time.
 *
 * @param probe An own folder on that disk, to be changed.
 */
function isPast(
  disk: Disk,
  probe: string,
  time: number,
  looks: number = looksAtClock,
): TE.TaskEither<StoreFailed, boolean> {
  const mark = join(probe, "now");
  return pipe(
    disk.makeFolder(mark),
    TE.flatMap(() => disk.status(probe)),
    TE.tap(() => disk.removeFolder(mark)),
    TE.flatMap(({ modified }) => {
      if (modified > time || looks === 1) return TE.right(modified > time);
      return pipe(
        TE.fromTask(() => new Promise((resolve) => setTimeout(resolve, 1))),
        TE.flatMap(() => isPast(disk, probe, time, looks - 1)),
      );
    }),
    // Then it is listed twice.
    TE.orElse(() => TE.right(false)),
  );
}

/** Whether two listings show the same checkpoints, all names of which are compared first: that is faster. */
function isSame(before: readonly string[], names: readonly string[]): boolean {
  if (before.length === names.length && names.every((name, i) => name === before[i])) return true;
  const [some, others] = [numbersIn(before), numbersIn(names)];
  return some.length === others.length && others.every((number, i) => number === some[i]);
}

function numbersIn(names: readonly string[]): readonly number[] {
  return ascending(unsorted(names));
}

/** Numbers in the order in which they were listed. */
function unsorted(names: readonly string[]): Float64Array {
  const numbers = new Float64Array(names.length);
  let count = 0;
  for (const name of names) {
    const number = numberIn(name);
    if (number !== undefined) numbers[count++] = number;
  }
  return numbers.subarray(0, count);
}

/** The runtime sorts numbers alone several times as fast as values that might be anything. */
function ascending(numbers: Float64Array): readonly number[] {
  return [...numbers.toSorted()];
}

function claimsIn(names: readonly string[]): readonly number[] {
  return names.flatMap((name) => name.startsWith(".") ? claimedIn(name) ?? [] : []).sort((a, b) => a - b);
}

/**
 * Whether folders that turned out to be no checkpoints are still there. One that is not was a checkpoint, removed after
 * it was listed and before it was looked at, and the newer one it was removed for may not have been listed.
 */
function areThere(disk: Disk, parent: string, numbers: readonly number[]): TE.TaskEither<StoreFailed, boolean> {
  if (numbers.length === 0) return TE.right(true);
  return pipe(
    disk.names(parent),
    TE.map((names) => new Set(names)),
    TE.map((names) => numbers.every((number) => names.has(folderName(number)))),
  );
}

/** What these names say, once the highest number is that of a checkpoint; undefined if the names are out of date. */
function seenIn(disk: Disk, parent: string, listed: Listed): TE.TaskEither<StoreFailed, Seen | undefined> {
  return async () => {
    const numbers = unsorted(listed.names);
    let newest = numbers.reduce((highest, number) => Math.max(highest, number), -1);
    const passed: number[] = [];
    let lower: readonly number[] | undefined;
    while (newest >= 0) {
      const committed = await isCommitted(disk, parent, newest)();
      if (E.isLeft(committed)) return committed;
      if (committed.right) break;
      passed.push(newest);
      // In order only where that is of use: the highest is a checkpoint, as a rule.
      lower ??= ascending(numbers);
      newest = lower.at(-1 - passed.length) ?? -1;
    }
    const there = await areThere(disk, parent, passed)();
    if (E.isLeft(there)) return there;
    const numbersFrom = (first: number): readonly number[] =>
      ascending(numbers.filter((number) => number >= first && number <= newest));
    return E.right(there.right ? { ...listed, newest, numbersFrom } : undefined);
  };
}

/**
 * What is in a folder; of the numbers only those above the newest checkpoint's have been looked at.
 *
 * @param probe An own folder on that disk: with it a folder that was changed just now need not be listed twice, which is worth it for many names.
 */
export function lookIn(disk: Disk, parent: string, probe?: string): TE.TaskEither<StoreFailed, Seen> {
  return pipe(
    steadyNames(disk, parent, probe),
    TE.flatMap((listed) => seenIn(disk, parent, listed)),
    TE.flatMap((seen) => seen === undefined ? lookIn(disk, parent, probe) : TE.right(seen)),
  );
}

/**
 * The numbers that may have a checkpoint, ascending, of which only those above the newest checkpoint's have been looked at: the last one is
 * the newest's.
 */
export function candidatesIn(disk: Disk, parent: string): TE.TaskEither<StoreFailed, readonly number[]> {
  return pipe(
    lookIn(disk, parent),
    TE.map(({ numbersFrom }) => numbersFrom(0)),
    unless<readonly number[]>(["ENOENT"], () => TE.right([])),
  );
}

/** The committed numbers, ascending, each looked at. */
export function listIn(disk: Disk, parent: string): TE.TaskEither<StoreFailed, readonly number[]> {
  const committed = (numbers: readonly number[]): TE.TaskEither<StoreFailed, readonly number[]> => async () => {
    const [found, passed]: [number[], number[]] = [[], []];
    for (let at = 0; at < numbers.length; at += sideBySide) {
      const some = numbers.slice(at, at + sideBySide);
      const results = await Promise.all(some.map((number) => isCommitted(disk, parent, number)()));
      for (const [i, number] of some.entries()) {
        const result = results[i];
        if (result !== undefined && E.isLeft(result)) return result;
        (result?.right ? found : passed).push(number);
      }
    }
    const there = await areThere(disk, parent, passed)();
    if (E.isLeft(there)) return there;
    return there.right ? E.right(found) : await listIn(disk, parent)();
  };
  return pipe(
    steadyNames(disk, parent),
    TE.map(({ names }) => names),
    unless<readonly string[]>(["ENOENT"], () => TE.right([])),
    TE.flatMap((names) => committed(numbersIn(names))),
  );
}
