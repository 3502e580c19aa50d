/**
 * Answers that read tensors: one at a time, and none after the client has gone.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { findPart, type LazyCheckpoint, verifyCheckpoint, withCheckpoint } from "../../checkpoint/mod.ts";
import { arraysOf, type Difference, differences as compare, type Held, segment, sizeOf } from "../../state/mod.ts";
import { type CommandTask, messageOf, usageError } from "../arguments.ts";
import { partJson, readPart } from "../inspection.ts";
import type { NamedCheckpoint } from "../reference.ts";
import { arrayNumbers, binCounts, binEdges, statistics } from "../statistics.ts";
import { numbersOf, type WatchedRun } from "./watch.ts";

// --- verifying

/** The files that were found intact, of each store. */
const intact = new WeakMap<object, Set<string>>();

/** Verifies files of an open checkpoint, each once: a committed checkpoint does not change. */
function verifyOnce(opened: LazyCheckpoint, names: readonly string[], signal: AbortSignal): CommandTask<unknown> {
  const { store, checkpoint, manifest: { run, time } } = opened;
  const known = intact.get(store) ?? new Set();
  intact.set(store, known);
  const keyOf = (name: string): string => JSON.stringify([checkpoint, run, time, name]);
  const unknown = new Set(names.filter((name) => !known.has(keyOf(name))));
  if (unknown.size === 0) return TE.right(undefined);
  return pipe(
    verifyCheckpoint(store, checkpoint, () => signal.throwIfAborted(), ({ name }) => unknown.has(name)),
    TE.tapIO(() => () => unknown.forEach((name) => known.add(keyOf(name)))),
  );
}

// --- one part

/** A part as `dogear inspect --json` prints it. */
export function tensorJson(at: NamedCheckpoint, path: string, signal: AbortSignal): CommandTask<unknown> {
  return withCheckpoint(at, (opened) =>
    pipe(
      readPart(opened, path, (file) => verifyOnce(opened, [file], signal)),
      TE.map((found) => partJson(opened, found)),
    ), signal);
}

// --- histograms

const bins = 48;

/** A tensor of one checkpoint. */
interface Measured {
  readonly checkpoint: number;
  readonly facts: ReturnType<typeof statistics>;
}

/** Numbers of a list, spread evenly, with the first and the last. */
export function spread<A>(list: readonly A[], most: number): readonly A[] {
  if (list.length <= most) return list;
  const last = list.length - 1;
  return Array.from({ length: most }, (_, i) => list[most === 1 ? last : Math.round(last * i / (most - 1))]!);
}

/** Reads the numbers of the one tensor that a path names. */
function readNumbers(
  at: NamedCheckpoint,
  path: string,
  signal: AbortSignal,
): CommandTask<[Held, ArrayLike<number>, Uint8Array]> {
  return withCheckpoint(at, (opened) => {
    const part = findPart(opened.encoded.components, path);
    const [array, ...others] = part === undefined ? [] : arraysOf(part[1], part[0]);
    if (array === undefined || others.length > 0) {
      const found = part === undefined ? "no such part" : `${others.length + (array === undefined ? 0 : 1)} tensors`;
      return TE.left(usageError(`Expected one tensor at ${JSON.stringify(path.slice(0, 200))}, found ${found}`));
    }
    const [, { held }] = array;
    return pipe(
      verifyOnce(opened, [opened.fileOf(held)], signal),
      TE.flatMapTask(() => async () => {
        const bytes = await held.home.read(held);
        return [held, arrayNumbers(held, bytes), bytes] as [Held, ArrayLike<number>, Uint8Array];
      }),
    );
  }, signal);
}

/**
 * How the histogram of a tensor moves over checkpoints.
 *
 * Each tensor is read twice: for the range of all of them, and for the counts on common edges.
 *
 * @param run The run.
 * @param path The path of the tensor.
 * @param most How many checkpoints are read, spread evenly.
 * @param signal Ends the reading.
 * @returns The checkpoints that cannot be read, or lack the tensor, are named apart.
 */
