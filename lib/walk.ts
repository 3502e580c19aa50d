/**
 * How a loader is read: item after item from a place on, as far ahead as it says, letting go of everything when left.
 *
 * @module
 */
import type { Mark } from "./cursor.ts";
import type { CursorMismatch, LoaderError, SourceFailed } from "./errors.ts";
import { toError } from "./explain.ts";
import type { Loader } from "./pipeline.ts";
import { isPromise, itemAt, type Place, type Plan, type Samples, shiftedSamples, times } from "./plan.ts";
import { dispose, type Indexed, type Opened, type Run, type Source, type Stream } from "./source.ts";

// --- types

/** Where to begin reading. */
export interface Start {
  readonly place: Place;
  /** The samples in an epoch, or null for a stream of which no epoch has been read to its end. */
  readonly length: number | null;
  readonly mark?: Mark | undefined;
}

/** An item whose samples are at hand, and which is not computed yet: either `run` or `drop` is called. */
export interface Pulled<out A> {
  readonly before: Place;
  /** Where to begin reading right after it. */
  readonly after: Start;
  readonly run: () => A | Promise<A>;
  readonly drop: () => void;
}

/** A loader in the course of being read. */
export interface Walk<out A> {
  readonly next: () => Pulled<A> | null | Promise<Pulled<A> | null>;
  readonly close: () => void | Promise<void>;
}

// --- constructors

/** The rejection of data that is not the data the cursor was made on. */
export function mismatched(problems: CursorMismatch["problems"]): Error {
  return toError({ _tag: "CursorMismatch", problems } satisfies CursorMismatch);
}

function wrongLength(expected: string, found: string): Error {
  return mismatched([{ path: "length", kind: "length", expected, found }]);
}

/** What the user's code threw is the data's failure, after the last whole item; what a loader below said already, stays. */
function failed({ epoch, position }: Place, thrown: unknown): Error {
  const below = thrown instanceof Error ? thrown.cause as LoaderError | undefined : undefined;
  if (below?._tag === "CursorMismatch") return thrown as Error;
  const cause = below?._tag === "SourceFailed" ? below.cause : thrown;
  return toError({ _tag: "SourceFailed", cause, epoch, position } satisfies SourceFailed);
}

async function guarded<A>(place: Place, run: () => A | Promise<A>): Promise<A> {
  try {
    return await run();
  } catch (cause) {
    throw failed(place, cause);
  }
}

/** The loader's n-th pass as a loader of its own. */
export function passOf<A>(loader: Loader<A>, pass: number): Loader<A> {
  const shift = times(pass, loader.plan(loader.source.length ?? Infinity).epochs);
  return shift === 0 ? loader : { ...loader, source: later(loader.source, shift) };
}

function later(source: Source, epochs: number): Source {
  if (source._tag === "Indexed") return { ...source, ...shiftedSamples(source, epochs) };
  const { base = 0 } = source;
  return { ...source, base: base + epochs, open: (epoch, run, mark) => source.open(epoch + epochs, run, mark) };
}

/** A loader read from a place on, as part of a run. */
export function walk<A>({ source, plan }: Loader<A>, from: Start, run: Run): Walk<A> {
  return source._tag === "Indexed"
    ? walkIndexed(source, plan(source.length), from.place)
    : walkStream(source, plan, from, run);
}

// --- combinators

function ended(plan: Plan<unknown>, place: Place): boolean {
  return place.epoch >= plan.epochs || plan.length(place) === 0;
}

function nothing(): void {}

function walkIndexed<A>(source: Indexed, plan: Plan<A>, from: Place): Walk<A> {
  const length = Number.isFinite(source.length) ? source.length : null;
  let place = plan.after(from, 0);
  let end: (() => Promise<void>) | undefined;
  let held = false;
  return {
    next: () => {
      if (!held && source.hold !== undefined) end = source.hold();
      held = true;
      if (ended(plan, place)) return null;
      const before = place;
      place = plan.after(before, 1);
      return { before, after: { place, length }, run: () => itemAt(plan, before, 0, source), drop: nothing };
    },
    close: () => end?.(),
  };
}

