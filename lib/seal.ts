/**
 * A loader's items as the samples of a source of their own: what makes combinators of whole loaders, and of what only reading can tell.
 *
 * Where the source below answers in any order, so does the one above, and stays arithmetic. A stream notes in its marks
 * where it stands in the loaders below, so that it can be entered there without computing what came before.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Mark } from "./cursor.ts";
import { changed, type Loader, samplesOf, unowned } from "./pipeline.ts";
import * as Plans from "./plan.ts";
import { isWhole, itemAt, origin, shiftedSamples, times } from "./plan.ts";
import { dispose, type Indexed, numbered, type Source, type Stream } from "./source.ts";
import { items, passOf, type Pulled, type Start, walk } from "./walk.ts";

// --- types

/** A sample that is computed when it is asked for, or dropped. */
export type Held = Pick<Pulled<unknown>, "run" | "drop">;

/** Loaders read side by side. */
export interface Heads {
  /** The next item of one of them, or null at its end. */
  readonly pull: (part: number) => Promise<Pulled<unknown> | null>;
  /** Where one of them stands. */
  readonly at: (part: number) => Start;
}

/** A stream made of {@link Heads}: its next sample, and what it must know beside their places to go on after it. */
export interface Woven {
  readonly next: () => Promise<Held | null>;
  readonly state: () => Mark;
  /** Where to enter the loaders again, if that is not where they stand. */
  readonly starts?: () => readonly Start[];
  /** Lets go of what was pulled and not given. */
  readonly close?: () => void;
}

// --- constructors

/** What a loader's items are, in one line. */
export function saidOf({ source, chain }: Loader<unknown>): string {
  return `${source.fingerprint}${chain}`;
}

