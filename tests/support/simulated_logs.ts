/**
 * Logs in memory, and processes that write them and are killed, or lose power, at any operation.
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import * as IOE from "fp-ts/lib/IOEither.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../../lib/errors/mod.ts";
import { logReader } from "../../lib/logs/mod.ts";
import { newLocationState } from "../../lib/store/location.ts";
import { storeFailed } from "../../lib/store/mod.ts";
import type { LogFile, LogFiles } from "../../lib/trackers/log_file.ts";
import type { Store } from "../../mod.ts";

// --- types

/** A process that dies at its n-th operation. */
export interface Process {
  /** An operation of it: throws once it is dead. */
  readonly live: () => void;
  readonly files: LogFiles;
  /** A store as this process opens it. */
  readonly open: (store: Store) => Store;
}

/** Files that outlive processes. */
export interface Disk {
  /**
   * Starts a process.
   *
   * @param operations After how many operations it dies.
   * @param chance Numbers from 0 to 1: whether power is lost, and how much of what was not durable is.
   */
  readonly start: (operations?: number, chance?: () => number) => Process;
  /** The files by their names. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A point of a curve: step, name, value. */
export type Point = readonly [step: number, name: string, value: number];

// --- constructors

interface Contents {
  durable: Uint8Array;
  now: Uint8Array;
}

function written(bytes: Uint8Array, position: number, piece: Uint8Array): Uint8Array {
  const all = new Uint8Array(Math.max(bytes.length, position + piece.length));
  all.set(bytes);
  all.set(piece, position);
  return all;
}

/** An empty disk. */
export function disk(): Disk {
  const contents = new Map<string, Contents>();
  const losePower = (chance: () => number): void => {
    for (const one of contents.values()) {
      const { durable, now } = one;
      // Appended bytes reach the disk from the front; a cut reaches it or not.
      const kept = durable.length + Math.floor(chance() * (now.length - durable.length + 1));
      one.now = now.length >= durable.length ? now.slice(0, kept) : chance() < 0.5 ? durable : now;
      one.durable = one.now;
    }
  };
  const start: Disk["start"] = (operations = Infinity, chance = () => 0) => {
    let left = operations;
    const live = (): void => {
      if (left === 0) throw new Error("this process is dead");
      if (--left === 0) {
        if (chance() < 0.5) losePower(chance);
        throw new Error("this process was killed");
      }
    };
    const operation = <A>(name: string, path: string, run: () => A): TE.TaskEither<StoreFailed, A> =>
      TE.fromIOEither(IOE.tryCatch(() => {
        live();
        return run();
      }, (cause) => storeFailed(name, path, "EIO", String(cause))));
    const file = (path: string, one: Contents): LogFile => ({
      length: TE.fromIO(() => one.now.length),
      read: (into, position) =>
        operation("read", path, () => {
          const piece = one.now.subarray(position, position + into.length);
          into.set(piece);
          return piece.length;
        }),
      write: (bytes, position) => async () => {
        // A write is in pieces, after each of which the process may die.
        const most = Math.max(1, Math.floor(chance() * bytes.length));
        const piece = bytes.slice(0, most);
        return await operation("write", path, () => {
          one.now = written(one.now, position, piece);
          return most;
        })();
      },
      cut: (bytes) => operation("cut", path, () => void (one.now = one.now.slice(0, bytes))),
      sync: operation("sync", path, () => void (one.durable = one.now)),
      close: TE.right(undefined),
    });
    const state = newLocationState();
    return {
      live,
      files: {
        open: (path) =>
          operation("open", path, () => {
            const one = contents.get(path);
            return one && file(path, one);
          }),
        create: (path) =>
          operation("create", path, () => {
            const one: Contents = { durable: new Uint8Array(0), now: new Uint8Array(0) };
            contents.set(path, one);
            return file(path, one);
          }),
      },
      open: (store) => ({
        ...store,
        place: () => state,
        begin: pipe(
          operation("begin", "memory", () => {}),
          TE.flatMap(() => store.begin),
          TE.map((saving) => ({
            ...saving,
            commit: (manifest, condition) =>
              pipe(
                operation("commit", "memory", () => {}),
                TE.flatMap(() => saving.commit(manifest, condition)),
                TE.tap(() => operation("commit", "memory", () => {})),
              ),
          })),
        ),
      }),
    };
  };
  return {
    start,
    get files() {
      return new Map([...contents].map(([path, { now }]) => [path, now]));
    },
  };
}

// --- combinators

/** The points of a log, in the order of its lines. What follows its last line end is no line. */
export function pointsOf(bytes: Uint8Array): readonly Point[] {
  return logReader()(bytes).flatMap(({ record }): readonly Point[] => {
    if (record?._tag === "Values") {
      const { step, values } = record;
      return Object.entries(values).map(([name, value]) => [step, name, value] as const);
    }
    return record?._tag === "Histogram"
      ? [[record.step, `${record.histogram.name} ${record.histogram.limits}`, record.histogram.sum]]
      : [];
  });
}
