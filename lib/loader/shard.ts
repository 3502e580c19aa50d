/**
 * Sharding: the items of one rank of a data-parallel run.
 *
 * @module
 */
import { checkLoader, type ItemGroups, type Loader, withFields, withPlan } from "./types.ts";
import {
  aBoolean,
  checkCurried,
  checkOptionNames,
  demand,
  ifGiven,
  integer,
  type OptionNames,
} from "../validation/mod.ts";
import { everyNth, groupsOf, type IndexPlan } from "./index_plan.ts";

// --- types

/** The rank and the number of ranks, and how an incomplete last round is treated. */
export interface Share {
  /** This rank: an integer from 0, below `world`. */
  readonly rank: number;
  /** The number of ranks, an integer from 1. */
  readonly world: number;
  /** Fill the last round with the first items of the pass, so that all ranks have the same number; false by default. */
  readonly evenBatches?: boolean;
  /** Divide each batch among the ranks instead of giving whole batches in turn; false by default. */
  readonly splitBatches?: boolean;
  /** Leave out a last round in which not every rank has a whole item; false by default. */
  readonly dropLast?: boolean;
}

const shareNames: OptionNames<Share> = {
  rank: true,
  world: true,
  evenBatches: true,
  splitBatches: true,
  dropLast: true,
};

// --- combinators

/**
 * The items of one rank: items `rank`, `rank + world`, `rank + 2 world` and so on; right after `batch` these are batches.
 *
 * A cursor counts what all ranks consumed, so after the same number of items all ranks have equal cursors, and a run may resume with
 * another number of ranks and another batch size: each remaining sample comes once, in the order without ranks. In an incomplete last
 * round the first ranks have one item more, unless an option says otherwise; the options mean what Accelerate's options of these names mean.
 * Put `repeat` before `shard`: if shares of different lengths are repeated, the ranks drift apart.
 *
 * @param share `rank` and `world`, and the options. `evenBatches` fills the last round with the first samples of the pass, which then come
 * twice. `splitBatches` divides each batch among the ranks, so that `n` of `batch` is the size of all ranks together. `dropLast` leaves out
 * an incomplete round.
 * @returns A function from loader to loader; a `TypeError` where `splitBatches` does not follow a `batch` whose size is a multiple of
 * `world`, and where `evenBatches` would need a sample of a stream twice that can be read once only.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const data = Loader.fromArray([10, 11, 12, 13, 14]);
 * assert.deepEqual(await Loader.at(0)(pipe(data, Loader.shard({ rank: 1, world: 2 }), Loader.batch(2))), [11, 13]);
 * const even = pipe(data, Loader.batch(2), Loader.shard({ rank: 1, world: 2, evenBatches: true }));
 * assert.deepEqual(await Loader.at(0)(even), [12, 13]);
 * ```
 */
export function shard(share: Share): <A>(loader: Loader<A>) => Loader<A> {
  checkCurried(arguments, 1, "Loader.shard(share)(loader)");
  checkOptionNames("Loader.shard", share, shareNames);
  const { rank, world, evenBatches: fill = false, splitBatches: split = false, dropLast = false } = share;
  demand("world of Loader.shard", integer(1), world);
  demand("rank of Loader.shard", integer(0, world - 1), rank);
  for (const name of ["evenBatches", "splitBatches", "dropLast"] as const) {
    demand(`${name} of Loader.shard`, ifGiven(aBoolean), share[name]);
  }
  return <A>(loader: Loader<A>) => {
    const { groups, chain, ahead } = checkLoader("Loader.shard", loader);
    if (split) checkSplits(groups, world);
    // A round is also left out where the batches before it leave out theirs.
    const drop = dropLast || ((fill || split) && (groups?.dropLast ?? false));
    if (fill && !drop) checkRereadable(loader);
    const options = `${fill && !drop ? ",even" : ""}${split ? ",split" : ""}${drop ? ",drop" : ""}`;
    const changes = {
      chain: `${chain} shard(${rank}/${world}${options})`,
      ahead: Math.ceil(ahead / (split ? 1 : world)),
    };
    if (groups === null || !(fill || split || drop)) {
      return withPlan<A, A>(loader, everyNth({ round: world, offset: rank, fill, drop }), changes);
    }
    const size = split ? groups.size / world : groups.size;
    const part = groupsOf({ size, round: split ? groups.size : size * world, offset: rank * size, fill, drop });
    // The items are groups that `batch` made, so groups of the same samples are items of the same type.
    const plan = (length: number) => part(groups.plan(length)) as IndexPlan<unknown> as IndexPlan<A>;
    return withFields<A>(loader, { ...changes, range: null, groups: null, plan });
  };
}

function checkSplits(groups: ItemGroups | null, world: number): void {
  if (groups !== null && groups.size % world === 0) return;
  throw new TypeError(
    `Expected splitBatches of Loader.shard to follow a Loader.batch whose size is a multiple of ${world}, found ` +
      (groups === null ? "no batch size right before it" : `batches of ${groups.size}`),
  );
}

/** Checks that the first samples of an epoch can be read again at its end. */
function checkRereadable({ source, plan }: Loader<unknown>): void {
  if (source._tag === "Indexed" || (!source.singleUse && plan(Infinity).epochs === 1)) return;
  throw new TypeError(
    "Expected evenBatches of Loader.shard to be given samples that can be read twice, found " +
      (source.singleUse
        ? "a stream whose reader disposes its samples"
        : "a stream of several epochs: put repeat after it"),
  );
}
