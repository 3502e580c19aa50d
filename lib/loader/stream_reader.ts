/**
 * The stream reader: items of a stream from a position on, although the length of its epochs is unknown until one was read to its end.
 *
 * @module
 */
import * as t from "io-ts";
import type { Mark } from "./cursor.ts";
import { type CursorMismatch, type LoaderError, type SourceFailed, toError } from "../errors/mod.ts";
import {
  type IndexPlan,
  isPromise,
  itemAt,
  type MaybePromise,
  type SampleAccess,
  type SourcePosition,
} from "./index_plan.ts";
import type { OpenedEpochs, StreamEpoch, StreamSource } from "./source.ts";

// --- types

/** Where reading starts. */
export interface Start {
  readonly at: SourcePosition;
  /** Samples in an epoch; null for a stream of which no epoch was read to its end. */
  readonly length: number | null;
  readonly mark?: Mark | undefined;
}

/** An item whose samples were pulled, before it is computed. The reader calls either `run` or `drop`. */
export interface PulledItem<out A> {
  readonly before: SourcePosition;
  /** Where reading resumes after it. */
  readonly after: Start;
  readonly run: () => MaybePromise<A>;
  readonly drop: () => void;
}

/** Runs user code; an error in it becomes {@link SourceFailed} at the reader's position. */
type Guard = <A>(run: () => MaybePromise<A>) => Promise<A>;

type EpochReader = ReturnType<typeof epochReader>;
type SampleBuffer = ReturnType<typeof sampleBuffer>;

// --- constructors

/** The rejection for data that differs from the data of the cursor. */
export function mismatchError(problems: CursorMismatch["problems"]): Error {
  return toError({ _tag: "CursorMismatch", problems } satisfies CursorMismatch);
}

function lengthError(expected: string, found: string): Error {
  return mismatchError([{ path: "length", kind: "length", expected, found }]);
}

/** Wraps an error of user code as {@link SourceFailed} at the last complete item; errors of inner loaders pass through. */
export function sourceError({ epoch, position }: SourcePosition, thrown: unknown): Error {
  const inner = thrown instanceof Error ? thrown.cause as LoaderError | undefined : undefined;
  if (inner?._tag === "CursorMismatch") return thrown as Error;
  const cause = inner?._tag === "SourceFailed" ? inner.cause : thrown;
  return toError({ _tag: "SourceFailed", cause, epoch, position } satisfies SourceFailed);
}

/** Whether a plan has no item from a position on. */
export function isAtEnd(plan: IndexPlan<unknown>, at: SourcePosition): boolean {
  return at.epoch >= plan.epochs || plan.length(at) === 0;
}

const twoMarks = t.tuple([t.unknown, t.unknown]);

/** The two parts of a mark that holds two, or undefined for any other: a cursor may have been edited. */
export function markPair(mark: Mark | undefined): readonly [Mark, Mark] | undefined {
  return twoMarks.is(mark) ? mark as [Mark, Mark] : undefined;
}

const endOfEpoch: IteratorResult<unknown, unknown> = { done: true, value: undefined };

/**
 * Reads the epochs of a stream in ascending order, one sample at a time. In the epoch of `from` it starts after the samples before `from`, if
 * that has a mark.
 */
function epochReader(source: StreamSource, opened: OpenedEpochs, from: Start | undefined, guard: Guard) {
  /** The open epoch, -1 before the first, and how many of its samples were pulled. Changes with every call of `enter` and `next`. */
  const at = { epoch: -1, position: 0 };
  /** The iterator of the open epoch, until it ends or fails. */
  let iterator: StreamEpoch | undefined;
  let mark: Mark | undefined;
  /** Pulls the next sample of the open epoch. */
  const next = async (): Promise<IteratorResult<unknown, unknown>> => {
    const current = iterator;
    iterator = undefined;
    const step = current === undefined ? endOfEpoch : await guard(() => current.next());
    if (!step.done) {
      iterator = current;
      mark = current?.mark?.();
      at.position++;
    }
    return step;
  };
  const close = async (): Promise<void> => {
    const current = iterator;
    iterator = undefined;
    await guard(() => current?.return?.());
  };
  /** Closes the open epoch. If all `length` samples were pulled, it must end there. */
  const leave = async (length: number | null): Promise<void> => {
    if (at.position === length) {
      const step = await next();
      if (!step.done) {
        source.drop(step.value);
        throw lengthError(String(length), `at least ${length + 1}`);
      }
    }
    await close();
  };
  return {
    at: at as SourcePosition,
    next,
    /** Leaves the open epoch, and opens the one of this position. */
    enter: async ({ epoch }: SourcePosition, length: number | null): Promise<void> => {
      await leave(length);
      const [position, inner] = (from?.at.epoch === epoch ? markPair(from.mark) : undefined) ?? [0, undefined];
      iterator = await guard(() => source.open(epoch, opened, inner));
      mark = inner;
      Object.assign(at, { epoch, position });
    },
    /** The stream's mark of a position, if it is in the open epoch and no sample after it was pulled. */
    mark: ({ epoch, position }: SourcePosition): Mark | undefined =>
      mark === undefined || at.epoch !== epoch || at.position > position ? undefined : [at.position, mark],
    leave,
    close,
  };
}

