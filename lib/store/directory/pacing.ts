/**
 * Leaves the main thread to the training while a save is written in the background.
 *
 * Checksums run on the main thread. A training that gives the event loop one turn per step would lose a third of its steps to a large save, if a
 * checksum ran in each turn.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";

/** Other work has the thread this many times as long as the checksums of a save. The rest of a save costs about half as much again. */
const share = 16;
/** The longest pause, in milliseconds, but for its last turn: a checksum may seem long because the machine was suspended. */
const longest = 100;
/** A shorter pause is not worth a turn of the event loop. */
const shortest = 1;
/** A turn of the event loop below this, in milliseconds, had no other work in it. */
const idle = 0.2;

/** Waits for the next turn of the event loop, and gives its milliseconds. */
async function nextTurn(): Promise<number> {
  const begun = performance.now();
  await setImmediate();
  return performance.now() - begun;
}

/**
 * Waits until other work has had the thread 16 times as long as the save had it, or has none to do.
 *
 * @param worked How long the save has used the thread, in milliseconds.
 * @param turn Waits for the next turn of the event loop, and gives its milliseconds.
 */
export async function pause(worked: number, turn: () => Promise<number> = nextTurn): Promise<void> {
  let left = Math.min(worked * share, longest);
  if (left < shortest) return;
  while (left > 0) {
    const took = await turn();
    if (took < idle) return;
    left -= took;
  }
}
