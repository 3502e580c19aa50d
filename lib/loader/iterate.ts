/**
 * Iteration over a loader from a position on: a core that pulls and computes one item at a time, with layers for read-ahead and for the
 * disposal of tensors.
 *
 * Each layer is an {@link ItemPuller}. A layer passes an item on at once if it is ready, and as a promise only if it must: with random
 * access and synchronous maps, no item waits for a promise except the one that `next` returns.
 *
 * @module
 */
import type { Loader } from "./types.ts";
import {
  type IndexPlan,
  isPromise,
  itemAt,
  type MaybePromise,
  origin,
  shiftSamples,
  type SourcePosition,
  times,
  whenReady,
} from "./index_plan.ts";
import { dispose, type IndexedSource, type OpenedEpochs, type SampleSource } from "./source.ts";
import { isAtEnd, type PulledItem, readStream, sourceError, type Start } from "./stream_reader.ts";

// --- types

/** Gives one value after another, then null. */
interface Puller<out T> {
  readonly next: () => MaybePromise<T | null>;
  readonly close: () => MaybePromise<void>;
}

/** Pulls the samples of one item after another, without computing the items. */
export type ItemReader<A> = Puller<PulledItem<A>>;

/** A computed item and where reading resumes after it, or null at the end. */
type ItemStep<A> = readonly [item: A, after: Start] | null;

/** Computes one item after another. */
interface ItemPuller<out A> extends Puller<readonly [item: A, after: Start]> {
  /** Where reading resumes after the next item, or null at the end; the item is pulled, and computed when it is requested. */
  readonly peek: () => MaybePromise<Start | null>;
}

/** An iterator of what is shown of each item. */
export interface ItemIterator<out B> extends AsyncIterableIterator<B, undefined> {
  [Symbol.asyncIterator](): ItemIterator<B>;
  /** Where reading resumes after the next item, or null at the end. The maps of that item run when it is requested. */
  peek(): Promise<Start | null>;
}

// --- constructors

/** The n-th pass of a loader, as a loader. */
export function passOf<A>(loader: Loader<A>, pass: number): Loader<A> {
  const shift = times(pass, loader.plan(loader.source.length ?? Infinity).epochs);
  return shift === 0 ? loader : { ...loader, source: shiftSource(loader.source, shift) };
}

function shiftSource(source: SampleSource, epochs: number): SampleSource {
  if (source._tag === "Indexed") return { ...source, ...shiftSamples(source, epochs) };
  const { base = 0 } = source;
  return { ...source, base: base + epochs, open: (epoch, opened, mark) => source.open(epoch + epochs, opened, mark) };
}

/** A reader of a loader's items from a position on. `opened` counts the epochs that the whole iteration opened. */
export function openReader<A>({ source, plan }: Loader<A>, from: Start, opened: OpenedEpochs): ItemReader<A> {
  if (source._tag === "Indexed") return readIndexed(source, plan(source.length), from.at);
  const items = readStream(source, plan, from, opened);
  return {
    next: () => items.next().then(({ done, value }) => done ? null : value),
    close: () => items.return().then(() => undefined),
  };
}

function readIndexed<A>(source: IndexedSource, plan: IndexPlan<A>, from: SourcePosition): ItemReader<A> {
  const length = Number.isFinite(source.length) ? source.length : null;
  let at = plan.after(from, 0);
  let isHeld = false;
  let release: (() => Promise<void>) | undefined;
  return {
    next: () => {
      if (!isHeld) release = source.hold?.();
      isHeld = true;
      if (isAtEnd(plan, at)) return null;
      const before = at;
      at = plan.after(before, 1);
      return { before, after: { at, length }, run: () => itemAt(plan, before, 0, source), drop: () => {} };
    },
    close: () => release?.(),
  };
}

/** The core: pulls an item and computes it. The reader is opened at the first call. */
function computeItems<A>(open: () => ItemReader<A>): ItemPuller<A> {
  let reader: ItemReader<A> | undefined;
  let early: MaybePromise<PulledItem<A> | null> | undefined;
  const pull = (): MaybePromise<PulledItem<A> | null> => (reader ??= open()).next();
  return {
    next: () => {
      const pulled = early ?? pull();
      early = undefined;
      return whenReady(pulled, compute<A>);
    },
    peek: () => whenReady(early ??= pull(), (pulled) => pulled?.after ?? null),
    close: async () => {
      await Promise.resolve(early).then((pulled) => pulled?.drop(), () => {});
      await reader?.close();
    },
  };
}

function compute<A>(pulled: PulledItem<A> | null): MaybePromise<ItemStep<A>> {
  if (pulled === null) return null;
  const fail = (thrown: unknown): never => {
    throw sourceError(pulled.before, thrown);
  };
  try {
    const item = pulled.run();
    return isPromise(item) ? item.then((ready) => [ready, pulled.after] as const, fail) : [item, pulled.after];
  } catch (thrown) {
    return fail(thrown);
  }
}

