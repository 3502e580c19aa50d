/**
 * Progress of a long save, load or check: bytes, rate and time left.
 *
 * @module
 */

// --- types

/** The progress of a save or load. */
export interface Progress {
  /** Bytes that are done. */
  readonly bytes: number;
  /** Bytes in total. */
  readonly total: number;
  /** Seconds since the start. */
  readonly seconds: number;
  /** Average bytes per second; 0 while no time has passed. */
  readonly rate: number;
  /** Estimated seconds left at that rate: infinite before the first byte, 0 at the end. */
  readonly left: number;
}

// --- constructors

/**
 * The progress after some seconds.
 *
 * @param bytes Bytes that are done.
 * @param total Bytes in total.
 * @param seconds Seconds since the start.
 */
export function progressAt(bytes: number, total: number, seconds: number): Progress {
  const rate = seconds > 0 ? bytes / seconds : 0;
  const left = bytes >= total ? 0 : bytes > 0 ? (total - bytes) * seconds / bytes : Infinity;
  return { bytes, total, seconds, rate, left };
}

/**
 * Starts to count bytes.
 *
 * @param total Bytes in total.
 * @param onProgress Called after each count.
 * @param clock Milliseconds since any instant.
 * @returns Adds to the bytes that are done.
 */
export function meter(
  total: number,
  onProgress: (progress: Progress) => void,
  clock: () => number = () => performance.now(),
): (bytes: number) => void {
  const begun = clock();
  let done = 0;
  return (bytes) => {
    if (bytes === 0) return;
    done += bytes;
    onProgress(progressAt(done, total, (clock() - begun) / 1000));
  };
}
