/**
 * Where the items of a loader lie in its source: pure arithmetic that reads nothing and is O(1) in the number of items.
 *
 * A plan speaks of one pass, which starts at epoch 0; only {@link repeat} moves passes to later epochs. Laws, for a
 * {@link Place} `p` that a plan gave out and `n <= length(p)`:
 *
 * - `after(after(p, m), n) = after(p, m + n)` for m, n >= 1
 * - `length(after(p, n)) = length(p) - n`, for an endless plan too
 * - `at(after(p, m), n) = at(p, m + n)`
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

/** A value that is computed when it is called for, and not if nobody calls. */
export type Lazy<A> = () => A | Promise<A>;

/** Gives the sample right after a place. */
export type Read = (place: Place) => Lazy<unknown>;

/** One pass over a loader, as arithmetic. */
export interface Plan<out A> {
  /** How many epochs of the source the pass spans; it may be Infinity. */
  readonly epochs: number;
  /** Samples that an epoch of unknown length must prove to have before a place in a later epoch can be believed. */
  readonly needs: number;
  /** How many items there are from a place to the end of the pass; it may be Infinity. */
  readonly length: (from: Place) => number;
  /** How many items there are from the start of the pass to a place. */
  readonly count: (to: Place) => number;
  /** The place n items later; n beyond the length is the length. After the last item that is past any dropped tail. */
  readonly after: (from: Place, n: number) => Place;
  /** The i-th item from a place on, for i below the length. It names its samples at once, in ascending order, and computes later. */
  readonly at: (from: Place, i: number, read: Read) => Lazy<A>;
}

// --- constructors

/** The start of every pass. */
export const origin: Place = { epoch: 0, position: 0 };

/** One epoch of single samples; an unknown length is Infinity. */
export function samples(length: number): Plan<unknown> {
  const left = ({ position }: Place): number => Math.max(0, length - position);
  return {
    epochs: 1,
    needs: 0,
    length: left,
    count: ({ position }) => position,
    after: (from, n) => {
      if (n === 0) return from;
      return n >= left(from)
        ? { epoch: from.epoch + 1, position: 0 }
        : { epoch: from.epoch, position: from.position + n };
    },
    at: ({ epoch, position }, i, read) => read({ epoch, position: position + i }),
  };
}

// --- combinators

/** A count of items that a double holds exactly. */
function exact(n: number): number {
  if (Number.isSafeInteger(n) || n === Infinity) return n;
  throw new TypeError(`Expected a place before sample 2^53, found one about ${n} items on: skip fewer`);
}

/** A product in which nothing times infinity is nothing. */
function times(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : a * b;
}

function isPromise<A>(value: A | Promise<A>): value is Promise<A> {
  return value instanceof Promise;
}

/** Values in order; the first promise starts all that come after it. */
function all<A>(items: readonly Lazy<A>[]): A[] | Promise<A[]> {
  const values: A[] = [];
  for (const item of items) {
    const value = item();
    if (isPromise(value)) {
      const later = items.slice(values.length + 1).map(async (rest) => await rest());
      return Promise.all([...values, value, ...later]);
    }
    values.push(value);
  }
  return values;
}

/** Each item through a function. */
export function map<A, B>(f: (item: A) => B | Promise<B>): (plan: Plan<A>) => Plan<B> {
  return (plan) => ({
    ...plan,
    at: (from, i, read) => {
      const item = plan.at(from, i, read);
      return () => {
        const value = item();
        return isPromise(value) ? value.then(f) : f(value);
      };
    },
  });
}

/** Groups of n items; the last one of a pass is shorter or dropped. */
export function batch(n: number, dropLast: boolean): <A>(plan: Plan<A>) => Plan<A[]> {
  return <A>(plan: Plan<A>) => {
    const length = (from: Place): number => {
      const groups = plan.length(from) / n;
      return dropLast ? Math.floor(groups) : Math.ceil(groups);
    };
    return {
      ...plan,
      length,
      count: (to) => Math.ceil(plan.count(to) / n),
      after: (from, k) =>
        k > 0 && k >= length(from) ? plan.after(from, plan.length(from)) : plan.after(from, exact(k * n)),
      at: (from, i, read) => {
        const first = exact(i * n);
        const size = Math.min(n, plan.length(from) - first);
        const items = Array.from({ length: size }, (_, j): Lazy<A> => plan.at(from, first + j, read));
        return () => all(items);
      },
    };
  };
}

/**
 * Every world-th item, beginning with that of the rank.
 *
 * Places move past the items of all ranks, so after equally many items all ranks stand at one place; where the items do
 * not come out even, the ranks without a last one stay before it.
 */
export function shard(rank: number, world: number): <A>(plan: Plan<A>) => Plan<A> {
  return (plan) => {
    const length = (from: Place): number => Math.max(0, Math.ceil((plan.length(from) - rank) / world));
    return {
      ...plan,
      length,
      count: (to) => Math.ceil(plan.count(to) / world),
      after: (from, k) => plan.after(from, exact(Math.min(k, length(from)) * world)),
      at: (from, i, read) => plan.at(from, exact(i * world) + rank, read),
    };
  };
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
      epochs: Math.max(1, end.position > 0 ? end.epoch + 1 : end.epoch),
      needs: Math.max(plan.needs, end.position),
      length,
      count: (to) => Math.min(n, plan.count(to)),
      after: (from, k) =>
        plan.epochs === 1 && k > 0 && k >= length(from)
          ? { epoch: from.epoch + 1, position: 0 }
          : plan.after(from, Math.min(k, length(from))),
      at: plan.at,
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
      at: (from, i, read) => plan.at(from, exact(left(from) + i), read),
    };
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
      epochs: passes * plan.epochs,
      needs: plan.needs,
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
      at: (from, i, read) => {
        const [pass, inside, j] = locate(from, i);
        return plan.at(inside, j, (place) => read(shift(place, pass * plan.epochs)));
      },
    };
  };
}
