/**
 * The `Loader` type: a sample source and the index plan over it, as an immutable value; and the steps that every transform shares.
 *
 * @module
 */
import { epochPlan, type IndexPlan } from "./index_plan.ts";
import { foundOrAwait } from "../validation/mod.ts";
import type { SampleRange, SampleSource } from "./source.ts";

// --- types

/** A sequence of items that are computed one at a time, and that can be resumed at any of them. */
export interface Loader<out A> {
  /** Tells a loader from other values. */
  readonly _tag: "Loader";
  /** Where the samples come from. */
  readonly source: SampleSource;
  /** The index plan over a source with this many samples per epoch. */
  readonly plan: (length: number) => IndexPlan<A>;
  /** The samples of a pass while the items are single samples in the source's order, else null. */
  readonly range: SampleRange | null;
  /** Whether each item is one sample. */
  readonly single: boolean;
  /** The transforms that decide which samples an item has, in order: part of the fingerprint of derived sources. */
  readonly chain: string;
  /** How the last transform grouped the items, or null if it did not. */
  readonly groups: ItemGroups | null;
  /** How many items are computed before they are requested. */
  readonly ahead: number;
  /** Whether an item's tensors are disposed when the next item is requested. */
  readonly owned: boolean;
  /** Receives the progress at each item. */
  readonly watch: ((progress: LoaderProgress) => void) | null;
}

/**
 * Groups of `size` items of a plan; with `dropLast`, without a shorter last group.
 *
 * @internal
 */
export interface ItemGroups {
  readonly size: number;
  readonly dropLast: boolean;
  readonly plan: (length: number) => IndexPlan<unknown>;
}

/** How far an iteration is. */
export interface LoaderProgress {
  /** Items up to this one, counted from the loader's start, after a resume too. */
  readonly done: number;
  /** Items of the loader: Infinity if it never ends, null as long as it is unknown. */
  readonly total: number | null;
  /** Completed epochs. */
  readonly epoch: number;
  /** Samples consumed of the current epoch. */
  readonly position: number;
}

// --- constructors

/** A loader of a source's single samples. The caller asserts their type: a source does not carry it. */
export function loaderOf<A>(source: SampleSource): Loader<A> {
  const range = source.length === null || source.length === Infinity ? null : { low: 0, high: source.length };
  return Object.freeze({
    _tag: "Loader",
    source,
    plan: epochPlan as (length: number) => IndexPlan<A>,
    range: range && Object.freeze(range),
    single: true,
    chain: "",
    groups: null,
    ahead: 0,
    owned: false,
    watch: null,
  });
}

// --- combinators

/** A loader with some of its fields changed. */
export function withFields<A>(loader: Loader<unknown>, fields: Partial<Omit<Loader<A>, "_tag">>): Loader<A> {
  return Object.freeze({ ...loader, ...fields } as Loader<A>);
}

/** A loader with another plan over the same source. Unless `changes` says otherwise, its items are no longer in the source's order. */
export function withPlan<A, B>(
  loader: Loader<A>,
  transform: (plan: IndexPlan<A>) => IndexPlan<B>,
  changes: Partial<Omit<Loader<B>, "_tag" | "plan" | "source">> = {},
): Loader<B> {
  const { plan } = loader;
  return withFields<B>(loader, { range: null, groups: null, ...changes, plan: (length) => transform(plan(length)) });
}

/** Whether a value is a loader. */
export function isLoader(value: unknown): value is Loader<unknown> {
  return typeof value === "object" && value !== null && "_tag" in value && value._tag === "Loader";
}

/** The loader, or a `TypeError` for another value. */
export function checkLoader<A>(name: string, loader: Loader<A>): Loader<A> {
  if (isLoader(loader)) return loader;
  throw new TypeError(
    `Expected ${name} to be given a loader, found ${
      foundOrAwait(loader, "make one with Loader.fromArray or another Loader.from…")
    }`,
  );
}

/** The loader, or a `TypeError` if the iteration disposes its items. */
export function checkUnowned<A>(name: string, loader: Loader<A>): Loader<A> {
  if (!checkLoader(name, loader).owned) return loader;
  throw new TypeError(
    `Expected ${name} to be given a loader whose items stay valid, found tensors of Loader.collate, which the iteration ` +
      "disposes: put Loader.collate last",
  );
}
