/**
 * Reading from a cursor: where reading starts for it, and the cursor after each item.
 *
 * @module
 */
import { check, type Cursor, cursorOf } from "./cursor.ts";
import { startOfPass } from "./derived_source.ts";
import { origin } from "./index_plan.ts";
import { type ItemIterator, items } from "./iterate.ts";
import { mismatchError, type Start } from "./stream_reader.ts";
import type { Loader } from "./types.ts";

// --- constructors

/** The cursor of a position in a loader's source. */
function cursorAt({ source }: Loader<unknown>, { at, length, mark }: Start): Cursor {
  const { seed, fingerprint } = source;
  const { epoch, position } = at;
  return cursorOf({ seed, epoch, position, length, fingerprint, ...(mark === undefined ? {} : { mark }) });
}

/** The cursor before a loader's first item. */
export function startCursor(loader: Loader<unknown>): Cursor {
  const { source, plan } = loader;
  return cursorAt(loader, { ...startOfPass(loader), at: plan(source.length ?? Infinity).after(origin, 0) });
}

// --- combinators

/** A loader's items from a cursor on, each with the cursor after it. The first read rejects if the data is not that of the cursor. */
export function readFrom<A>(loader: Loader<A>, cursor: Cursor): ItemIterator<readonly [A, Cursor]> {
  return iterateFrom(loader, () => startAt(loader, cursor));
}

/** As {@link readFrom}, from a position. */
export function iterateFrom<A>(loader: Loader<A>, from: () => Start): ItemIterator<readonly [A, Cursor]> {
  return items(loader, from, (item, after) => [item, cursorAt(loader, after)] as const);
}

/** Where reading starts for a cursor, if the loader's data is that of the cursor. */
function startAt(loader: Loader<unknown>, cursor: Cursor): Start {
  const first = startCursor(loader);
  const problems = check(first, cursor);
  if (problems.length > 0) throw mismatchError(problems);
  const { epoch, position, length, mark } = cursor;
  // At its own start a stream is read from the beginning: only reading shows how far a skip reaches.
  const isFirst = first.epoch === epoch && first.position === position;
  return { at: isFirst ? origin : { epoch, position }, length, mark };
}
