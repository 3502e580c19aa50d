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
  epochPlan,
  itemAt,
  mapItems,
  type MaybePromise,
  origin,
  shiftSamples,
  spansWholeEpochs,
  times,
} from "./index_plan.ts";
import {
  dispose,
  holdAll,
  type IndexedSource,
  randomAccess,
  type SampleSource,
  type StreamSource,
  streamSource,
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
  const at = (position: number, epoch: number): unknown => itemAt(plan, origin, position, inPass(epoch));
  return {
    ...randomAccess(plan.length(origin), itemsFingerprint(loader), at, source.hold),
    seed: source.seed,
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
export function pendingLoader<A>(
  fields: Parameters<typeof streamSource>[0],
  inputs: readonly Loader<unknown>[],
): Loader<A> {
  const run = mapItems((pending: unknown) => (pending as PendingItem).run() as MaybePromise<A>);
  const source = streamSource({ ...fields, drop: (pending) => (pending as PendingItem).drop() });
  return withFields<A>(derivedLoader<A>(source, inputs), { plan: (length) => run(epochPlan(length)) });
}

/** Whether the samples of any input can be delivered only once; a `TypeError` for an input whose epochs cannot be counted before reading. */
function checkInputs(name: string, inputs: readonly Loader<unknown>[]): boolean {
  for (const { source, plan } of inputs) {
    if (source._tag === "Stream" && !spansWholeEpochs(plan)) {
      throw new TypeError(
        `Expected ${name} to be given a stream whose pass is a number of epochs, found one cut in the middle: ` +
          "put take before repeat",
      );
    }
  }
  return inputs.some(({ source }) => source._tag === "Stream" && source.singleUse);
}

/**
 * A loader derived from several loaders, whose items stay valid.
 *
 * @param access Makes the derived source where all inputs have random access.
 * @param begin Begins an epoch of the derived stream where one of them is a stream.
 */
export function deriveLoader<A>(
  name: string,
  inputs: readonly Loader<unknown>[],
  about: Pick<SampleSource, "fingerprint" | "seed">,
  access: (sources: readonly IndexedSource[], fingerprint: string) => IndexedSource,
  begin: BeginEpoch,
): Loader<A> {
  const sources = inputs.map(indexedItems);
  if (sources.every((source) => source !== null)) {
    return derivedLoader<A>({ ...access(sources, about.fingerprint), ...about, hold: holdAll(sources) }, inputs);
  }
  const singleUse = checkInputs(name, inputs);
  return pendingLoader<A>({ ...about, singleUse, open: openInputs(inputs, begin) }, inputs);
}

function openInputs(inputs: readonly Loader<unknown>[], begin: BeginEpoch): StreamSource["open"] {
  return (epoch, opened, mark) => {
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
    async function* samples(): AsyncGenerator<PendingItem, void> {
      try {
        for (let item = await derived.next(); item !== null; item = await derived.next()) yield item;
      } finally {
        await close();
      }
    }
    return Object.assign(samples(), { mark: () => [derived.state(), (derived.starts?.() ?? starts).map(markOf)] });
  };
}

/** A loader of the samples that each item of a loader expands to: none, one or several. */
export function expandItems<A, B>(
  kind: "filter" | "unbatch",
  loader: Loader<A>,
  expand: (item: A) => MaybePromise<readonly B[]>,
): Loader<B> {
  const name = `Loader.${kind}`;
  const { source: { seed } } = checkUnowned(name, loader);
  const singleUse = checkInputs(name, [loader]);
  const open: StreamSource["open"] = (epoch, opened, mark) => {
    const [delivered, at] = markPair(mark) as readonly [number, Mark] | undefined ?? [0, undefined];
    const start = at === undefined ? startOfPass(loader) : startFromMark(at);
    const inner = items(passOf(loader, epoch), () => start, (item, after) => [item, after] as const, opened);
    /** The positions before and after the item that `group` comes from. */
    let [before, after] = [start, start];
    let [group, given, skip]: [readonly B[], number, number] = [[], 0, delivered];
    async function* samples(): AsyncGenerator<B, void> {
      try {
        for await (const [item, next] of inner) {
          [before, after] = [after, next];
          group = await expand(item);
          if (singleUse && group.length === 0) dispose(item);
          for ([given, skip] = [skip, 0]; given < group.length;) yield group[given++]!;
        }
      } finally {
        if (singleUse) group.slice(given).forEach(dispose);
      }
    }
    return Object.assign(samples(), {
      mark: () => given < group.length ? [given, markOf(before)] : [0, markOf(after)],
    });
  };
  return loaderOf<B>(streamSource({ fingerprint: `${kind}(${itemsFingerprint(loader)})`, seed, singleUse, open }));
}

// --- combinators

/** Where the first pass of a loader starts. */
export function startOfPass({ source }: Loader<unknown>): Start {
  return { at: origin, length: source.length === Infinity ? null : source.length };
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
