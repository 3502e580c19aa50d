/**
 * Index plans: the arithmetic that maps item numbers of a loader to sample positions in its source.
 *
 * A plan reads nothing and costs O(1) in the number of items. It describes one pass, which starts at epoch 0 of the source; only
 * {@link repeatPasses} reaches later epochs. Laws, for a {@link SourcePosition} `p` that the plan returned and `n <= length(p)`:
 *
 * - `after(after(p, m), n) = after(p, m + n)` for m, n >= 1
 * - `length(after(p, n)) = length(p) - n`, for endless plans too
 * - `items(after(p, m), n, k) = items(p, m + n, k)`
 *
 * So a run that resumes at a position reads the same samples as a run that never stopped.
 *
 * @module
 */

// --- types

/** A position in a source: completed epochs, and samples of the current epoch that all ranks together have consumed. */
export interface SourcePosition {
  readonly epoch: number;
  readonly position: number;
}

/** Reads samples by epoch and position. */
export interface SampleAccess {
  /** Epochs of the source before epoch 0 of this pass. */
  readonly base: number;
  /** The sample right after a position, or a promise of it. */
  readonly at: (epoch: number, position: number) => unknown;
  /** The index of that sample in the source, before any shuffle. */
  readonly index: (epoch: number, position: number) => number;
}

/** Computes an item from a sample, its epoch and its index in the source. */
type SampleFunction<A, B> = (sample: A, epoch: number, index: number) => B | Promise<B>;

/** How items are divided into rounds, and which part of each round makes a group: `size` items from `offset` on. */
export interface Rounds {
  readonly size: number;
  /** Items in a round. */
  readonly round: number;
  readonly offset: number;
  /** Fill an incomplete last round with the first items of the pass. */
  readonly fill: boolean;
  /** Leave out an incomplete last round. */
  readonly drop: boolean;
}

/**
 * One pass over a loader.
 *
 * @internal
 */
export interface IndexPlan<out A> {
  /** Epochs of the source that the pass spans; Infinity for an endless pass. */
  readonly epochs: number;
  /** The least number of samples that an epoch must have for positions in later epochs to be valid. */
  readonly minSamples: number;
  /** How many samples at the start of an epoch are read again to fill its last round. */
  readonly reread: number;
  /** Items from a position to the end of the pass; Infinity for an endless pass. */
  readonly length: (from: SourcePosition) => number;
  /** Items from the start of the pass to a position. */
  readonly count: (to: SourcePosition) => number;
  /**
   * The epoch of the item right after a position: of its first sample. At the end of the pass, the number of epochs that are complete; a limit of
   * steps completes none.
   */
  readonly epochAt: (from: SourcePosition) => number;
  /** The position n items later, at most the end of the pass. After the last item it is past any dropped tail. */
  readonly after: (from: SourcePosition, n: number) => SourcePosition;
  /** Visits the positions of the samples of the i-th item from a position on; samples that fill the last round come last. */
  readonly visitSamples: (from: SourcePosition, i: number, visit: (epoch: number, position: number) => void) => void;
  /**
   * `count` consecutive items, the first of them the i-th from a position on, as a new array that the caller may change. All must be below
   * {@link IndexPlan.length}. Reading a batch in one call starts all its reads before the first one is awaited.
   */
  readonly items: (from: SourcePosition, i: number, count: number, samples: SampleAccess) => MaybePromise<A>[];
}

/** A value, or a promise of it. */
export type MaybePromise<A> = A | Promise<A>;

// --- constructors

/** The start of every pass. */
export const origin: SourcePosition = { epoch: 0, position: 0 };

/** One epoch of single samples; an unknown length is Infinity. */
export function epochPlan(length: number): IndexPlan<unknown> {
  const left = ({ position }: SourcePosition): number => Math.max(0, length - position);
  return {
    epochs: 1,
    minSamples: 0,
    reread: 0,
    length: left,
    count: ({ epoch, position }) => times(epoch, length) + position,
    epochAt: ({ epoch, position }) => position < length ? epoch : epoch + 1,
    after: (from, n) => {
      if (n === 0) return from;
      return n >= left(from)
        ? { epoch: from.epoch + 1, position: 0 }
        : { epoch: from.epoch, position: from.position + n };
    },
    visitSamples: ({ epoch, position }, i, visit) => visit(epoch, position + i),
    items: ({ epoch, position }, i, count, samples) => {
      const values: unknown[] = [];
      try {
        for (let k = i; k < i + count; k++) values.push(samples.at(epoch, position + k));
      } catch (cause) {
        throw withoutPending(values, cause);
      }
      return values;
    },
  };
}

// --- combinators

/**
 * Whether a pass spans the same number of epochs for every epoch length. It does not if it is cut after a fixed number of items.
 *
 * A pass touches most epochs where an epoch has the least samples that make one item, so that length is searched and compared with an
 * endless epoch.
 */
export function spansWholeEpochs(plan: (length: number) => IndexPlan<unknown>): boolean {
  const hasItems = (length: number): boolean => plan(length).length(origin) > 0;
  let [none, least] = [0, 1];
  for (; least < 2 ** 40 && !hasItems(least); least *= 2) none = least;
  while (least - none > 1) {
    const middle = Math.floor((none + least) / 2);
    if (hasItems(middle)) least = middle;
    else none = middle;
  }
  return plan(least).epochs === plan(Infinity).epochs;
}

/** A number of items, or a `TypeError` if a double does not hold it exactly. */
function exactCount(n: number): number {
  if (Number.isSafeInteger(n) || n === Infinity) return n;
  throw new TypeError(`Expected a position before sample 2^53, found one about ${n} items later: skip fewer items`);
}

/** A product in which 0 times Infinity is 0. */
export function times(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : a * b;
}

/** Whether a value is a promise. */
export function isPromise<A>(value: A | Promise<A>): value is Promise<A> {
  return typeof value === "object" && value instanceof Promise;
}

/** Applies a function to a value at once, or to the result of a promise when it resolves. */
export function whenReady<A, B>(value: A | Promise<A>, f: (value: A) => B | Promise<B>): B | Promise<B> {
  return isPromise(value) ? value.then(f) : f(value);
}

/** The error, after marking the rejections of the promises among the values as handled: they are not awaited. */
function withoutPending(values: readonly unknown[], cause: unknown): unknown {
  for (const value of values) if (isPromise(value)) value.catch(() => {});
  return cause;
}

/** Values in order, each started before the first is awaited. */
function startAll<A>(count: number, item: (i: number) => MaybePromise<A>): MaybePromise<A>[] {
  const values: MaybePromise<A>[] = [];
  try {
    for (let i = 0; i < count; i++) values.push(item(i));
  } catch (cause) {
    throw withoutPending(values, cause);
  }
  return values;
}

/** A list of values, or a promise of it where one of them is a promise. */
function awaitAll<A>(values: MaybePromise<A>[]): A[] | Promise<A[]> {
  return values.some(isPromise) ? Promise.all(values) : values as A[];
}

/** Values in order, each started before the first is awaited: a list, or a promise of it where one of them is a promise. */
export function gather<A>(count: number, item: (i: number) => MaybePromise<A>): A[] | Promise<A[]> {
  return awaitAll(startAll(count, item));
}

/** The i-th item from a position on, for i below the length. */
export function itemAt<A>(plan: IndexPlan<A>, from: SourcePosition, i: number, samples: SampleAccess): MaybePromise<A> {
  return plan.items(from, i, 1, samples)[0] as MaybePromise<A>;
}

/** Applies a function to each item. */
export function mapItems<A, B>(f: (item: A) => MaybePromise<B>): (plan: IndexPlan<A>) => IndexPlan<B> {
  return (plan) => ({
    ...plan,
    items: (from, i, count, samples) => {
      const values: unknown[] = plan.items(from, i, count, samples);
      try {
        for (let k = 0; k < count; k++) values[k] = whenReady(values[k] as MaybePromise<A>, f);
      } catch (cause) {
        throw withoutPending(values, cause);
      }
      return values as MaybePromise<B>[];
    },
  });
}

/** Applies a function to each single sample, with its epoch and its index in the source. */
export function mapSamples<A, B>(f: SampleFunction<A, B>): (plan: IndexPlan<A>) => IndexPlan<B> {
  return (plan) => ({
    ...plan,
    items: (from, i, count, samples) =>
      startAll(count, (k) => {
        let [epoch, index] = [0, 0];
        const item = itemAt(plan, from, i + k, {
          ...samples,
          at: (e, p) => {
            epoch = samples.base + e;
            index = samples.index(e, p);
            return samples.at(e, p);
          },
        });
        return whenReady(item, (value) => f(value, epoch, index));
      }),
  });
}

/** One group of each round; `combine` makes the item from the group's values. */
function groupRounds<A, B>(
  plan: IndexPlan<A>,
  { size, round, offset, fill, drop }: Rounds,
  combine: (items: MaybePromise<A>[]) => MaybePromise<B>,
): IndexPlan<B> {
  const length = (from: SourcePosition): number => {
    const left = plan.length(from);
    if (drop) return Math.floor(left / round);
    return Math.max(0, Math.ceil((left - (fill ? 0 : offset)) / round));
  };
  const sizeAt = (from: SourcePosition, first: number): number =>
    fill ? size : Math.min(size, plan.length(from) - first);
  const firstRound = fill && !drop ? plan.after(origin, round) : origin;
  return {
    ...plan,
    reread: Math.max(plan.reread, firstRound.epoch > 0 ? Infinity : firstRound.position),
    length,
    count: (to) => Math.min(length(origin), Math.ceil(plan.count(to) / round)),
    epochAt: (from) => {
      const left = plan.length(from);
      return plan.epochAt(plan.after(from, length(from) === 0 ? left : offset < left ? offset : 0));
    },
    after: (from, k) =>
      drop && k > 0 && k >= length(from)
        ? plan.after(from, plan.length(from))
        : plan.after(from, exactCount(Math.min(k, length(from)) * round)),
    visitSamples: (from, i, visit) => {
      const first = exactCount(i * round) + offset;
      const left = plan.length(from);
      const end = first + sizeAt(from, first);
      for (let j = first; j < Math.min(end, left); j++) plan.visitSamples(from, j, visit);
      for (let j = Math.max(first, left); j < end; j++) {
        plan.visitSamples(origin, (j - left) % plan.length(origin), visit);
      }
    },
    items: (from, i, count, samples) =>
      startAll(count, (k) => {
        const first = exactCount((i + k) * round) + offset;
        const wanted = sizeAt(from, first);
        const left = plan.length(from) - first;
        if (wanted <= left) return combine(plan.items(from, first, wanted, samples));
        return combine(startAll(wanted, (j) =>
          j < left
            ? itemAt(plan, from, first + j, samples)
            : itemAt(plan, origin, (j - left) % plan.length(origin), samples)));
      }),
  };
}

/** One group of each round, as an array. */
export function groupsOf(rounds: Rounds): <A>(plan: IndexPlan<A>) => IndexPlan<A[]> {
  return (plan) => groupRounds(plan, rounds, awaitAll);
}

/**
 * One item of each round.
 *
 * A position advances by whole rounds, so all ranks are at the same position after the same number of items. Where the last round is
 * incomplete, the ranks without an item in it stay before it.
 */
export function everyNth(rounds: Omit<Rounds, "size">): <A>(plan: IndexPlan<A>) => IndexPlan<A> {
  return <A>(plan: IndexPlan<A>) =>
    groupRounds<A, A>(plan, { ...rounds, size: 1 }, ([item]) => item as MaybePromise<A>);
}

/**
 * The first n items of a pass.
 *
 * Within one epoch the rest of the epoch is a dropped tail. Over several epochs n is a limit of steps: the position stays where the last
 * step left it, so that a higher limit resumes there. The pass spans the epochs that it touches.
 */
export function takeItems(n: number): <A>(plan: IndexPlan<A>) => IndexPlan<A> {
  return (plan) => {
    const length = (from: SourcePosition): number => Math.min(plan.length(from), Math.max(0, n - plan.count(from)));
    const end = plan.after(origin, n);
    return {
      ...plan,
      epochs: Math.max(1, end.position > 0 ? end.epoch + 1 : end.epoch),
      minSamples: Math.max(plan.minSamples, end.position),
      length,
      count: (to) => Math.min(n, plan.count(to)),
      epochAt: (from) =>
        plan.epochs === 1 && from.position > 0 && length(from) === 0 ? from.epoch + 1 : plan.epochAt(from),
      after: (from, k) =>
        plan.epochs === 1 && k > 0 && k >= length(from)
          ? { epoch: from.epoch + 1, position: 0 }
          : plan.after(from, Math.min(k, length(from))),
    };
  };
}

/** A pass without its first n items. */
export function skipItems(n: number): <A>(plan: IndexPlan<A>) => IndexPlan<A> {
  return (plan) => {
    const left = (from: SourcePosition): number => Math.max(0, n - plan.count(from));
    return {
      ...plan,
      length: (from) => Math.max(0, plan.length(from) - left(from)),
      count: (to) => Math.max(0, plan.count(to) - n),
      epochAt: (from) => plan.epochAt(plan.after(from, left(from))),
      after: (from, k) => plan.after(from, exactCount(left(from) + k)),
      visitSamples: (from, i, visit) => plan.visitSamples(from, exactCount(left(from) + i), visit),
      items: (from, i, count, samples) => plan.items(from, exactCount(left(from) + i), count, samples),
    };
  };
}

/** The samples as a pass sees them that begins this many epochs later. */
export function shiftSamples(samples: SampleAccess, epochs: number): SampleAccess {
  return epochs === 0 ? samples : {
    base: samples.base + epochs,
    at: (epoch, position) => samples.at(epoch + epochs, position),
    index: (epoch, position) => samples.index(epoch + epochs, position),
  };
}

function shift({ epoch, position }: SourcePosition, epochs: number): SourcePosition {
  return { epoch: epoch + epochs, position };
}

/** Several passes one after another, each over its own epochs; an endless plan is returned unchanged. */
export function repeatPasses(passes: number): <A>(plan: IndexPlan<A>) => IndexPlan<A> {
  return (plan) => {
    if (plan.epochs === Infinity) return plan;
    const full = plan.length(origin);
    /** The pass that a position is in, and the position relative to that pass. */
    const within = (position: SourcePosition): readonly [pass: number, inside: SourcePosition] => {
      const pass = Math.floor(position.epoch / plan.epochs);
      return [pass, shift(position, -pass * plan.epochs)];
    };
    /** The i-th item from a position on: its pass, and its number from a position in that pass. */
    const locate = (from: SourcePosition, i: number): readonly [pass: number, inside: SourcePosition, i: number] => {
      const [pass, inside] = within(from);
      const first = plan.length(inside);
      if (i < first) return [pass, inside, i];
      const whole = Math.floor((i - first) / full);
      return [pass + 1 + whole, origin, i - first - times(whole, full)];
    };
    const length = (from: SourcePosition): number => {
      const [pass, inside] = within(from);
      return plan.length(inside) + times(passes - 1 - pass, full);
    };
    return {
      ...plan,
      epochs: passes * plan.epochs,
      length,
      count: (to) => {
        const [pass, inside] = within(to);
        return times(pass, full) + plan.count(inside);
      },
      epochAt: (from) => {
        const [pass, inside] = within(from);
        const epochs = pass * plan.epochs;
        return plan.length(inside) > 0 ? epochs + plan.epochAt(inside) : epochs + plan.epochs;
      },
      after: (from, n) => {
        const last = Math.min(n, length(from)) - 1;
        const [pass, inside, i] = last < 0 ? [...within(from), -1] as const : locate(from, last);
        return shift(plan.after(inside, i + 1), pass * plan.epochs);
      },
      visitSamples: (from, i, visit) => {
        const [pass, inside, j] = locate(from, i);
        plan.visitSamples(inside, j, (epoch, position) => visit(epoch + pass * plan.epochs, position));
      },
      items: (from, i, count, samples) => {
        const [pass, inside, j] = locate(from, i);
        const shifted = shiftSamples(samples, pass * plan.epochs);
        if (j + count <= plan.length(inside)) return plan.items(inside, j, count, shifted);
        return startAll(count, (k) => {
          const [pass, inside, j] = locate(from, i + k);
          return itemAt(plan, inside, j, shiftSamples(samples, pass * plan.epochs));
        });
      },
    };
  };
}