function walkStream<A>(source: Stream, plan: (length: number) => Plan<A>, from: Start, run: Run): Walk<A> {
  const pulled = readStream(source, plan, from, run);
  return {
    next: () => pulled.next().then(({ done, value }) => done ? null : value),
    close: () => pulled.return().then(nothing),
  };
}

/**
 * Reads a stream as if its length were known, which at first is taken to be infinite: when an epoch ends before a sample
 * that an item needs, that was the length, and the item is planned anew with the samples already pulled.
 */
async function* readStream<A>(
  source: Stream,
  plan: (length: number) => Plan<A>,
  from: Start,
  run: Run,
): AsyncGenerator<Pulled<A>, void> {
  let { place, length } = from;
  const { head } = plan(length ?? Infinity);
  const reader = readerOf(source, run, head, head > 0 ? undefined : from, (f) => guarded(place, f));
  try {
    for (;;) {
      const now = plan(length ?? Infinity);
      if (ended(now, place)) return await reader.leave(length);
      const samples: Place[] = [];
      now.names(place, 0, (epoch, position) => samples.push({ epoch, position }));
      samples.sort((a, b) => a.epoch - b.epoch || a.position - b.position);
      const after = now.after(place, 1);
      const end = await reader.reach(
        length === null ? proof(samples, place, after, now.needs) : samples,
        length,
      ) ?? await reader.fetch(samples);
      if (end === null) {
        const [before, held] = [place, reader.take(samples, after)];
        place = after;
        yield {
          before,
          after: { place, length, mark: reader.mark(place) },
          run: () => itemAt(now, before, 0, held),
          drop: held.drop,
        };
      } else {
        const least = end.epoch > place.epoch ? now.needs : place.position;
        if (length !== null) throw wrongLength(String(length), String(end.position));
        if (end.position < least) throw wrongLength(`at least ${least}`, String(end.position));
        length = end.position;
        if (length === 0) await allEmpty(reader, place.epoch + 1, now.epochs);
        // Where an epoch has just ended the next one begins, whose first samples fill its last round.
        if (end.epoch === place.epoch && place.position === length) place = { epoch: place.epoch + 1, position: 0 };
      }
    }
  } finally {
    await reader.close();
  }
}

/** How many of the epochs after an empty one are looked at: a stream without end of which none has a sample must end. */
const epochsLooked = 16;

