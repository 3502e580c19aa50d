/**
 * Which file of a checkpoint holds which arrays.
 *
 * A component's tensors stand in one file, and the weights of the component `model` in a file that holds nothing else, so that other tools
 * take it as it is. Where a large part of a component does not change from save to save, a frozen base under a head that trains, it gets
 * a file of its own: later checkpoints take that file over as it is. The weights of the model then have the usual index beside them.
 *
 * @module
 */
import { type PlacedArray, type Placement, shardName } from "./placement.ts";
import { elementBytes, type Held, sizeOf } from "./tensor.ts";

// --- types

/** What is known of an array that was written: as long as these are the same, so are its bytes. */
export type Known = Pick<Held, "identity" | "element" | "shape">;

/** A file that this process has written, or taken over, in its last save. */
export interface KnownFile<Place> {
  /** Where it is. */
  readonly place: Place;
  /** Its arrays, by the names they have in it. */
  readonly arrays: ReadonlyMap<string, Known>;
}

/** The files of the last save, by the names they would have were they not split. */
export type Layout<Place> = ReadonlyMap<string, readonly KnownFile<Place>[]>;

/** A file to be. */
export interface FilePlan<Place> {
  readonly name: string;
  /** The name it would have were it not split. */
  readonly whole: string;
  readonly component: string;
  readonly tensors: readonly PlacedArray[];
  /** A file with these very bytes. */
  readonly same?: Place;
}

const kibi = 2 ** 10;
/** What does not change is worth a file of its own from so many bytes on, and an array that may not change counts from so many on. */
const [worthBytes, largeBytes] = [1024 * kibi, 64 * kibi];
/** A component is split over no more files than these. */
const mostFiles = 16;

// --- capture

/**
 * The index of the model's files, as Hugging Face's tools write it: which file holds which weight.
 *
 * @param weights Each weight's name, file and length in bytes.
 */
export function encodeIndex(weights: readonly (readonly [name: string, file: string, bytes: number])[]): Uint8Array {
  const total = weights.reduce((sum, [, , bytes]) => sum + bytes, 0);
  // As text, for an object would reorder names that look like numbers.
  const map = weights.toSorted(([a], [b]) => a < b ? -1 : 1)
    .map(([name, file]) => `    ${JSON.stringify(name)}: ${JSON.stringify(file)}`);
  const text = `{\n  "metadata": {\n    "total_size": ${total}\n  },\n  "weight_map": {\n${map.join(",\n")}\n  }\n}\n`;
  return new TextEncoder().encode(text);
}

// --- combinators

function bytesOf(arrays: readonly PlacedArray[]): number {
  return arrays.reduce((sum, { node: { held } }) => sum + sizeOf(held.shape) * elementBytes(held.element), 0);
}

function isSame(known: Known | undefined, { node: { held } }: PlacedArray): boolean {
  // Bytes in memory are a copy that somebody may write to; a backend's data never changes.
  return known !== undefined && held.resident === undefined && known.identity === held.identity &&
    known.element === held.element && String(known.shape) === String(held.shape);
}

/** The files of one component: those of the last save that still hold, and one or two for the rest. */
function split<Place>(
  component: string,
  whole: string,
  arrays: readonly PlacedArray[],
  before: readonly KnownFile<Place>[],
): readonly FilePlan<Place>[] {
  const same = new Map<KnownFile<Place>, PlacedArray[]>(before.map((file) => [file, []]));
  const changed: PlacedArray[] = [];
  const frozen: PlacedArray[] = [];
  for (const array of arrays) {
    const file = before.find((file) => file.arrays.has(array.spec.name));
    const still = file !== undefined && isSame(file.arrays.get(array.spec.name), array) ? same.get(file) : undefined;
    // In a first save only what is said not to train is taken to stay as it is.
    const stays = before.length === 0 && array.spec.frozen && bytesOf([array]) >= largeBytes ? frozen : still;
    (stays ?? changed).push(array);
  }
  // A small file costs nothing to write again, and does not share the fate of the one before.
  const holding = before.filter((file) => {
    const still = same.get(file) ?? [];
    return still.length === file.arrays.size && bytesOf(still) >= worthBytes;
  });
  // So many files are better made anew than added to.
  const kept = holding.length + 2 <= mostFiles ? holding : [];
  const still = [...frozen, ...before.flatMap((file) => kept.includes(file) ? [] : same.get(file) ?? [])];
  const apart = bytesOf(still) >= worthBytes && (before.length > 0 || arrays.some(({ spec }) => !spec.frozen));
  const groups = apart ? [still, changed] : [still.concat(changed)];
  const written = groups.filter((group) => group.length > 0);
  const count = kept.length + written.length;
  const name = (index: number): string => count === 1 ? whole : shardName(whole, index, count);
  return [
    ...kept.map((file, i) => ({ name: name(i), whole, component, tensors: same.get(file) ?? [], same: file.place })),
    ...written.map((tensors, i) => ({ name: name(kept.length + i), whole, component, tensors })),
  ];
}

/**
 * Which file holds which arrays.
 *
 * @param placements The components.
 * @param before The files of the last save: one whose arrays are all unchanged is planned as the same.
 * @returns The files, in the order of the components; a component without arrays has none.
 */
export function filePlans<Place>(
  placements: readonly Placement[],
  before: Layout<Place> = new Map(),
): readonly FilePlan<Place>[] {
  return placements.flatMap(({ component, arrays }): readonly FilePlan<Place>[] => {
    const wholes = [...new Set(arrays.map(({ spec }) => spec.whole))];
    return wholes.flatMap((whole) => {
      const own = wholes.length === 1 ? arrays : arrays.filter(({ spec }) => spec.whole === whole);
      return split(component, whole, own, before.get(whole) ?? []);
    });
  });
}
