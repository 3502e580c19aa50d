/**
 * The file plan: which file of a checkpoint holds which arrays, and which files of the last save are reused.
 *
 * A component's tensors are in one file. The weights of the component `model` have a file with nothing else, so that other tools can load it.
 * If a large part of a component does not change from save to save, such as a frozen base under a head that trains, it gets a separate file,
 * which later checkpoints reuse. The weights of the model then have the usual index.
 *
 * @module
 */
import { type ComponentArrays, type NamedArray, shardName } from "./tensor_names.ts";
import { elementBytes, type Held, sizeOf } from "../state/mod.ts";

// --- types

/** An array as it was written. An array with the same data id, element and shape has the same bytes. */
export interface KnownArray extends Pick<Held, "element" | "shape"> {
  /** The backend's data id. It is held weakly, so that remembering it does not keep the tensor's data alive. */
  readonly identity: WeakRef<object>;
}

/** A file that this process wrote or reused in its last save. */
export interface KnownFile<File> {
  readonly file: File;
  /** Its arrays by name; undefined for an array in memory, whose bytes can change. */
  readonly arrays: ReadonlyMap<string, KnownArray | undefined>;
}

/** The files of the last save, by the names that they would have if nothing were split. */
export type KnownFiles<File> = ReadonlyMap<string, readonly KnownFile<File>[]>;

/** A file to write or to reuse. */
export interface FilePlan<File> {
  readonly name: string;
  /** The name that it would have if nothing were split. */
  readonly whole: string;
  readonly component: string;
  readonly tensors: readonly NamedArray[];
  /** A file with the same bytes. */
  readonly same?: File;
}

const kibi = 2 ** 10;
/** The least bytes of unchanged arrays that get a separate file, and the least bytes of a frozen array that counts as unchanged. */
const [worthBytes, largeBytes] = [1024 * kibi, 64 * kibi];
/** The most files of a component. */
const mostFiles = 16;

// --- capture

/**
 * The index of the model's files in the format of Hugging Face's tools: which file holds which weight.
 *
 * @param weights Each weight's name, file and length in bytes.
 */
export function encodeIndex(weights: readonly (readonly [name: string, file: string, bytes: number])[]): Uint8Array {
  const total = weights.reduce((sum, [, , bytes]) => sum + bytes, 0);
  // Text, because an object would reorder names that look like numbers.
  const map = weights.toSorted(([a], [b]) => a < b ? -1 : 1)
    .map(([name, file]) => `    ${JSON.stringify(name)}: ${JSON.stringify(file)}`);
  const text = `{\n  "metadata": {\n    "total_size": ${total}\n  },\n  "weight_map": {\n${map.join(",\n")}\n  }\n}\n`;
  return new TextEncoder().encode(text);
}

/** What to remember of an array that was written. */
export function knownArray({ element, shape, identity, resident }: Held): KnownArray | undefined {
  return resident === undefined ? { element, shape, identity: new WeakRef(identity) } : undefined;
}

// --- combinators

function totalBytes(arrays: readonly NamedArray[]): number {
  return arrays.reduce((sum, { node: { held } }) => sum + sizeOf(held.shape) * elementBytes(held.element), 0);
}

function isUnchanged(known: KnownArray | undefined, { node: { held } }: NamedArray): boolean {
  return known !== undefined && known.identity.deref() === held.identity && known.element === held.element &&
    String(known.shape) === String(held.shape);
}

/** The files of one component: those of the last save that are unchanged, and one or two for the other arrays. */
function splitComponent<File>(
  component: string,
  whole: string,
  arrays: readonly NamedArray[],
  before: readonly KnownFile<File>[],
): readonly FilePlan<File>[] {
  const unchanged = new Map<KnownFile<File>, NamedArray[]>(before.map((file) => [file, []]));
  const changed: NamedArray[] = [];
  const frozen: NamedArray[] = [];
  for (const array of arrays) {
    const file = before.find((file) => file.arrays.has(array.spec.name));
    const same = file && isUnchanged(file.arrays.get(array.spec.name), array) ? unchanged.get(file) : undefined;
    // In a first save, only the arrays that do not train are expected to stay unchanged.
    const stays = before.length === 0 && array.spec.frozen && totalBytes([array]) >= largeBytes ? frozen : same;
    (stays ?? changed).push(array);
  }
  // A small file is cheap to write again, and its copy survives damage to the one before.
  const reusable = before.filter((file) => {
    const same = unchanged.get(file) ?? [];
    return same.length === file.arrays.size && totalBytes(same) >= worthBytes;
  });
  // A component with more files is written as a whole.
  const reused = reusable.length + 2 <= mostFiles ? reusable : [];
  const still = [...frozen, ...before.flatMap((file) => reused.includes(file) ? [] : unchanged.get(file) ?? [])];
  const isSplit = totalBytes(still) >= worthBytes && (before.length > 0 || arrays.some(({ spec }) => !spec.frozen));
  const groups = isSplit ? [still, changed] : [still.concat(changed)];
  const written = groups.filter((group) => group.length > 0);
  const count = reused.length + written.length;
  const name = (index: number): string => count === 1 ? whole : shardName(whole, index, count);
  return [
    ...reused.map((known) => ({ tensors: unchanged.get(known) ?? [], same: known.file })),
    ...written.map((tensors) => ({ tensors })),
  ].map((file, i) => ({ name: name(i), whole, component, ...file }));
}

/**
 * Plans the files of a checkpoint.
 *
 * @param components The components with their arrays.
 * @param before The files of the last save; one whose arrays are all unchanged is planned as the same.
 * @returns The files, in the order of the components. A component without arrays has none.
 */
export function filePlans<File>(
  components: readonly ComponentArrays[],
  before: KnownFiles<File> = new Map(),
): readonly FilePlan<File>[] {
  return components.flatMap(({ component, arrays }): readonly FilePlan<File>[] => {
    const wholes = [...new Set(arrays.map(({ spec }) => spec.whole))];
    return wholes.flatMap((whole) => {
      const own = wholes.length === 1 ? arrays : arrays.filter(({ spec }) => spec.whole === whole);
      return splitComponent(component, whole, own, before.get(whole) ?? []);
    });
  });
}
