/**
 * Lists the checkpoints in a folder while other processes save and remove.
 *
 * The system reads a large folder in pieces, so one listing can miss two checkpoints: one that is removed before its piece is read, and the
 * newer one that replaced it, if the piece of that one was read before. So a listing counts only if the folder did not change meanwhile
 * (its time of modification is the same before and after, and older than a tick of the file system's clock), or if the next listing shows
 * the same checkpoints.
 *
 * @module
 */

import { join } from "node:path";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as RA from "fp-ts/lib/ReadonlyArray.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { isAbsent, means, plainCode } from "./answers.ts";
import type { FileSystem } from "./file_system.ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { unless } from "./folder_ops.ts";
import { removalMark, reservedNumber } from "./temporary.ts";
import { manifestName, storeFailed } from "../mod.ts";

// --- types

/** A consistent listing of a folder of checkpoints. */
export interface Listing {
  readonly names: readonly string[];
  /** The number of the newest checkpoint, -1 if the folder has none. */
  readonly newest: number;
  /** The numbers in the names, from a first one up to the newest checkpoint, in ascending order. */
  readonly numbersFrom: (first: number) => readonly number[];
  /** The numbers that were reserved when the listing began, in ascending order. */
  readonly reservations: readonly number[];
}

/** The names in a folder at one instant, and the reservations just before. */
type NamesAtOnce = Pick<Listing, "names" | "reservations">;

/** The coarsest clock of a file system, in milliseconds: FAT counts in two seconds. Two changes within it may have the same time. */
const clockTick = 2000;

/** How many checkpoints are examined concurrently. */
const concurrency = 64;

// --- names

/** The name of a checkpoint's folder. */
export function folderName(checkpoint: number): string {
  return `checkpoint_${checkpoint}`;
}

const prefix = "checkpoint_";
const [zero, nine] = ["0".charCodeAt(0), "9".charCodeAt(0)];

/** The number in the name of a checkpoint's folder; undefined for other names, and for other spellings of a number such as `05`. */
export function numberIn(name: string): number | undefined {
  if (!name.startsWith(prefix) || name.length === prefix.length) return undefined;
  // Digit by digit: this is most of the work on the names of a large folder.
  let number = 0;
  for (let i = prefix.length; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code < zero || code > nine || (number === 0 && i > prefix.length)) return undefined;
    number = 10 * number + (code - zero);
  }
  return Number.isSafeInteger(number) ? number : undefined;
}

/** The numbers in the names, in the order of the names. */
function numbersInOrder(names: readonly string[]): Float64Array {
  const numbers = new Float64Array(names.length);
  let count = 0;
  for (const name of names) {
    const number = numberIn(name);
    if (number !== undefined) numbers[count++] = number;
  }
  return numbers.subarray(0, count);
}

/** The numbers in the names, sorted: a typed array is sorted several times faster than an array. */
function checkpointsIn(names: readonly string[]): readonly number[] {
  return [...numbersInOrder(names).sort()];
}

function reservationsIn(names: readonly string[]): readonly number[] {
  return names.flatMap((name) => name.startsWith(".") ? reservedNumber(name) ?? [] : []).sort((a, b) => a - b);
}

/** Whether two listings show the same checkpoints. Equal names are the usual case, and faster to find out. */
function haveSameCheckpoints(before: readonly string[], names: readonly string[]): boolean {
  if (before.length === names.length && names.every((name, i) => name === before[i])) return true;
  return String(checkpointsIn(before)) === String(checkpointsIn(names));
}

// --- one checkpoint

/**
 * Whether a number has a checkpoint: a folder with a manifest. A folder with other files but no manifest is a damaged checkpoint, and must
 * not be skipped silently, because the commit renames a folder with its manifest. The exception is a folder that is being removed in place.
 * Its mark is examined before its files, because the mark is removed last.
 */
export function isCommitted(fs: FileSystem, parent: string, checkpoint: number): TE.TaskEither<StoreFailed, boolean> {
  const folder = folderName(checkpoint);
  return pipe(
    fs.status(join(parent, folder, manifestName)),
    TE.map(() => true),
    unless(isAbsent("status"), () =>
      pipe(
        fs.status(join(parent, removalMark(folder))),
        TE.map(() => false),
        unless(isAbsent("status"), () => pipe(fs.names(join(parent, folder)), TE.map((names) => names.length > 0))),
        unless(isAbsent("names"), () => TE.right(false)),
      )),
  );
}

