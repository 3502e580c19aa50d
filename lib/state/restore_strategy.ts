/**
 * The two ways to restore: into fresh objects that are built from the snapshot, or into live ones.
 *
 * @module
 */
import { withArticle } from "./kind.ts";
import type { Problem } from "../errors/mod.ts";

// --- types

/** Marks that there is no live value: the restore makes a fresh one. */
export const noLiveValue: unique symbol = Symbol("noLiveValue");

/** What differs between restoring into fresh objects and into live ones. */
export interface RestoreStrategy {
  readonly isFresh: boolean;
  /** The live component of a name, or {@link noLiveValue}. */
  readonly component: (name: string) => unknown;
  /** Whether an object without a live counterpart is built. */
  readonly builds: (inFields: boolean) => boolean;
  /** The problem of an object that is neither live nor built, if it is worth reporting beside the problems found so far. */
  readonly noObject: (kind: string, problems: readonly Problem[]) => Omit<Problem, "path"> | undefined;
  /**
   * Accepts that a reference of the snapshot is a different object on the live side, by adopting the shared object if it can be.
   *
   * @param shared The object that the reference refers to, if it is restored in place.
   * @param adopt Puts the shared object in the place of the different one.
   */
  readonly acceptsUnshared: (
    shared: object | undefined,
    adopt: ((shared: unknown) => void) | undefined,
    inFields: boolean,
  ) => boolean;
}

// --- constructors

/** Builds every object from the snapshot. Objects that building made separate adopt what the snapshot shares. */
export const fresh: RestoreStrategy = {
  isFresh: true,
  component: () => noLiveValue,
  builds: () => true,
  // A kind that cannot build an object usually reports why.
  noObject: (kind, problems) =>
    problems.length > 0
      ? undefined
      : { kind: "class", expected: `${withArticle(kind)} that can be built`, found: "one that cannot" },
  acceptsUnshared: (shared, adopt, inFields) => {
    if (shared === undefined || adopt === undefined) return inFields;
    adopt(shared);
    return true;
  },
};

/**
 * Restores in place. Only within fields is an object built, because a script cannot create an optimizer's fields before it trains.
 *
 * @param live The live components by name.
 */
export function intoLive(live: Readonly<Record<string, unknown>>): RestoreStrategy {
  return {
    isFresh: false,
    component: (name) => Object.hasOwn(live, name) ? live[name] : noLiveValue,
    builds: (inFields) => inFields,
    noObject: (kind) => ({
      kind: "extra",
      expected: "nothing here, as in the live components",
      found: `${withArticle(kind)} in the snapshot`,
    }),
    acceptsUnshared: () => false,
  };
}
