/**
 * How far a long save, load or check has come, and when it will be over.
 *
 * @module
 */

// --- types

/** How far a save or load has come. */
export interface Progress {
  /** Bytes that are done. */
  readonly bytes: number;
  /** Bytes there are in all. */
  readonly total: number;
  /** Seconds since the first of them was asked for. */
  readonly seconds: number;
  /** Bytes per second until now; 0 as long as no time has passed. */
  readonly rate: number;
  /** Seconds until the end at that rate: infinite as long as nothing is done, 0 at the end. */
  readonly left: number;
}

// --- constructors

/**
 * How far something has come after some seconds.
 *
 * @param bytes Bytes that are done.
 * @param total Bytes there are in all.
 * @param seconds Seconds it has taken.
 */
export function progressAt(bytes: number, total: number, seconds: number): Progress {
  const rate = seconds > 0 ? bytes / seconds : 0;
  return {
    bytes,
    total,
    seconds,
    rate,
    left: bytes >= total ? 0 : bytes > 0 ? (total - bytes) * seconds / bytes : Infinity,
  };
}

/**
 * Counts bytes from now on.
 *
 * @param total Bytes there are in all.
 * @param told Told after each count.
 * @param clock Milliseconds since any instant.
 * @returns What to tell of bytes that are done.
 */
export function meter(
  total: number,
  told: (progress: Progress) => void,
  clock: () => number = () => performance.now(),
): (bytes: number) => void {
  const begun = clock();
  let done = 0;
  return (bytes) => {
    if (bytes === 0) return;
    done += bytes;
    told(progressAt(done, total, (clock() - begun) / 1000));
  };
}