/** Whether a name exists. The status of a broken link is missing, but the link exists. */
function isThere(fs: FileSystem, path: string): TE.TaskEither<StoreFailed, boolean> {
  const target = fs.linkTarget?.(path) ?? TE.left(storeFailed("look at", path, plainCode.missing, "no links"));
  return pipe(
    fs.status(path),
    TE.map(() => true),
    unless(
      isAbsent("status"),
      () => pipe(target, TE.map(() => true), TE.orElse((failed) => TE.right(!isAbsent("linkTarget")(failed)))),
    ),
  );
}

/**
 * Whether folders that turned out to be no checkpoints still exist. A missing one was a checkpoint that was removed after the listing,
 * so that the listing may also lack the newer checkpoint that replaced it. Each is looked at, because a second listing may be as old: NFS
 * shows an old one for up to a minute.
 */
function doExist(fs: FileSystem, parent: string, numbers: readonly number[]): TE.TaskEither<StoreFailed, boolean> {
  return pipe(
    numbers,
    TE.traverseSeqArray((number) => isThere(fs, join(parent, folderName(number)))),
    TE.map((exist) => exist.every((one) => one)),
  );
}

/** The most repetitions of a listing that is out of date. With their pauses they take longer than NFS shows an old one. */
const mostRepetitions = 150;

/** Repeats a listing that is out of date, after longer and longer pauses. */
function untilPresent<A>(
  fs: FileSystem,
  parent: string,
  listed: TE.TaskEither<StoreFailed, A | undefined>,
  repetitions = 0,
): TE.TaskEither<StoreFailed, A> {
  const wait = fs.wait ?? ((milliseconds: number) => new Promise<void>((done) => setTimeout(done, milliseconds)));
  const old = storeFailed("list", parent, "ESTALE", "it shows checkpoints that another machine has removed");
  return pipe(
    listed,
    TE.flatMap((found) => {
      if (found !== undefined) return TE.right(found);
      if (repetitions === mostRepetitions) return TE.left(old);
      const pause = TE.fromTask(() => repetitions === 0 ? Promise.resolve() : wait(10 * repetitions));
      return pipe(pause, TE.flatMap(() => untilPresent(fs, parent, listed, repetitions + 1)));
    }),
  );
}

// --- names at one instant

/** Lists a folder once if it did not change meanwhile, else until two listings show the same checkpoints. */
function namesAtOnce(fs: FileSystem, parent: string, probe?: string): TE.TaskEither<StoreFailed, NamesAtOnce> {
  // The reservations of the earlier listing: one that is missing in the later one has become a checkpoint, which is among the names.
  const untilSame = (before: readonly string[]): TE.TaskEither<StoreFailed, NamesAtOnce> =>
    pipe(
      fs.names(parent),
      TE.flatMap((names) =>
        haveSameCheckpoints(before, names)
          ? TE.right({ names, reservations: reservationsIn(before) })
          : untilSame(names)
      ),
    );
  return pipe(
    TE.fromIO(Date.now),
    TE.bindTo("begun"),
    TE.bind("before", () => fs.status(parent)),
    TE.bind("past", ({ before }) => probe === undefined ? TE.right(false) : isPast(fs, probe, before.modified)),
    TE.bind("names", () => fs.names(parent)),
    TE.flatMap(({ begun, before, past, names }) =>
      before.modified >= begun - clockTick && !past ? untilSame(names) : pipe(
        fs.status(parent),
        TE.flatMap((after) =>
          before.modified === after.modified
            ? TE.right({ names, reservations: reservationsIn(names) })
            : untilSame(names)
        ),
      )
    ),
  );
}

/** How often the file system's clock is read before a listing, one millisecond apart. */
const clockReadings = 8;

/**
 * Whether the file system's clock is past a time, now or within a few milliseconds. Then every later change has a later time.
 *
 * @param probe A folder of this process on the file system, which is changed to read the clock.
 */