/** Sees that the epochs after an empty one are empty, too. */
async function allEmpty(reader: Reader, from: number, epochs: number): Promise<void> {
  for (let epoch = from; epoch < Math.min(epochs, from + epochsLooked); epoch++) {
    if (await reader.reach([{ epoch, position: 0 }], 0) === null) {
      throw wrongLength("0", `at least 1 in epoch ${epoch}`);
    }
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
  /** Pulls these samples, which ascend, and holds them, or answers where an epoch ended before one of them. */
  readonly reach: (samples: readonly Place[], length: number | null) => Promise<Place | null>;
  /** Reads those of these samples again that were pulled and are no longer held, or answers as {@link Reader.reach}. */
  readonly fetch: (samples: readonly Place[]) => Promise<Place | null>;
  /** Hands these samples over and lets go of all others but for the heads of epochs from this place on. */
  readonly take: (samples: readonly Place[], from: Place) => Samples & { readonly drop: () => void };
  /** How the stream notes the place up to which it was pulled, if it is in the epoch of this place. */
  readonly mark: (place: Place) => Mark | undefined;
  /** Closes an epoch; one that was read as far as it is long must end there. */
  readonly leave: (length: number | null) => Promise<void>;
  readonly close: () => Promise<void>;
}

function key(epoch: number, position: number): string {
  return `${epoch}:${position}`;
}

function readerOf(
  source: Stream,
  run: Run,
  head: number,
  from: Start | undefined,
  guard: <A>(run: () => A | Promise<A>) => Promise<A>,
): Reader {
  const held = new Map<string, unknown>();
  const heads = new Map<string, readonly [epoch: number, sample: unknown]>();
  /** The epoch last begun, how many of its samples were pulled, and its iterator unless it ended or failed. */
  let [epoch, pulled, open]: [number, number, Opened | undefined] = [-1, 0, undefined];
  let marked: Mark | undefined;
  /** No head is of an epoch before this one. */
  let oldest = 0;

  const next = async (): Promise<IteratorResult<unknown, unknown>> => {
    const iterator = open;
    open = undefined;
    const step = iterator === undefined ? over : await guard(() => iterator.next());
    if (!step.done) {
      open = iterator;
      marked = iterator?.mark?.();
    }
    return step;
  };
  const close = async (): Promise<void> => {
    held.forEach(source.drop);
    held.clear();
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
    const iterator = open;
    open = undefined;
    await guard(() => iterator?.return?.());
  };
  const begin = async (sample: Place, length: number | null): Promise<void> => {
    await leave(length);
    const entered = from?.mark !== undefined && from.place.epoch === sample.epoch ? from.mark : undefined;
    const [at, inside] = Array.isArray(entered) && entered.length === 2 ? entered as [number, Mark] : [0, undefined];
    open = await guard(() => source.open(sample.epoch, run, inside));
    [epoch, pulled, marked] = [sample.epoch, at, inside];
  };
  const pull = async (sample: Place, length: number | null): Promise<boolean> => {
    if (sample.epoch < epoch) return true;
    if (sample.epoch > epoch) await begin(sample, length);
    for (; pulled <= sample.position; pulled++) {
      const step = await next();
      if (step.done) return false;
      const kept = pulled < head;
      if (kept) heads.set(key(epoch, pulled), [epoch, step.value]);
      if (pulled === sample.position) held.set(key(epoch, pulled), step.value);
      else {
        if (!kept) source.drop(step.value);
        // Nobody waits for it, or not yet.
        if (isPromise(step.value)) step.value.catch(nothing);
      }
    }
    return true;
  };
  const has = ({ epoch, position }: Place): boolean =>
    held.has(key(epoch, position)) || heads.has(key(epoch, position));
  return {
    reach: async (samples, length) => {
      for (const sample of samples) {
        if (!has(sample) && !await pull(sample, length)) return { epoch, position: pulled };
      }
      return null;
    },
    fetch: async (samples) => {
      const missing = samples.filter((sample) => !has(sample));
      for (const epoch of new Set(missing.map((sample) => sample.epoch))) {
        const positions = new Set(missing.flatMap((one) => one.epoch === epoch ? [one.position] : []));
        const last = Math.max(...positions);
        const again = await guard(() => source.open(epoch, run));
        try {
          for (let position = 0; position <= last; position++) {
            const step = await guard(() => again.next());
            if (step.done) return { epoch, position };
            if (positions.has(position)) held.set(key(epoch, position), step.value);
            else source.drop(step.value);
          }
        } finally {
          await guard(() => again.return?.());
        }
      }
      return null;
    },
    take: (samples, from) => {
      const own = new Map<string, unknown>();
      for (const { epoch, position } of samples) {
        const name = key(epoch, position);
        own.set(name, held.has(name) ? held.get(name) : heads.get(name)?.[1]);
      }
      own.forEach((_, name) => held.delete(name));
      held.forEach(source.drop);
      held.clear();
      if (from.epoch > oldest) {
        for (const [name, [epoch]] of heads) if (epoch < from.epoch) heads.delete(name);
        oldest = from.epoch;
      }
      return {
        base: source.base ?? 0,
        at: (epoch, position) => own.get(key(epoch, position)),
        index: (_, position) => position,
        drop: () => samples.forEach(({ epoch, position }) => source.drop(own.get(key(epoch, position)))),
      };
    },
    mark: (place) =>
      marked === undefined || epoch !== place.epoch || pulled > place.position ? undefined : [pulled, marked],
    leave,
    close,
  };
}

const over: IteratorResult<unknown, unknown> = { done: true, value: undefined };

/**
 * The items of a loader from a place on, each as `show` shows it.
 *
 * What was given out is what counts: items ahead are begun in order, and let go of when the iteration is left.
 */
export function items<A, B>(
  loader: Loader<A>,
  from: () => Start,
  show: (value: A, after: Start) => B,
  run: Run = new Map(),
): AsyncIterableIterator<B, undefined> {
  /** An item at hand, or null at the end. */
  type Step = readonly [value: A, pulled: Pulled<A>] | null;
  const { ahead, owned, watch, source } = loader;
  const queue: (Step | Promise<Step>)[] = [];
  let [going, done, given]: [Walk<A> | undefined, boolean, A | undefined] = [undefined, false, undefined];
  let place = { epoch: 0, position: 0 };

  const compute = (pulled: Pulled<A> | null): Step | Promise<Step> => {
    if (pulled === null) return null;
    try {
      const value = pulled.run();
      return isPromise(value)
        ? value.then((value) => [value, pulled] as const, (cause) => {
          throw failed(pulled.before, cause);
        })
        : [value, pulled];
    } catch (cause) {
      throw failed(pulled.before, cause);
    }
  };
  const begin = (): Step | Promise<Step> => {
    going ??= walk(loader, from(), run);
    const pulled = going.next();
    return isPromise(pulled) ? pulled.then(compute) : compute(pulled);
  };
  /** As {@link begin}, for an item whose turn has not come: its failure waits for it. */
  const beginAhead = (): Step | Promise<Step> => {
    try {
      const step = begin();
      if (isPromise(step)) step.catch(nothing);
      return step;
    } catch (error) {
      const failure = Promise.reject<Step>(error);
      failure.catch(nothing);
      return failure;
    }
  };
  const release = (): void => {
    if (owned && given !== undefined) dispose(given);
    given = undefined;
  };
  const shut = async (): Promise<void> => {
    if (done) return;
    done = true;
    release();
    for (const settled of await Promise.allSettled(queue.splice(0))) {
      if (settled.status !== "fulfilled" || settled.value === null) continue;
      if (owned || (source._tag === "Stream" && source.once)) dispose(settled.value[0]);
    }
    await going?.close();
  };
  const fail = async (error: unknown): Promise<never> => {
    await shut().catch(nothing);
    throw error;
  };
  const give = (step: Step): IteratorResult<B, undefined> | Promise<IteratorResult<B, undefined>> => {
    if (step === null) return shut().then(() => finished);
    const [value, { after }] = step;
    if (done) {
      if (owned) dispose(value);
      return finished;
    }
    if (owned) given = value;
    place = after.place;
    if (watch !== null) {
      const { length } = after;
      const plan = loader.plan(source.length ?? length ?? Infinity);
      watch({
        done: plan.count(place),
        total: source.length === null && length === null ? null : plan.length({ epoch: 0, position: 0 }),
        ...place,
      });
    }
    return { done: false, value: show(value, after) };
  };
  const iterator: AsyncIterableIterator<B, undefined> = {
    [Symbol.asyncIterator]: () => iterator,
    next: () => {
      if (done) return Promise.resolve(finished);
      release();
      try {
        const step = queue.length > 0 ? queue.shift()! : begin();
        while (queue.length < ahead && !(step === null || queue.at(-1) === null)) queue.push(beginAhead());
        return isPromise(step) ? step.then(give).catch(fail) : Promise.resolve(give(step));
      } catch (error) {
        return fail(error);
      }
    },
    return: () => shut().then(() => finished),
  };
  return iterator;
}

const finished: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });
