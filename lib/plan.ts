/**
 * Where the items of a loader lie in its source: pure arithmetic that reads nothing and is O(1) in the number of items.
 *
 * A plan speaks of one pass, which starts at epoch 0; only {@link repeat} moves passes to later epochs. Laws, for a
 * {@link Place} `p` that a plan gave out and `n <= length(p)`:
 *
 * - `after(after(p, m), n) = after(p, m + n)` for m, n >= 1
 * - `length(after(p, n)) = length(p) - n`, for an endless plan too
 * - `items(after(p, m), n, k) = items(p, m + n, k)`
 *
 * so a run that goes on from a place, and one that never stopped, read the same samples.
 *
 * @module
 */

// --- types

/** A place in a source: whole epochs before it, and samples of this epoch consumed by all ranks. */
export interface Place {
  readonly epoch: number;
  readonly position: number;
}

/** Samples by their place. */
export interface Samples {
  /** How many epochs of the source lie before the epoch 0 that is spoken of here. */
  readonly base: number;
  /** The sample right after a place, or a promise of it. */
  readonly at: (epoch: number, position: number) => unknown;
  /** Its number in the source, whatever order it comes in. */
  readonly index: (epoch: number, position: number) => number;
}

/** What a sample was computed from: its epoch, and its number in the source. */
export type Placed<A, B> = (item: A, epoch: number, index: number) => B | Promise<B>;

/** How items are dealt out in rounds: `size` of every `round` of them, from `offset` on. */
export interface Deal {
  readonly size: number;
  readonly round: number;
  readonly offset: number;
  /** Fill the last round with the first items of the pass. */
  readonly even: boolean;
  /** Leave out a last round that is not whole. */
  readonly drop: boolean;
}

/** One pass over a loader, as arithmetic. */
export interface Plan<out A> {
  /** How many epochs of the source the pass spans; it may be Infinity. */
  readonly epochs: number;
  /** Samples that an epoch of unknown length must prove to have before a place in a later epoch can be believed. */
  readonly needs: number;
  /** How many of the first samples of an epoch are asked for again at its end. */
  readonly head: number;
  /** How many items there are from a place to the end of the pass; it may be Infinity. */
  readonly length: (from: Place) => number;
  /** How many items there are from the start of the pass to a place. */
  readonly count: (to: Place) => number;
  /** The place n items later; n beyond the length is the length. After the last item that is past any dropped tail. */
  readonly after: (from: Place, n: number) => Place;
  /** Names the samples of the i-th item from a place on; those of the head that fill a last round come after the others. */
  readonly names: (from: Place, i: number, visit: (epoch: number, position: number) => void) => void;
  /**
   * So many items from a place on, the first of them the i-th, all below the length: in an array of the caller's own, each at hand or
   * yet to come. Many at a time, because the samples of a batch are then read from memory side by side and not one after another.
   */
  readonly items: (from: Place, i: number, count: number, samples: Samples) => Coming<A>[];
}

/** An item, or a promise of it. */
export type Coming<A> = A | Promise<A>;

// --- constructors

/** The start of every pass. */
export const origin: Place = { epoch: 0, position: 0 };

/** One epoch of single samples; an unknown length is Infinity. */
export function samples(length: number): Plan<unknown> {
  const left = ({ position }: Place): number => Math.max(0, length - position);
  return {
    epochs: 1,
    needs: 0,
    head: 0,
    length: left,
    count: ({ epoch, position }) => times(epoch, length) + position,
    after: (from, n) => {
      if (n === 0) return from;
      return n >= left(from)
        ? { epoch: from.epoch + 1, position: 0 }
        : { epoch: from.epoch, position: from.position + n };
    },
    names: ({ epoch, position }, i, visit) => visit(epoch, position + i),
    items: ({ epoch, position }, i, count, samples) => {
      const values: unknown[] = [];
      try {
        for (let k = i; k < i + count; k++) values.push(samples.at(epoch, position + k));
      } catch (cause) {
        throw abandoned(values, cause);
      }
      return values;
    },
  };
}

// --- combinators

/**
 * Whether a pass spans as many epochs however many samples they have: not if it is cut after so many items, wherever that is.
 *
 * Longer epochs have no fewer items, so that a pass touches most of them where an epoch has the least samples that make an item.
 */
export function isWhole(plan: (length: number) => Plan<unknown>): boolean {
  const some = (length: number): boolean => plan(length).length(origin) > 0;
  let [none, least] = [0, 1];
  for (; least < 2 ** 40 && !some(least); least *= 2) none = least;
  while (least - none > 1) {
    const middle = Math.floor((none + least) / 2);
    if (some(middle)) least = middle;
    else none = middle;
  }
  return plan(least).epochs === plan(Infinity).epochs;
}

/** A count of items that a double holds exactly. */
function exact(n: number): number {
  if (Number.isSafeInteger(n) || n === Infinity) return n;
  throw new TypeError(`Expected a place before sample 2^53, found one about ${n} items on: skip fewer`);
}

/** A product in which nothing times infinity is nothing. */
export function times(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : a * b;
}

/** Whether a value is yet to come. */
export function isPromise<A>(value: A | Promise<A>): value is Promise<A> {
  return typeof value === "object" && value instanceof Promise;
}

/** Applies a function to a value now, or to one that is yet to come when it has. */
export function then<A, B>(value: A | Promise<A>, f: (value: A) => B | Promise<B>): B | Promise<B> {
  return isPromise(value) ? value.then(f) : f(value);
}

/** What was thrown, and nobody waits for the promises among the values before it. */
function abandoned(values: readonly unknown[], cause: unknown): unknown {
  for (const value of values) if (isPromise(value)) value.catch(() => {});
  return cause;
}

/** Values in order, all asked for at once. */
function asked<A>(count: number, item: (i: number) => Coming<A>): Coming<A>[] {
  const values: Coming<A>[] = [];
  try {
    for (let i = 0; i < count; i++) values.push(item(i));
  } catch (cause) {
    throw abandoned(values, cause);
  }
  return values;
}

/** A list of values, or a promise of it where one of them is a promise. */
function all<A>(values: Coming<A>[]): A[] | Promise<A[]> {
  return values.some(isPromise) ? Promise.all(values) : values as A[];
}

/** Values in order, all asked for at once: a list, or a promise of it once one of them is a promise. */
export function gather<A>(count: number, item: (i: number) => Coming<A>): A[] | Promise<A[]> {
  return all(asked(count, item));
}

/** One item: the i-th from a place on, for i below the length. */
export function itemAt<A>(plan: Plan<A>, from: Place, i: number, samples: Samples): Coming<A> {
  return plan.items(from, i, 1, samples)[0] as Coming<A>;
}

/** Each item through a function. */
export function map<A, B>(f: (item: A) => Coming<B>): (plan: Plan<A>) => Plan<B> {
  return (plan) => ({
    ...plan,
    items: (from, i, count, samples) => {
      const values: unknown[] = plan.items(from, i, count, samples);
      try {
        for (let k = 0; k < count; k++) values[k] = then(values[k] as Coming<A>, f);
      } catch (cause) {
        throw abandoned(values, cause);
      }
      return values as Coming<B>[];
    },
  });
}

/** Each single sample through a function that is told which one it is. */
export function placed<A, B>(f: Placed<A, B>): (plan: Plan<A>) => Plan<B> {
  return (plan) => ({
    ...plan,
    items: (from, i, count, samples) =>
      asked(count, (k) => {
        let [epoch, index] = [0, 0];
        const item = itemAt(plan, from, i + k, {
          ...samples,
          at: (e, p) => {
            epoch = samples.base + e;
            index = samples.index(e, p);
            return samples.at(e, p);
          },
        });
        return then(item, (value) => f(value, epoch, index));
      }),
  });
}

/** Where the groups of a deal lie, and how to read them. */
function dealt<A, B>(
  plan: Plan<A>,
  { size, round, offset, even, drop }: Deal,
  group: (items: Coming<A>[]) => Coming<B>,
): Plan<B> {
  const length = (from: Place): number => {
    const left = plan.length(from);
    if (drop) return Math.floor(left / round);
    return Math.max(0, Math.ceil((left - (even ? 0 : offset)) / round));
  };
  const counted = (from: Place, first: number): number => even ? size : Math.min(size, plan.length(from) - first);
  const head = even && !drop ? plan.after(origin, round) : origin;
  return {
    ...plan,
    head: Math.max(plan.head, head.epoch > 0 ? Infinity : head.position),
    length,
    count: (to) => Math.min(length(origin), Math.ceil(plan.count(to) / round)),
    after: (from, k) =>
      drop && k > 0 && k >= length(from)
        ? plan.after(from, plan.length(from))
        : plan.after(from, exact(Math.min(k, length(from)) * round)),
    names: (from, i, visit) => {
      const first = exact(i * round) + offset;
      const left = plan.length(from);
      const last = first + counted(from, first);
      for (let j = first; j < Math.min(last, left); j++) plan.names(from, j, visit);
      for (let j = Math.max(first, left); j < last; j++) plan.names(origin, (j - left) % plan.length(origin), visit);
    },
    items: (from, i, count, samples) =>
      asked(count, (k) => {
        const first = exact((i + k) * round) + offset;
        const wanted = counted(from, first);
        const left = plan.length(from) - first;
        if (wanted <= left) return group(plan.items(from, first, wanted, samples));
        return group(asked(wanted, (j) =>
          j < left
            ? itemAt(plan, from, first + j, samples)
            : itemAt(plan, origin, (j - left) % plan.length(origin), samples)));
      }),
  };
}

