/**
 * Times two pieces of work in turn in one process, so that their ratio is reliable on a noisy machine.
 *
 * @module
 */
import process from "node:process";

/** A piece of work. Its preparation and cleanup are not timed. */
export interface Work {
  readonly name: string;
  readonly before?: () => unknown;
  /** Does the work. If it resolves to a number, that is its own measurement in milliseconds. */
  readonly run: () => unknown;
  readonly after?: () => unknown;
}

/** What work cost the process beside its time. */
export interface Watched {
  /** The longest time between two ticks of a timer of 1 ms, in milliseconds. */
  readonly gap: number;
  /** How far the memory of the process rose, in MiB. */
  readonly memory: number;
}

/** Does work and watches the event loop and the memory. */
export async function watched(run: () => Promise<unknown>): Promise<Watched> {
  const start = process.memoryUsage().rss;
  let [gap, peak, last] = [0, start, performance.now()];
  const timer = setInterval(() => {
    const now = performance.now();
    gap = Math.max(gap, now - last);
    peak = Math.max(peak, process.memoryUsage().rss);
    // Reading the memory usage takes time, too.
    last = performance.now();
  }, 1);
  try {
    await run();
  } finally {
    clearInterval(timer);
  }
  return { gap: Math.max(gap, performance.now() - last), memory: (peak - start) / 2 ** 20 };
}

/** The median. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

async function timed({ before, run, after }: Work): Promise<number> {
  await before?.();
  const begun = performance.now();
  const own = await run();
  const took = performance.now() - begun;
  await after?.();
  return typeof own === "number" ? own : took;
}

/**
 * Prints the medians of both and the median of their ratios.
 *
 * @param ours The work.
 * @param baseline What it is measured against.
 * @param rounds How many pairs, after one that is not counted.
 */
export async function compare(ours: Work, baseline: Work, rounds = 7): Promise<void> {
  const pairs: (readonly [number, number])[] = [];
  for (let round = 0; round <= rounds; round++) {
    const pair = [await timed(ours), await timed(baseline)] as const;
    if (round > 0) pairs.push(pair);
  }
  const [a, b] = [median(pairs.map(([x]) => x)), median(pairs.map(([, y]) => y))];
  const ratios = pairs.map(([x, y]) => x / y);
  const spread = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
  process.stdout.write(
    `${ours.name}: ${a.toFixed(3)} ms, ${baseline.name}: ${b.toFixed(3)} ms, ratio ${
      median(ratios).toFixed(3)
    } (${spread}, ${rounds} rounds)\n`,
  );
}
