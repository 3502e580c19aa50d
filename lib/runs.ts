/**
 * The lines of checkpoints that this process saves along: one for each location, and one for each training by name there.
 *
 * @module
 */
import type { Store } from "./store.ts";

// --- types

/** A run, and the checkpoint of it that this process loaded or saved last. */
export interface Line {
  readonly run: string;
  readonly parent: number | null;
  readonly step: number | null;
}

// --- constructors

/** Lines by location; a store in memory is a location by itself. */
const located = new Map<string, Map<string, Line>>();
const inMemory = new WeakMap<Store, Map<string, Line>>();

function linesOf(store: Store): Map<string, Line> {
  const { location } = store;
  const lines = (location === "memory" ? inMemory.get(store) : located.get(location)) ?? new Map<string, Line>();
  if (location === "memory") inMemory.set(store, lines);
  else located.set(location, lines);
  return lines;
}

// --- combinators

/** The line that is saved along at the location of a store, by a training or by the script itself. */
export function lineOf(store: Store, training = ""): Line | undefined {
  return linesOf(store).get(training);
}

/** From now on saves go along this line. */
export function setLine(store: Store, line: Line, training = ""): void {
  linesOf(store).set(training, line);
}