/** The items that a deal gives out, as arrays: groups of n are a deal of whole rounds of n. */
export function deal(how: Deal): <A>(plan: Plan<A>) => Plan<A[]> {
  return (plan) => dealt(plan, how, all);
}

/**
 * The items that a deal of single items gives out.
 *
 * Places move past the items of all ranks, so after equally many items all ranks stand at one place; where the items do
 * not come out even, the ranks without a last one stay before it.
 */
export function dealSingle(how: Omit<Deal, "size">): <A>(plan: Plan<A>) => Plan<A> {
  return <A>(plan: Plan<A>) => dealt<A, A>(plan, { ...how, size: 1 }, ([item]) => item as Coming<A>);
}

/**
 * The first n items of a pass.
 *
 * Within one epoch the rest of the epoch is a dropped tail. Over several epochs n is a limit of steps, and the place
 * stays where the last step left it, so that a higher limit goes on from there; the pass spans the epochs it touches.
 */
export function take(n: number): <A>(plan: Plan<A>) => Plan<A> {
  return (plan) => {
    const length = (from: Place): number => Math.min(plan.length(from), Math.max(0, n - plan.count(from)));
    const end = plan.after(origin, n);
    return {
      ...plan,
      epochs: Math.max(1, end.position > 0 ? end.epoch + 1 : end.epoch),
      needs: Math.max(plan.needs, end.position),
      length,
      count: (to) => Math.min(n, plan.count(to)),
      after: (from, k) =>
        plan.epochs === 1 && k > 0 && k >= length(from)
          ? { epoch: from.epoch + 1, position: 0 }
          : plan.after(from, Math.min(k, length(from))),
    };
  };
}

/** A pass without its first n items. */
export function skip(n: number): <A>(plan: Plan<A>) => Plan<A> {
  return (plan) => {
    const left = (from: Place): number => Math.max(0, n - plan.count(from));
    return {
      ...plan,
      length: (from) => Math.max(0, plan.length(from) - left(from)),
      count: (to) => Math.max(0, plan.count(to) - n),
      after: (from, k) => plan.after(from, exact(left(from) + k)),
      names: (from, i, visit) => plan.names(from, exact(left(from) + i), visit),
      items: (from, i, count, samples) => plan.items(from, exact(left(from) + i), count, samples),
    };
  };
}

/** The samples as seen from a pass that begins so many epochs later. */
export function shiftedSamples(samples: Samples, epochs: number): Samples {
  return epochs === 0 ? samples : {
    base: samples.base + epochs,
    at: (epoch, position) => samples.at(epoch + epochs, position),
    index: (epoch, position) => samples.index(epoch + epochs, position),
  };
}

function shift({ epoch, position }: Place, epochs: number): Place {
  return { epoch: epoch + epochs, position };
}

/** One pass after another, each over epochs of its own; a plan that is endless already stays as it is. */
export function repeat(passes: number): <A>(plan: Plan<A>) => Plan<A> {
  return (plan) => {
    if (plan.epochs === Infinity) return plan;
    const full = plan.length(origin);
    /** The pass that a place lies in, and the place as that pass sees it. */
    const within = (place: Place): readonly [pass: number, inside: Place] => {
      const pass = Math.floor(place.epoch / plan.epochs);
      return [pass, shift(place, -pass * plan.epochs)];
    };
    /** Where the i-th item from a place on lies. */
    const locate = (from: Place, i: number): readonly [pass: number, inside: Place, i: number] => {
      const [pass, inside] = within(from);
      const first = plan.length(inside);
      if (i < first) return [pass, inside, i];
      const whole = Math.floor((i - first) / full);
      return [pass + 1 + whole, origin, i - first - times(whole, full)];
    };
    const length = (from: Place): number => {
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
      after: (from, n) => {
        const last = Math.min(n, length(from)) - 1;
        const [pass, inside, i] = last < 0 ? [...within(from), -1] as const : locate(from, last);
        return shift(plan.after(inside, i + 1), pass * plan.epochs);
      },
      names: (from, i, visit) => {
        const [pass, inside, j] = locate(from, i);
        plan.names(inside, j, (epoch, position) => visit(epoch + pass * plan.epochs, position));
      },
      items: (from, i, count, samples) => {
        const [pass, inside, j] = locate(from, i);
        const shifted = shiftedSamples(samples, pass * plan.epochs);
        if (j + count <= plan.length(inside)) return plan.items(inside, j, count, shifted);
        return asked(count, (k) => {
          const [pass, inside, j] = locate(from, i + k);
          return itemAt(plan, inside, j, shiftedSamples(samples, pass * plan.epochs));
        });
      },
    };
  };
}