function positionKey({ epoch, position }: SourcePosition): string {
  return `${epoch}:${position}`;
}

/** Pulled samples: those of the current item, and the first `reread` ones of each epoch, where they fill its last round. */
function sampleBuffer(source: StreamSource, reread: number) {
  const needed = new Map<string, unknown>();
  const first = new Map<string, { readonly epoch: number; readonly sample: unknown }>();
  const clear = (): void => {
    needed.forEach(source.drop);
    needed.clear();
  };
  return {
    has: (at: SourcePosition): boolean => needed.has(positionKey(at)) || first.has(positionKey(at)),
    /** Adds a pulled sample. One that the current item does not need is dropped, unless it is one of the first of its epoch. */
    add: (at: SourcePosition, sample: unknown, isNeeded: boolean): void => {
      const isFirst = at.position < reread;
      if (isFirst) first.set(positionKey(at), { epoch: at.epoch, sample });
      if (isNeeded) return void needed.set(positionKey(at), sample);
      if (!isFirst) source.drop(sample);
      // A skipped promise is awaited later or never, so its rejection is handled here.
      if (isPromise(sample)) sample.catch(() => {});
    },
    /** Adds a sample of an earlier epoch for the current item only. */
    addAgain: (at: SourcePosition, sample: unknown): void => void needed.set(positionKey(at), sample),
    /** Hands over the samples of an item and drops all others, except the first ones of the epochs from `next` on. */
    take: (item: readonly SourcePosition[], next: SourcePosition): SampleAccess & { readonly drop: () => void } => {
      const own = new Map<string, unknown>();
      for (const key of item.map(positionKey)) own.set(key, needed.has(key) ? needed.get(key) : first.get(key)?.sample);
      for (const key of own.keys()) needed.delete(key);
      clear();
      // The samples of the oldest epoch come first.
      for (const [key, { epoch }] of first) {
        if (epoch >= next.epoch) break;
        first.delete(key);
      }
      return {
        base: source.base ?? 0,
        at: (epoch, position) => own.get(positionKey({ epoch, position })),
        index: (_, position) => position,
        drop: () => item.forEach((at) => source.drop(own.get(positionKey(at)))),
      };
    },
    clear,
  };
}

// --- combinators

/**
 * The items of a stream from a position on.
 *
 * The plan of a loader needs the length of an epoch, which a stream does not know. The reader assumes that it is infinite. Where the stream
 * ends before a sample that an item needs, the length is known, and the same item is planned again; the samples pulled so far are kept.
 *
 * Example: a stream of 5 samples, `batch(2)`, `repeat(2)`. A sample is written as epoch:position.
 *
 * | reader at | length | the plan needs | read | result |
 * |---|---|---|---|---|
 * | 0:0 | ∞ | 0:0, 0:1 | 0:0, 0:1 | item of 2; reader at 0:2 |
 * | 0:2 | ∞ | 0:2, 0:3 | 0:2, 0:3 | item of 2; reader at 0:4 |
 * | 0:4 | ∞ | 0:4, 0:5 | 0:4, then the end | the length is 5: plan again |
 * | 0:4 | 5 | 0:4 | nothing, 0:4 is in the buffer | item of 1; reader at 1:0 |
 * | 1:0 | 5 | 1:0, 1:1 | opens epoch 1; 1:0, 1:1 | item of 2; reader at 1:2 |
 * | 1:2 | 5 | 1:2, 1:3 | 1:2, 1:3 | item of 2; reader at 1:4 |
 * | 1:4 | 5 | 1:4 | 1:4 | item of 1; reader at 2:0 |
 * | 2:0 | 5 | none, the pass has 2 epochs | the end of epoch 1: a sixth sample would reject with `CursorMismatch` | ends |
 *
 * With `repeat(2)` before `batch(2)`, the item planned again at 0:4 needs 0:4 and 1:0, and the reader is then at 1:1.
 */
