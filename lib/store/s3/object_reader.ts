/**
 * Reads objects: whole, or a range of one.
 *
 * A read that is cut or stalls resumes where it ended, with `Range`, and with `If-Match` so that all bytes are of one version of the object.
 * If the object was overwritten meanwhile, it is read again from the start.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../../errors/mod.ts";
import type { Answer, Connection } from "./request.ts";
import type { Fault } from "./s3_errors.ts";

// --- types

/** What to read of an object, and where to put it. */
interface Download {
  readonly key: string;
  readonly first: number;
  /** The last byte; undefined for all of them. */
  readonly last?: number;
  /** The most bytes to read. */
  readonly most?: number;
  /** Takes the next bytes: at first those of offset 0 in what is read. */
  readonly sink: (bytes: Uint8Array, offset: number) => void;
}

// --- constructors

/** The number of bytes in the body of an answer; undefined if the server does not say. */
function bytesIn(answer: Answer, first: number, last: number | undefined, isRange: boolean): number | undefined {
  const length = answer.headers.get("content-length");
  if (!isRange) return length === null ? undefined : Number(length);
  const found = answer.headers.get("content-range");
  const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(found ?? "") ?? [];
  if (answer.status !== 206 || Number(from) !== first) {
    return answer.fail("otherRange", `status ${answer.status}, ${found ?? "no Content-Range"}`);
  }
  const ends = last ?? Number(total) - 1;
  if (Number(to) < ends && Number(to) + 1 === Number(total)) return answer.fail("short", tooShort(ends + 1, total));
  if (Number(to) !== ends) return answer.fail("otherRange", `${found}`);
  return ends - first + 1;
}

function tooShort(expected: number, found: string | undefined): string {
  return `expected ${expected} bytes or more, found ${found}`;
}

/** Gives the memory of a piece back at once: the collector comes late, because a piece is small for it. Node 20 cannot. */
function free({ buffer, length }: Uint8Array): void {
  if (buffer.byteLength === length && "transfer" in buffer) buffer.transfer(0);
}

/** Reads bytes of an object; gives how many. */
function download(
  connection: Connection,
  { key, first, last, most = Infinity, sink }: Download,
): Promise<E.Either<Fault, number>> {
  let got = 0;
  let etag: string | null = null;

  async function attempt(): Promise<E.Either<Fault, number>> {
    const from = first + got;
    const isRange = from > 0 || last !== undefined;
    const headers = {
      ...(isRange && { range: `bytes=${from}-${last ?? ""}` }),
      ...(got > 0 && etag !== null && { "if-match": etag }),
    };
    const result = await connection.exchange({ operation: "read", method: "GET", key, headers }, async (answer) => {
      const bytes = bytesIn(answer, from, last, isRange);
      const end = bytes === undefined ? Infinity : got + bytes;
      if (got > 0 && etag !== answer.headers.get("etag")) return answer.fail("exists", "", { status: 412 });
      etag = answer.headers.get("etag");
      for (let piece = await answer.next(); piece !== undefined; piece = await answer.next()) {
        if (got + piece.length > most) return answer.fail("long", `more than ${most} bytes`);
        if (got + piece.length > end) return answer.fail("otherRange", `more than ${bytes} bytes`);
        sink(piece, got);
        got += piece.length;
        free(piece);
      }
      return got < end && bytes !== undefined ? answer.fail("cut", `after ${got} of ${end} bytes`) : got;
    });
    if (E.isRight(result) || result.left.status !== 412) return result;
    got = 0;
    return E.left({ ...result.left, isTransient: true });
  }

  return connection.retried(attempt, () => got);
}

/** Whether a failure says that an object does not exist. */
export function isAbsent({ failed }: Fault): boolean {
  return failed.code === "ENOENT";
}

/** The left of a store. */
export function orFailed<A>(result: E.Either<Fault, A>): E.Either<StoreFailed, A> {
  return E.isLeft(result) ? E.left(result.left.failed) : result;
}

/**
 * Reads a whole object; undefined if there is none.
 *
 * @param key Its key.
 * @param most The most bytes; a longer object is a failure with code `EFBIG`.
 */
export function getObject(
  connection: Connection,
  key: string,
  most: number = Infinity,
): TE.TaskEither<StoreFailed, Uint8Array | undefined> {
  return async () => {
    let bytes = new Uint8Array(0);
    const read = await download(connection, {
      key,
      first: 0,
      most,
      sink: (piece, offset) => {
        if (offset + piece.length > bytes.length) {
          const larger = new Uint8Array(Math.max(offset + piece.length, 2 * offset, 4096));
          larger.set(bytes.subarray(0, offset));
          bytes = larger;
        }
        bytes.set(piece, offset);
      },
    });
    if (E.isRight(read)) return E.right(bytes.slice(0, read.right));
    return isAbsent(read.left) ? E.right(undefined) : orFailed(read);
  };
}

/** The length of an object. */
export function lengthOf(connection: Connection, key: string): Promise<E.Either<Fault, number>> {
  return connection.send(
    { operation: "read", method: "HEAD", key },
    (answer) => Promise.resolve(Number(answer.headers.get("content-length"))),
  );
}

/**
 * Fills an array from a position in an object.
 *
 * @param key Its key; a missing object is a failure with code `ENOENT`, one that is too short `ETRUNC`.
 */
export function readInto(
  connection: Connection,
  key: string,
  into: Uint8Array,
  position: number,
): TE.TaskEither<StoreFailed, void> {
  return async () => {
    if (into.length === 0) return orFailed(E.map(() => undefined)(await lengthOf(connection, key)));
    const result = await connection.inTurn(() =>
      download(connection, {
        key,
        first: position,
        last: position + into.length - 1,
        sink: (piece, offset) => into.set(piece, offset),
      })
    );
    return orFailed(E.map(() => undefined)(result));
  };
}