export async function histogramsJson(
  run: WatchedRun,
  path: string,
  most: number,
  signal: AbortSignal,
): Promise<unknown> {
  const numbers = spread(numbersOf(run), most);
  const skipped: { readonly checkpoint: number; readonly tag: string; readonly message: string }[] = [];
  const at = (checkpoint: number): NamedCheckpoint => ({ text: run.text, store: run.store!, checkpoint });
  const read = async (checkpoint: number) => {
    signal.throwIfAborted();
    const found = await readNumbers(at(checkpoint), path, signal)();
    if (E.isLeft(found)) skipped.push({ checkpoint, tag: found.left._tag, message: messageOf(found.left) });
    return found;
  };
  const measured: Measured[] = [];
  for (const checkpoint of numbers) {
    const found = await read(checkpoint);
    if (E.isRight(found)) measured.push({ checkpoint, facts: statistics(found.right[0], found.right[2]) });
  }
  const ranges = measured.filter(({ facts }) => !Number.isNaN(facts.min));
  const [least, greatest] = [
    Math.min(...ranges.map(({ facts }) => facts.min)),
    Math.max(...ranges.map(({ facts }) => facts.max)),
  ];
  const margin = ranges.length > 0 && least === greatest ? Math.abs(least) / 10 || 0.5 : 0;
  const [low, high] = ranges.length > 0 ? [least - margin, greatest + margin] : [0, 1];
  const rows = [];
  for (const { checkpoint, facts: { min, max, mean, deviation, nan, infinite } } of measured) {
    const found = await read(checkpoint);
    if (E.isLeft(found)) continue;
    const counts = binCounts(found.right[1], low, high, bins);
    const step = run.rows.get(checkpoint)?.status.entry?.step ?? null;
    rows.push({ checkpoint, step, counts, min, max, mean, deviation, nan, infinite });
  }
  return { edges: binEdges(low, high, bins), rows, skipped };
}

// --- differences

/** The mean absolute difference of two tensors of one shape. */
function meanDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) sum += Math.abs(a[i]! - b[i]!);
  const mean = sum / Math.max(1, a.length);
  return Number.isNaN(mean) ? Infinity : mean;
}

/** Adds to a difference of two tensors its mean, and how many elements there are. */
function withMean(left: LazyCheckpoint, right: LazyCheckpoint) {
  return async (difference: Difference): Promise<Difference & { mean?: number; elements?: number }> => {
    const [a, b] = [left, right].map(({ encoded }) => findPart(encoded.components, difference.path)?.[1]);
    const [one, other] = [a, b].map((node) => node === undefined ? undefined : arraysOf(node, "")[0]?.[1].held);
    if (difference.kind !== "value" || one === undefined || other === undefined) return difference;
    const elements = sizeOf(one.shape);
    if (difference.largest === undefined) return { ...difference, elements };
    const [x, y] = [arrayNumbers(one, await one.home.read(one)), arrayNumbers(other, await other.home.read(other))];
    return { ...difference, mean: meanDifference(x, y), elements };
  };
}

/** What two checkpoints differ in, by component, and each difference, the largest first. */
export function diffJson(left: NamedCheckpoint, right: NamedCheckpoint, signal: AbortSignal): CommandTask<unknown> {
  const verified = (opened: LazyCheckpoint): CommandTask<unknown> =>
    verifyOnce(opened, opened.manifest.files.map(({ name }) => name), signal);
  return withCheckpoint(left, (a) =>
    withCheckpoint(right, (b) =>
      pipe(
        verified(a),
        TE.flatMap(() => verified(b)),
        TE.flatMapTask(() => async () => {
          const found = await compare(a.encoded, b.encoded)();
          const measure = withMean(a, b);
          const differences: Awaited<ReturnType<typeof measure>>[] = [];
          for (const one of found) differences.push(await measure(one));
          const names = [
            ...new Set([a, b].flatMap(({ encoded }) => encoded.components.map(([name]) => segment(name)))),
          ];
          const components = names.map((name) => {
            const own = differences.filter(({ path }) => path === name || path.startsWith(`${name}/`));
            const elements = own.reduce((sum, { count = 0 }) => sum + count, 0);
            return { name, differences: own.length, elements };
          });
          const sizeOfChange = ({ largest }: Difference): number => largest ?? -1;
          return { components, differences: differences.sort((x, y) => sizeOfChange(y) - sizeOfChange(x)) };
        }),
      ), signal), signal);
}