export async function* readStream<A>(
  source: StreamSource,
  plan: (length: number) => IndexPlan<A>,
  from: Start,
  opened: OpenedEpochs,
): AsyncGenerator<PulledItem<A>, void> {
  let { at, length } = from;
  const { reread } = plan(length ?? Infinity);
  const guard: Guard = async (run) => {
    try {
      return await run();
    } catch (thrown) {
      throw sourceError(at, thrown);
    }
  };
  const epochs = epochReader(source, opened, reread > 0 ? undefined : from, guard);
  const buffer = sampleBuffer(source, reread);
  try {
    for (;;) {
      const current = plan(length ?? Infinity);
      if (isAtEnd(current, at)) return await epochs.leave(length);
      const samples = samplesAt(current, at);
      const after = current.after(at, 1);
      const required = length === null ? requiredSamples(samples, at, after, current.minSamples) : samples;
      const end = await pull(epochs, buffer, required, length) ??
        await pullAgain(source, opened, buffer, samples, guard);
      if (end !== null) {
        length = epochLength(end, at, length, current.minSamples);
        if (length === 0) await checkAllEmpty(epochs, buffer, at.epoch + 1, current.epochs);
        // The epoch ended right at the reader's position, so the item starts in the next epoch.
        if (end.epoch === at.epoch && at.position === length) at = { epoch: at.epoch + 1, position: 0 };
        continue;
      }
      const [before, own] = [at, buffer.take(samples, after)];
      at = after;
      yield {
        before,
        after: { at, length, mark: epochs.mark(at) },
        run: () => itemAt(current, before, 0, own),
        drop: own.drop,
      };
    }
  } finally {
    buffer.clear();
    await epochs.close();
  }
}

/** The positions of the samples of the item at a position, ascending. */
function samplesAt(plan: IndexPlan<unknown>, at: SourcePosition): readonly SourcePosition[] {
  const samples: SourcePosition[] = [];
  plan.visitSamples(at, 0, (epoch, position) => samples.push({ epoch, position }));
  return samples.sort((a, b) => a.epoch - b.epoch || a.position - b.position);
}

/**
 * The samples that must exist for a plan of unknown length to be right, ascending: those of the item, the last sample of other ranks before
 * the next item, and, where the item or its end is in a later epoch, the least samples that the plan assumes of this one.
 */
function requiredSamples(
  samples: readonly SourcePosition[],
  { epoch }: SourcePosition,
  after: SourcePosition,
  minSamples: number,
): readonly SourcePosition[] {
  return [
    ...samples.filter((sample) => sample.epoch === epoch),
    ...(after.epoch > epoch ? [{ epoch, position: minSamples - 1 }] : []),
    ...samples.filter((sample) => sample.epoch > epoch),
    ...(after.position > 0 ? [{ epoch: after.epoch, position: after.position - 1 }] : []),
  ];
}

/** Pulls samples, which must ascend, into the buffer. Returns where an epoch ended before one of them, or null. */
async function pull(
  epochs: EpochReader,
  buffer: SampleBuffer,
  samples: readonly SourcePosition[],
  length: number | null,
): Promise<SourcePosition | null> {
  for (const sample of samples) {
    // A sample of an earlier epoch that is not in the buffer is left to `pullAgain`.
    if (buffer.has(sample) || sample.epoch < epochs.at.epoch) continue;
    if (sample.epoch > epochs.at.epoch) await epochs.enter(sample, length);
    while (epochs.at.position <= sample.position) {
      const at = { ...epochs.at };
      const step = await epochs.next();
      if (step.done) return { epoch: sample.epoch, position: at.position };
      buffer.add(at, step.value, at.position === sample.position);
    }
  }
  return null;
}

/**
 * Reads samples of earlier epochs again that are no longer in the buffer: after a resume, the first samples of the epoch that fill its last
 * round. Returns where an epoch ended before one of them, or null.
 */
async function pullAgain(
  source: StreamSource,
  opened: OpenedEpochs,
  buffer: SampleBuffer,
  samples: readonly SourcePosition[],
  guard: Guard,
): Promise<SourcePosition | null> {
  const missing = samples.filter((sample) => !buffer.has(sample));
  for (const epoch of new Set(missing.map((sample) => sample.epoch))) {
    const positions = new Set(missing.filter((sample) => sample.epoch === epoch).map(({ position }) => position));
    const last = Math.max(...positions);
    const again = await guard(() => source.open(epoch, opened));
    try {
      for (let position = 0; position <= last; position++) {
        const step = await guard(() => again.next());
        if (step.done) return { epoch, position };
        if (positions.has(position)) buffer.addAgain({ epoch, position }, step.value);
        else source.drop(step.value);
      }
    } finally {
      await guard(() => again.return?.());
    }
  }
  return null;
}

/** The length of the epochs, from where one ended; a rejection if it contradicts what is known. */
function epochLength(end: SourcePosition, at: SourcePosition, known: number | null, minSamples: number): number {
  if (known !== null) throw lengthError(String(known), String(end.position));
  const least = end.epoch > at.epoch ? minSamples : at.position;
  if (end.position < least) throw lengthError(`at least ${least}`, String(end.position));
  return end.position;
}

/** How many epochs after an empty one are read, so that an endless stream of empty epochs ends. */
const epochsTried = 16;

/** Rejects if an epoch after an empty one has samples. */
async function checkAllEmpty(epochs: EpochReader, buffer: SampleBuffer, from: number, end: number): Promise<void> {
  for (let epoch = from; epoch < Math.min(end, from + epochsTried); epoch++) {
    if (await pull(epochs, buffer, [{ epoch, position: 0 }], 0) === null) {
      throw lengthError("0", `at least 1 in epoch ${epoch}`);
    }
  }
}
