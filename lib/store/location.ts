/**
 * What this process remembers of a location of checkpoints between saves and loads: entries, current runs, files of the last save.
 *
 * All stores of one location share one {@link LocationState}, so a second `directory(path)` continues the run that the first one saves.
 * Each module declares the value that it keeps there with {@link perLocation}; no module keeps a map of stores.
 *
 * @module
 */
import type { IO } from "fp-ts/lib/IO.js";

// --- types

/** The values that a location carries; {@link perLocation} reads them with their types. */
export interface LocationState {
  /** What each module remembers, under a symbol of its own. */
  readonly values: Map<symbol, unknown>;
}

/** What tells the location of a store. */
export interface Located {
  readonly location: string;
  readonly place?: IO<LocationState>;
}

// --- constructors

/** The state of a location that has not been used yet. */
export function newLocationState(): LocationState {
  return { values: new Map() };
}

/** States of stores without a `place`, by their `location`. */
const byName = new Map<string, LocationState>();

function stateOfLocation({ location, place }: Located): LocationState {
  if (place !== undefined) return place();
  const state = byName.get(location) ?? newLocationState();
  byName.set(location, state);
  return state;
}

// --- combinators

/**
 * Declares a value that each location has.
 *
 * @param initial Makes the value for a location that has none yet.
 * @returns The accessor: for a store, the value of its location, the same one each time.
 */
export function perLocation<A>(initial: () => A): (store: Located) => A {
  const key = Symbol();
  return (store) => {
    const { values } = stateOfLocation(store);
    if (!values.has(key)) values.set(key, initial());
    return values.get(key) as A;
  };
}
