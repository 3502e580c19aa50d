/**
 * Derived sources: the items of one or more loaders as the samples of a new source, for transforms that combine loaders or whose length is
 * unknown until read.
 *
 * Where all inputs have random access, the derived source has it too and stays arithmetic. A derived stream stores the positions in its
 * inputs in its marks, so that a resume opens the inputs there and does not compute earlier items again.
 *
 * @module
 */
import * as t from "io-ts";
import type { Mark } from "./cursor.ts";
import { items, openReader, passOf } from "./iterate.ts";
import { checkUnowned, type Loader, loaderOf, withFields } from "./types.ts";
import {
  type Awaitable,
  epochPlan,
  type IndexPlan,
  itemAt,
  mapItems,
  origin,
  shiftSamples,
  spansWholeEpochs,
  times,
} from "./index_plan.ts";
import {
  dispose,
  type IndexedSource,
  type OpenedEpochs,
  randomAccess,
  type SampleSource,
  type StreamEpoch,
  type StreamSource,
} from "./source.ts";
import { markPair, type PulledItem, type Start } from "./stream_reader.ts";

// --- types

/** A sample of a derived stream, which is computed or dropped later. */
export type PendingItem = Pick<PulledItem<unknown>, "run" | "drop">;

/** The input loaders of a derived stream. */
export interface StreamInputs {
  /** The next item of an input, or null at its end. */
  readonly pull: (input: number) => Promise<PulledItem<unknown> | null>;
  /** The position in an input after its last item. */
  readonly at: (input: number) => Start;
}

/** One epoch of a derived stream. */
export interface DerivedEpoch {
  readonly next: () => Promise<PendingItem | null>;
  /** What a resume needs in addition to the positions in the inputs. */
  readonly state: () => Mark;
  /** Where to open the inputs at a resume, if not at their current positions. */
  readonly starts?: () => readonly Start[];
  /** Drops the items that were pulled and not delivered. */
  readonly close?: () => void;
}

/** Begins an epoch of a derived stream; `state` is the {@link DerivedEpoch.state} of a resume. */
export type BeginEpoch = (inputs: StreamInputs, epoch: number, state: Mark | undefined) => DerivedEpoch;

// --- constructors

/** The fingerprint of a loader's items: that of its source, with the transforms that decide which samples an item has. */
export function itemsFingerprint({ source, chain }: Loader<unknown>): string {
  return `${source.fingerprint}${chain}`;
}

/** Whether a loader's pass never ends. */
export function isEndless({ source, plan }: Loader<unknown>): boolean {
  return source.length === Infinity || plan(source.length ?? Infinity).epochs === Infinity;
}

/** The items of a loader as a source with random access, or null for the items of a stream. */
export function indexedItems(loader: Loader<unknown>): IndexedSource | null {
  const { source, single } = loader;
  if (source._tag === "Stream") return null;
  if (loader.plan === epochPlan) return source;
  const plan = loader.plan(source.length);
  const inPass = (epoch: number) => shiftSamples(source, times(epoch, plan.epochs));
  return {
    ...randomAccess(plan.length(origin), itemsFingerprint(loader), () => undefined, source.hold),
    seed: source.seed,
    at: (epoch, position) => itemAt(plan, origin, position, inPass(epoch)),
    index: (epoch, position) => {
      let index = position;
      if (single) plan.visitSamples(origin, position, (e, p) => index = inPass(epoch).index(e, p));
      return index;
    },
  };
}

/** A loader of a derived source's samples; it keeps the largest read-ahead of its inputs. */
export function derivedLoader<A>(source: SampleSource, inputs: readonly Loader<unknown>[]): Loader<A> {
  return withFields<A>(loaderOf<A>(source), { ahead: Math.max(0, ...inputs.map(({ ahead }) => ahead)) });
}

/** A loader of a stream of {@link PendingItem}s, each computed when it is requested. */
export function pendingLoader<A>(source: StreamSource, inputs: readonly Loader<unknown>[]): Loader<A> {
  const run = mapItems((pending: unknown) => (pending as PendingItem).run() as Awaitable<A>);
  const plan = (length: number): IndexPlan<A> => run(epochPlan(length));
  return withFields<A>(derivedLoader<A>(source, inputs), { plan });
}

/** Drops a {@link PendingItem}. */
export function dropPending(pending: unknown): void {
  (pending as PendingItem).drop();
}

/** Whether the samples of any input can be delivered only once; a `TypeError` for an input whose epochs cannot be counted before reading. */
function checkInputs(name: string, inputs: readonly Loader<unknown>[]): boolean {
  for (const input of inputs) {
    const { source, plan } = checkUnowned(name, input);
    if (source._tag === "Stream" && !spansWholeEpochs(plan)) {
      throw new TypeError(
        `Expected ${name} to be given a stream whose pass is a number of epochs, found one cut in the middle: ` +
          "put take before repeat",
      );
    }
  }
  return inputs.some(({ source }) => source._tag === "Stream" && source.singleUse);
}

/** A loader of a stream derived from several loaders. */
export function deriveStream<A>(
  name: string,
  inputs: readonly Loader<unknown>[],
  about: Pick<SampleSource, "fingerprint" | "seed">,
  begin: BeginEpoch,
): Loader<A> {
  const source: StreamSource = {
    _tag: "Stream",
    length: null,
    singleUse: checkInputs(name, inputs),
    ...about,
    open: (epoch, opened, mark) => openInputs(inputs, epoch, opened, mark, begin),
    drop: dropPending,
  };
  return pendingLoader<A>(source, inputs);
}