/** What a source made of others is, in one line. */
export function saidOfAll(kind: string, parts: readonly string[]): string {
  const text = `${kind}(${parts.join(", ")})`;
  return text.length <= 400 ? text : `${kind}:${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;
}

/** Whether a loader's pass never ends. */
export function isEndless({ source, plan }: Loader<unknown>): boolean {
  return source.length === Infinity || plan(source.length ?? Infinity).epochs === Infinity;
}

/** A loader's items as a source that answers in any order, or null for those of a stream. */
export function indexedItems(loader: Loader<unknown>): Indexed | null {
  const { source, single } = loader;
  if (source._tag === "Stream") return null;
  if (loader.plan === Plans.samples) return source;
  const plan = loader.plan(source.length);
  const inPass = (epoch: number) => shiftedSamples(source, times(epoch, plan.epochs));
  return {
    ...numbered(plan.length(origin), saidOf(loader), () => undefined, source.hold),
    seed: source.seed,
    at: (epoch, position) => itemAt(plan, origin, position, inPass(epoch)),
    index: (epoch, position) => {
      let index = position;
      if (single) plan.names(origin, position, (e, p) => index = inPass(epoch).index(e, p));
      return index;
    },
  };
}

/** A loader of the samples of a source that stands for others, with what they compute ahead. */
export function sealed<A>(source: Source, below: readonly Loader<unknown>[]): Loader<A> {
  return changed<A>(samplesOf<A>(source), { ahead: Math.max(0, ...below.map(({ ahead }) => ahead)) });
}

/** The loaders, or a `TypeError` for one whose epochs cannot be counted before they are read. */
function countable(name: string, parts: readonly Loader<unknown>[]): readonly Loader<unknown>[] {
  for (const part of parts) {
    const { source, plan } = unowned(name, part);
    if (source._tag === "Stream" && !isWhole(plan)) {
      throw new TypeError(
        `Expected ${name} to be given a stream whose pass is a number of epochs, found one cut in the middle: ` +
          "put take before repeat",
      );
    }
  }
  return parts;
}

/** A stream woven from loaders. */
export function woven<A>(
  name: string,
  parts: readonly Loader<unknown>[],
  about: Pick<Source, "fingerprint" | "seed">,
  weave: (heads: Heads, epoch: number, state: Mark | undefined) => Woven,
): Loader<A> {
  const once = countable(name, parts).some(({ source }) => source._tag === "Stream" && source.once);
  const source: Stream = {
    _tag: "Stream",
    length: null,
    once,
    ...about,
    open: (epoch, run, mark) => {
      const [state, marks] = Array.isArray(mark) && mark.length === 2 ? mark as [Mark, Mark] : [undefined, undefined];
      const starts = parts.map((part, k) => Array.isArray(marks) ? startOf(marks[k]) : beginning(part));
      const walks = parts.map((part, k) => walk(passOf(part, epoch), starts[k]!, run));
      const pull = async (k: number): Promise<Pulled<unknown> | null> => {
        const pulled = await walks[k]!.next();
        if (pulled !== null) starts[k] = pulled.after;
        return pulled;
      };
      const stream = weave({ pull, at: (k) => starts[k]! }, epoch, state);
      const close = async (): Promise<void> => {
        stream.close?.();
        const closed = await Promise.allSettled(walks.map((one) => one.close()));
        for (const one of closed) if (one.status === "rejected") throw one.reason;
      };
      return {
        next: () =>
          closingAtEnd(close, async () => {
            const value = await stream.next();
            return value === null ? { done: true, value: undefined } : { done: false, value };
          }),
        return: close,
        mark: () => [stream.state(), (stream.starts?.() ?? starts).map(markOf)],
      };
    },
    drop: (held) => (held as Held).drop(),
  };
  return heldSamples<A>(source, parts);
}

/** A loader of a stream's {@link Held} samples, each computed when it is asked for. */
export function heldSamples<A>(source: Stream, below: readonly Loader<unknown>[]): Loader<A> {
  const plan = (length: number): Plans.Plan<A> =>
    Plans.map((held: unknown) => (held as Held).run() as A | Promise<A>)(Plans.samples(length));
  return changed<A>(sealed<A>(source, below), { plan });
}

/** A stream of what the items of a loader expand to, once they are computed. */
export function expanded<A, B>(
  name: string,
  loader: Loader<A>,
  fingerprint: string,
  expand: (item: A) => readonly B[] | Promise<readonly B[]>,
): Loader<B> {
  const once = countable(name, [loader]).some(({ source }) => source._tag === "Stream" && source.once);
  const source: Stream = {
    _tag: "Stream",
    length: null,
    once,
    fingerprint,
    seed: loader.source.seed,
    open: (epoch, run, mark) => {
      const [skip, at] = Array.isArray(mark) && mark.length === 2 ? mark as [number, Mark] : [0, undefined];
      const start = at === undefined ? beginning(loader) : startOf(at);
      let [before, after] = [start, start];
      let [rest, given]: [readonly B[], number] = [[], 0];
      let dropped = skip;
      const inner = items(passOf(loader, epoch), () => start, (item, end) => [item, end] as const, run);
      const close = async (): Promise<void> => {
        if (once) rest.slice(given).forEach(dispose);
        rest = [];
        await inner.return?.();
      };
      return {
        next: () =>
          closingAtEnd(close, async () => {
            while (given >= rest.length) {
              const step = await inner.next();
              if (step.done) return step;
              [before, after] = [after, step.value[1]];
              rest = await expand(step.value[0]);
              if (once && rest.length === 0) dispose(step.value[0]);
              [given, dropped] = [dropped, 0];
            }
            return { done: false, value: rest[given++] };
          }),
        return: close,
        mark: () => given < rest.length ? [given, markOf(before)] : [0, markOf(after)],
      };
    },
    drop: once ? dispose : () => {},
  };
  return samplesOf<B>(source);
}

// --- combinators

/** The start of a loader's first pass. */
export function beginning({ source }: Loader<unknown>): Start {
  return { place: origin, length: source.length === Infinity ? null : source.length };
}

/** A step of a stream that closes itself where it ends or fails: its reader closes only what goes on. */
async function closingAtEnd(
  close: () => Promise<void>,
  step: () => Promise<IteratorResult<unknown, unknown>>,
): Promise<IteratorResult<unknown, unknown>> {
  let going = false;
  try {
    const result = await step();
    going = result.done !== true;
    return result;
  } finally {
    if (!going) await close();
  }
}

/** A place in a loader below, as numbers. */
function markOf({ place, length, mark }: Start): Mark {
  return [place.epoch, place.position, length, mark ?? null];
}

function startOf(mark: Mark | undefined): Start {
  const [epoch, position, length, below] = Array.isArray(mark) ? mark as readonly Mark[] : [];
  if (
    typeof epoch === "number" && typeof position === "number" && (length === null || typeof length === "number")
  ) {
    return { place: { epoch, position }, length, mark: below ?? undefined };
  }
  throw new TypeError(
    `Expected the mark of a place in a stream, found ${JSON.stringify(mark)}: leave the mark of an edited cursor out`,
  );
}

/** A sample that several others hold: computed once, and dropped if all of them drop it. */
export function shared({ run, drop }: Held): { readonly share: () => Held; readonly end: () => void } {
  let [value, computed, holders]: [unknown, boolean, number] = [undefined, false, 1];
  const less = (): void => {
    if (--holders === 0 && !computed) drop();
  };
  return {
    share: () => {
      holders++;
      return {
        run: () => {
          if (!computed) [value, computed] = [run(), true];
          less();
          return value;
        },
        drop: less,
      };
    },
    end: less,
  };
}