function isPast(
  fs: FileSystem,
  probe: string,
  time: number,
  readings = clockReadings,
): TE.TaskEither<StoreFailed, boolean> {
  const inner = join(probe, "now");
  return pipe(
    fs.makeFolder(inner),
    TE.flatMap(() => fs.status(probe)),
    TE.tap(() => fs.removeFolder(inner)),
    TE.flatMap(({ modified }) => {
      if (modified > time || readings === 1) return TE.right(modified > time);
      return pipe(
        TE.fromTask(() => new Promise((resolve) => setTimeout(resolve, 1))),
        TE.flatMap(() => isPast(fs, probe, time, readings - 1)),
      );
    }),
    // Without the time, the folder is listed twice.
    TE.orElse(() => TE.right(false)),
  );
}

// --- combinators

/** Completes a listing by finding the newest checkpoint; undefined if the names are out of date. */
function listingOf(
  fs: FileSystem,
  parent: string,
  listed: NamesAtOnce,
): TE.TaskEither<StoreFailed, Listing | undefined> {
  return async () => {
    const numbers = numbersInOrder(listed.names);
    const highestBelow = (bound: number): number =>
      numbers.reduce((highest, number) => number < bound ? Math.max(highest, number) : highest, -1);
    let newest = highestBelow(Infinity);
    const uncommitted: number[] = [];
    while (newest >= 0) {
      const committed = await isCommitted(fs, parent, newest)();
      if (E.isLeft(committed)) return committed;
      if (committed.right) break;
      uncommitted.push(newest);
      newest = highestBelow(newest);
    }
    const numbersFrom = (first: number): readonly number[] => [
      ...numbers.filter((number) => number >= first && number <= newest).sort(),
    ];
    return pipe(
      await doExist(fs, parent, uncommitted)(),
      E.map((exist) => exist ? { ...listed, newest, numbersFrom } : undefined),
    );
  };
}

/**
 * Lists a folder of checkpoints. Of the numbers, only the newest checkpoint and those above it are examined.
 *
 * @param fs The file system.
 * @param parent The folder.
 * @param probe A folder of this process on the same file system. With it, a folder that has just changed is listed once instead of twice,
 * which is faster for many names.
 */
export function readListing(fs: FileSystem, parent: string, probe?: string): TE.TaskEither<StoreFailed, Listing> {
  const listed = pipe(namesAtOnce(fs, parent, probe), TE.flatMap((names) => listingOf(fs, parent, names)));
  return untilPresent(fs, parent, listed);
}

/** The numbers that may have a checkpoint, in ascending order. Only the last one has been examined: it is the newest checkpoint. */
export function listCandidates(fs: FileSystem, parent: string): TE.TaskEither<StoreFailed, readonly number[]> {
  return pipe(
    readListing(fs, parent),
    TE.map(({ numbersFrom }) => numbersFrom(0)),
    unless<readonly number[]>(means("missing", "names", "status"), () => TE.right([])),
  );
}

/** Those of some numbers that have a checkpoint; undefined if the numbers are out of date. */
function committedOf(
  fs: FileSystem,
  parent: string,
  numbers: readonly number[],
): TE.TaskEither<StoreFailed, readonly number[] | undefined> {
  return pipe(
    RA.chunksOf(concurrency)(numbers),
    TE.traverseSeqArray(TE.traverseArray((number) => isCommitted(fs, parent, number))),
    TE.map((committed) => committed.flat()),
    TE.flatMap((committed) =>
      pipe(
        doExist(fs, parent, numbers.filter((_, i) => !committed[i])),
        TE.map((exist) => exist ? numbers.filter((_, i) => committed[i]) : undefined),
      )
    ),
  );
}

/** The numbers of the checkpoints, in ascending order, each examined. */
export function listCheckpoints(fs: FileSystem, parent: string): TE.TaskEither<StoreFailed, readonly number[]> {
  const listed = pipe(
    namesAtOnce(fs, parent),
    TE.map(({ names }) => names),
    unless<readonly string[]>(means("missing", "names", "status"), () => TE.right([])),
    TE.flatMap((names) => committedOf(fs, parent, checkpointsIn(names))),
  );
  return untilPresent(fs, parent, listed);
}