// --- combinators

/** Keeps up to `ahead` further items in progress. On close the items that were not delivered are released. */
function prefetchItems<A>(inner: ItemPuller<A>, ahead: number, release: (item: A) => void): ItemPuller<A> {
  const queue: MaybePromise<ItemStep<A>>[] = [];
  return {
    next: () => {
      const step = queue.length > 0 ? queue.shift()! : inner.next();
      while (queue.length < ahead && step !== null && queue.at(-1) !== null) queue.push(startEarly(inner.next));
      return step;
    },
    peek: () => {
      if (queue.length === 0) queue.push(startEarly(inner.next));
      return whenReady(queue[0]!, (step) => step === null ? null : step[1]);
    },
    close: async () => {
      for (const settled of await Promise.allSettled(queue.splice(0))) {
        if (settled.status === "fulfilled" && settled.value !== null) release(settled.value[0]);
      }
      await inner.close();
    },
  };
}

/** Starts a step before its turn. If it fails, the rejection is reported when the step is delivered. */
function startEarly<A>(next: () => MaybePromise<ItemStep<A>>): MaybePromise<ItemStep<A>> {
  let step: MaybePromise<ItemStep<A>>;
  try {
    step = next();
  } catch (error) {
    step = Promise.reject(error);
  }
  if (isPromise(step)) step.catch(() => {});
  return step;
}

/** Disposes each item when the next one is requested or the iteration ends, and an item that arrives after that. */
function disposeItems<A>(inner: ItemPuller<A>): ItemPuller<A> {
  let [current, isClosed]: [A | undefined, boolean] = [undefined, false];
  const disposeCurrent = (): void => {
    if (current !== undefined) dispose(current);
    current = undefined;
  };
  return {
    next: () => {
      disposeCurrent();
      return whenReady(inner.next(), (step) => {
        if (step === null) return null;
        if (isClosed) dispose(step[0]);
        else current = step[0];
        return step;
      });
    },
    peek: inner.peek,
    close: async () => {
      isClosed = true;
      disposeCurrent();
      await inner.close();
    },
  };
}

/** Calls the loader's progress function, if it has one, with the position after an item. */
function reportProgress({ source, plan, watch }: Loader<unknown>, { at, length }: Start): void {
  if (watch === null) return;
  const known = source.length ?? length;
  const current = plan(known ?? Infinity);
  watch({ done: current.count(at), total: known === null ? null : current.length(origin), ...at });
}

/**
 * The items of a loader from a position on, each as `show` returns it.
 *
 * @param from Where to start; it is called at the first `next`, and may throw.
 * @param opened The epochs that an outer iteration has opened; for a loader that is part of another one.
 */
export function items<A, B>(
  loader: Loader<A>,
  from: () => Start,
  show: (item: A, after: Start) => B,
  opened: OpenedEpochs = new Map(),
): ItemIterator<B> {
  const { ahead, owned, source } = loader;
  const release = (item: A): void => {
    if (owned || (source._tag === "Stream" && source.singleUse)) dispose(item);
  };
  const computed = computeItems(() => openReader(loader, from(), opened));
  const started = ahead === 0 ? computed : prefetchItems(computed, ahead, release);
  return iteratorOf(owned ? disposeItems(started) : started, (item, after) => {
    reportProgress(loader, after);
    return show(item, after);
  });
}

const finished: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

/** An iterator over pulled items that closes the puller when it ends, fails or is left. */
function iteratorOf<A, B>(
  puller: ItemPuller<A>,
  show: (item: A, after: Start) => B,
): ItemIterator<B> {
  let isDone = false;
  const close = async (): Promise<IteratorReturnResult<undefined>> => {
    const wasDone = isDone;
    isDone = true;
    if (!wasDone) await puller.close();
    return finished;
  };
  const fail = async (error: unknown): Promise<never> => {
    await close().catch(() => {});
    throw error;
  };
  const deliver = (step: ItemStep<A>): MaybePromise<IteratorResult<B, undefined>> => {
    if (step === null) return close();
    return isDone ? finished : { done: false, value: show(step[0], step[1]) };
  };
  const iterator: ItemIterator<B> = {
    [Symbol.asyncIterator]: () => iterator,
    next: () => {
      if (isDone) return Promise.resolve(finished);
      try {
        const step = puller.next();
        return isPromise(step) ? step.then(deliver).catch(fail) : Promise.resolve(deliver(step));
      } catch (error) {
        return fail(error);
      }
    },
    peek: async () => {
      try {
        return isDone ? null : await puller.peek();
      } catch (error) {
        return await fail(error);
      }
    },
    return: close,
  };
  return iterator;
}
