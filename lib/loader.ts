/**
 * Lazy loaders over arrays, indexed sources and streams: plain values, composed by functions, resumable at every item.
 *
 * A loader computes an item when it is asked for and never ahead. Each item comes with the cursor after it, and from that
 * cursor {@link from} gives the rest: the items and the cursors of a run that never stopped. A cursor counts source
 * samples, not items, so it also fits a loader that batches or shards the same data in another way.
 *
 * @module
 */
import { check, codec, type Cursor, cursorOf } from "./cursor.ts";
import { type CursorMismatch, type SourceFailed, toError } from "./errors.ts";
import { checked, type Loader, planned } from "./pipeline.ts";
import { origin, type Place, type Plan, skip as skipping } from "./plan.ts";
import { demand, integer, must } from "./rules.ts";
import type { Indexed, Opened, Source, Stream } from "./source.ts";

export { check, codec, type Cursor };
export {
  batch,
  fromArray,
  fromDataset,
  fromIndexed,
  fromIterable,
  type Loader,
  map,
  repeat,
  shard,
  shuffle,
  skip,
  type Skippable,
  type Skipped,
  take,
} from "./pipeline.ts";
export type { Dataset } from "./source.ts";

// --- constructors

/** The cursor of a place in a source; a stream's length is known once an epoch has been read to its end. */
function cursorAt(source: Source, { epoch, position }: Place, length: number | null): Cursor {
  return cursorOf({ seed: source.seed, epoch, position, length, fingerprint: source.fingerprint });
}

/** The rejection of data that is not the data the cursor was made on. */
function mismatched(problems: CursorMismatch["problems"]): Error {
  return toError({ _tag: "CursorMismatch", problems } satisfies CursorMismatch);
}

function wrongLength(expected: string, found: string): Error {
  return mismatched([{ path: "length", kind: "length", expected, found }]);
}

// --- capture and restore

/**
 * The cursor before a loader's first item.
 *
 * For a stream, what is skipped is taken to lie in its first epoch, whose length nobody knows yet.
 *
 * @param loader The loader.
 *
 * @example
 * ```ts
 * import { Loader, pipe, skip } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const loader = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.batch(2));
 * assert.equal(Loader.start(loader).position, 0);
 * assert.equal(Loader.start(pipe(loader, skip(2))).position, 4);
 * ```
 */
export function start(loader: Loader<unknown>): Cursor {
  const { source, plan } = checked("Loader.start", loader);
  return cursorAt(source, plan(source.length ?? Infinity).after(origin, 0), source.length);
}

/**
 * A loader's items, each with the cursor after it.
 *
 * @param loader The loader; it may be iterated any number of times.
 * @returns An async iterable. It rejects, as `runOrThrow` does, with the cause `SourceFailed` when the source or a mapped
 * function throws, and `CursorMismatch` when an epoch of a stream is longer or shorter than one before it.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const seen: unknown[] = [];
 * for await (const [batch, cursor] of Loader.iterate(pipe(Loader.fromArray([1, 2, 3]), Loader.batch(2)))) {
 *   seen.push([batch, cursor.epoch, cursor.position]);
 * }
 * assert.deepEqual(seen, [[[1, 2], 0, 2], [[3], 1, 0]]);
 * ```
 */
export function iterate<A>(loader: Loader<A>): AsyncIterable<readonly [A, Cursor]> {
  const { source, plan } = checked("Loader.iterate", loader);
  return { [Symbol.asyncIterator]: () => read(source, plan, origin, source.length) };
}

/**
 * A loader's items from a cursor on: what a run that never stopped would see after it, and the same cursors.
 *
 * The loader may batch, shard or repeat otherwise than the one that made the cursor, as long as its source and shuffle are
 * the same: of the samples after the cursor, each one comes exactly once. A loader that ends before the cursor, such as
 * one with fewer epochs, has nothing left to give.
 *
 * @param cursor A cursor of {@link start} or of an iteration.
 * @returns A function to the async iterable of {@link iterate}. It rejects with the cause `CursorMismatch`, listing every
 * difference, when the data is not the data the cursor was made on.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const data = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6, 7]), Loader.shuffle(42));
 * const seen: number[] = [];
 * let cursor = Loader.start(data);
 * for await (const [batch, after] of Loader.iterate(pipe(data, Loader.batch(3)))) {
 *   seen.push(...batch);
 *   cursor = after;
 *   break;
 * }
 * for await (const [batch] of Loader.from(cursor)(pipe(data, Loader.batch(2)))) seen.push(...batch);
 * assert.deepEqual(seen.toSorted(), [1, 2, 3, 4, 5, 6, 7]);
 * ```
 */
export function from(cursor: Cursor): <A>(loader: Loader<A>) => AsyncIterable<readonly [A, Cursor]> {
  demand("the cursor of Loader.from", must("a cursor of Loader.start or of an iteration", codec.is), cursor);
  return (loader) => {
    checked("Loader.from", loader);
    return { [Symbol.asyncIterator]: () => resumed(loader, cursor) };
  };
}

async function* resumed<A>(loader: Loader<A>, cursor: Cursor): AsyncGenerator<readonly [A, Cursor], void> {
  const begin = start(loader);
  const problems = check(begin, cursor);
  if (problems.length > 0) throw mismatched(problems);
  // A stream is entered at its own start from the front: how far a skip reaches is known only by reading.
  const place = begin.epoch === cursor.epoch && begin.position === cursor.position ? origin : cursor;
  yield* read(loader.source, loader.plan, place, cursor.length);
}

// --- combinators

/**
 * One item: which batch did step 41,203 see?
 *
 * @param n The item's number from 0, counted across epochs where the loader repeats.
 * @returns A promise. It rejects with a `TypeError` if the loader has no such item, else as {@link iterate} does.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const batches = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2), Loader.repeat());
 * assert.deepEqual(await Loader.at(41_203)(batches), [3, 4]);
 * ```
 */
export function at(n: number): <A>(loader: Loader<A>) => Promise<A> {
  demand("n of Loader.at", integer(0), n);
  return async <A>(loader: Loader<A>): Promise<A> => {
    for await (const [item] of iterate(planned<A, A>("Loader.at", skipping(n))(loader))) return item;
    throw new TypeError(`Expected n of Loader.at to be below the number of items, found ${n}: count from 0`);
  };
}

/**
 * How many items a loader has: Infinity if it never ends, null for a stream, which does not know.
 *
 * @param loader The loader.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Loader.length(pipe(Loader.fromArray([1, 2, 3]), Loader.batch(2, { dropLast: true }))), 1);
 * ```
 */
export function length(loader: Loader<unknown>): number | null {
  const { source, plan } = checked("Loader.length", loader);
  return source.length === null ? null : plan(source.length).length(origin);
}

/**
 * The items from a place on.
 *
 * @param source Where the samples come from.
 * @param plan Where the items lie, for a source of a given length.
 * @param from A place that the plan gave out.
 * @param length The samples in an epoch, or null for a stream of which no epoch has been read to its end.
 */
function read<A>(
  source: Source,
  plan: (length: number) => Plan<A>,
  from: Place,
  length: number | null,
): AsyncGenerator<readonly [A, Cursor], void> {
  return source._tag === "Indexed"
    ? readIndexed(source, plan(source.length), from)
    : readStream(source, plan, from, length);
}

/** Runs the user's code: what it throws is the data's failure, after the last whole item. */
async function guarded<A>({ epoch, position }: Place, run: () => A | Promise<A>): Promise<A> {
  try {
    return await run();
  } catch (cause) {
    throw toError({ _tag: "SourceFailed", cause, epoch, position } satisfies SourceFailed);
  }
}

function ended(plan: Plan<unknown>, place: Place): boolean {
  return place.epoch >= plan.epochs || plan.length(place) === 0;
}

async function* readIndexed<A>(
  source: Indexed,
  plan: Plan<A>,
  from: Place,
): AsyncGenerator<readonly [A, Cursor], void> {
  for (let place = plan.after(from, 0); !ended(plan, place);) {
    const item = await guarded(place, plan.at(place, 0, (sample) => () => source.at(sample)));
    place = plan.after(place, 1);
    yield [item, cursorAt(source, place, source.length)];
  }
}

/**
 * Reads a stream as if its length were known, which at first is taken to be infinite: when an epoch ends before a sample
 * that an item needs, that was the length, and the item is planned anew with the samples already pulled.
 */
async function* readStream<A>(
  source: Stream,
  plan: (length: number) => Plan<A>,
  from: Place,
  known: number | null,
): AsyncGenerator<readonly [A, Cursor], void> {
  let [place, length] = [from, known];
  const reader = readerOf(source, (run) => guarded(place, run));
  try {
    for (;;) {
      const now = plan(length ?? Infinity);
      if (ended(now, place)) return await reader.leave(length);
      const samples: Place[] = [];
      const item = now.at(place, 0, (sample) => {
        samples.push(sample);
        return () => reader.use(sample);
      });
      const after = now.after(place, 1);
      const end = await reader.reach(length === null ? proof(samples, place, after, now.needs) : samples, length);
      if (end === null) {
        const value = await guarded(place, item);
        reader.drop();
        place = after;
        yield [value, cursorAt(source, place, length)];
      } else {
        const least = end.epoch > place.epoch ? now.needs : place.position;
        if (length !== null) throw wrongLength(String(length), String(end.position));
        if (end.position < least) throw wrongLength(`at least ${least}`, String(end.position));
        length = end.position;
      }
    }
  } finally {
    reader.drop();
    await reader.close();
  }
}

/**
 * The samples of an item from a place on, and those whose existence decides where it ends: samples of other ranks, and, if
 * the item or its end lies in a later epoch, what the plan took for granted of this one.
 */
function proof(samples: readonly Place[], { epoch }: Place, after: Place, needs: number): readonly Place[] {
  const [here, later] = [samples.filter((s) => s.epoch === epoch), samples.filter((s) => s.epoch > epoch)];
  return [
    ...here,
    ...(after.epoch > epoch ? [{ epoch, position: needs - 1 }] : []),
    ...later,
    ...(after.position > 0 ? [{ epoch: after.epoch, position: after.position - 1 }] : []),
  ];
}

/** Pulls a stream's samples, in ascending order, and holds those of one item. */
interface Reader {
  /** Pulls these samples and holds them, or answers where an epoch ended before one of them. */
  readonly reach: (samples: readonly Place[], length: number | null) => Promise<Place | null>;
  /** A sample that is held, and no longer. */
  readonly use: (sample: Place) => unknown;
  /** Lets go of what is held. */
  readonly drop: () => void;
  /** Closes an epoch; one that was read as far as it is long must end there. */
  readonly leave: (length: number | null) => Promise<void>;
  readonly close: () => Promise<void>;
}

function readerOf(source: Stream, guard: <A>(run: () => A | Promise<A>) => Promise<A>): Reader {
  const held = new Map<string, unknown>();
  const key = ({ epoch, position }: Place): string => `${epoch}:${position}`;
  /** The epoch last begun, how many of its samples were pulled, and its iterator unless it ended or failed. */
  let [epoch, pulled, open]: [number, number, Opened | undefined] = [-1, 0, undefined];

  const next = async (): Promise<IteratorResult<unknown, unknown>> => {
    const iterator = open;
    open = undefined;
    const step = iterator === undefined ? over : await guard(() => iterator.next());
    if (!step.done) open = iterator;
    return step;
  };
  const close = async (): Promise<void> => {
    const iterator = open;
    open = undefined;
    await guard(() => iterator?.return?.());
  };
  const leave = async (length: number | null): Promise<void> => {
    if (pulled === length) {
      const step = await next();
      if (!step.done) {
        source.drop(step.value);
        throw wrongLength(String(length), `at least ${length + 1}`);
      }
    }
    await close();
  };
  const pull = async (sample: Place, length: number | null): Promise<boolean> => {
    if (sample.epoch !== epoch) {
      await leave(length);
      open = await guard(() => source.open(sample.epoch, epoch + 1));
      [epoch, pulled] = [sample.epoch, 0];
    }
    for (; pulled <= sample.position; pulled++) {
      const step = await next();
      if (step.done) return false;
      if (pulled === sample.position) held.set(key(sample), step.value);
      else source.drop(step.value);
    }
    return true;
  };
  return {
    reach: async (samples, length) => {
      for (const sample of samples) {
        if (!held.has(key(sample)) && !await pull(sample, length)) return { epoch, position: pulled };
      }
      return null;
    },
    use: (sample) => {
      const value = held.get(key(sample));
      held.delete(key(sample));
      return value;
    },
    drop: () => {
      held.forEach(source.drop);
      held.clear();
    },
    leave,
    close,
  };
}

const over: IteratorResult<unknown, unknown> = { done: true, value: undefined };