function openInputs(
  inputs: readonly Loader<unknown>[],
  epoch: number,
  opened: OpenedEpochs,
  mark: Mark | undefined,
  begin: BeginEpoch,
): StreamEpoch {
  const [state, marks] = markPair(mark) ?? [undefined, undefined];
  const starts = inputs.map((input, k) => Array.isArray(marks) ? startFromMark(marks[k]) : startOfPass(input));
  const readers = inputs.map((input, k) => openReader(passOf(input, epoch), starts[k]!, opened));
  const pull = async (k: number): Promise<PulledItem<unknown> | null> => {
    const pulled = await readers[k]!.next();
    if (pulled !== null) starts[k] = pulled.after;
    return pulled;
  };
  const derived = begin({ pull, at: (k) => starts[k]! }, epoch, state);
  const close = async (): Promise<void> => {
    derived.close?.();
    const closed = await Promise.allSettled(readers.map((reader) => reader.close()));
    for (const one of closed) if (one.status === "rejected") throw one.reason;
  };
  return {
    next: () =>
      closeAtEnd(close, async () => {
        const value = await derived.next();
        return value === null ? { done: true, value: undefined } : { done: false, value };
      }),
    return: close,
    mark: () => [derived.state(), (derived.starts?.() ?? starts).map(markOf)],
  };
}

/** A loader of the samples that each item of a loader expands to: none, one or several. */
export function expandItems<A, B>(
  name: string,
  loader: Loader<A>,
  fingerprint: string,
  expand: (item: A) => Awaitable<readonly B[]>,
): Loader<B> {
  const singleUse = checkInputs(name, [loader]);
  const source: StreamSource = {
    _tag: "Stream",
    length: null,
    singleUse,
    fingerprint,
    seed: loader.source.seed,
    open: (epoch, opened, mark) => {
      const [skip, at] = markPair(mark) as readonly [number, Mark] | undefined ?? [0, undefined];
      const start = at === undefined ? startOfPass(loader) : startFromMark(at);
      const inner = items(passOf(loader, epoch), () => start, (item, after) => [item, after] as const, opened);
      return expandedEpoch(inner, expand, start, skip, singleUse);
    },
    drop: singleUse ? dispose : () => {},
  };
  return loaderOf<B>(source);
}

/** An epoch of the samples that items expand to. `skip` samples of the first item were delivered before the resume. */
function expandedEpoch<A, B>(
  inner: AsyncIterableIterator<readonly [A, Start], undefined>,
  expand: (item: A) => Awaitable<readonly B[]>,
  from: Start,
  skip: number,
  singleUse: boolean,
): StreamEpoch {
  /** The positions before and after the item that `group` comes from. */
  let [before, after] = [from, from];
  let [group, given, toSkip]: [readonly B[], number, number] = [[], 0, skip];
  const close = async (): Promise<void> => {
    if (singleUse) group.slice(given).forEach(dispose);
    group = [];
    await inner.return?.();
  };
  const next = async (): Promise<IteratorResult<unknown, unknown>> => {
    while (given >= group.length) {
      const step = await inner.next();
      if (step.done) return step;
      [before, after] = [after, step.value[1]];
      group = await expand(step.value[0]);
      if (singleUse && group.length === 0) dispose(step.value[0]);
      [given, toSkip] = [toSkip, 0];
    }
    return { done: false, value: group[given++] };
  };
  return {
    next: () => closeAtEnd(close, next),
    return: close,
    mark: () => given < group.length ? [given, markOf(before)] : [0, markOf(after)],
  };
}

// --- combinators

/** Where the first pass of a loader starts. */
export function startOfPass({ source }: Loader<unknown>): Start {
  return { at: origin, length: source.length === Infinity ? null : source.length };
}

/** A step of a stream that closes it at its end or at an error; the reader of a stream closes it only if it is left before. */
async function closeAtEnd(
  close: () => Promise<void>,
  step: () => Promise<IteratorResult<unknown, unknown>>,
): Promise<IteratorResult<unknown, unknown>> {
  let isOpen = false;
  try {
    const result = await step();
    isOpen = result.done !== true;
    return result;
  } finally {
    if (!isOpen) await close();
  }
}

/** A position in an input, as a mark. */
function markOf({ at, length, mark }: Start): Mark {
  return [at.epoch, at.position, length, mark ?? null];
}

const startMark = t.tuple([t.number, t.number, t.union([t.number, t.null]), t.unknown]);

function startFromMark(mark: Mark | undefined): Start {
  if (!startMark.is(mark)) {
    throw new TypeError(
      `Expected the mark of a position in a stream, found ${
        JSON.stringify(mark)
      }: if you edit a cursor, remove its mark`,
    );
  }
  const [epoch, position, length, inner] = mark as readonly [number, number, number | null, Mark];
  return { at: { epoch, position }, length, mark: inner ?? undefined };
}

/** The count that a stream stored as its state, or 0 without one. */
export function countFromState(state: Mark | undefined): number {
  return typeof state === "number" ? state : 0;
}

/** An item that several samples share: it is computed once, and dropped if every share and `end` drop it. */
export function shareItem({ run, drop }: PendingItem): { readonly share: () => PendingItem; readonly end: () => void } {
  let [value, isComputed, references]: [unknown, boolean, number] = [undefined, false, 1];
  const release = (): void => {
    if (--references === 0 && !isComputed) drop();
  };
  return {
    share: () => {
      references++;
      return {
        run: () => {
          if (!isComputed) [value, isComputed] = [run(), true];
          release();
          return value;
        },
        drop: release,
      };
    },
    end: release,
  };
}
