/**
 * Loaders of NumPy's `.npy` files by row: along the first axis.
 *
 * @module
 */
import type { Awaitable } from "../task.ts";
import type { DataFailed } from "../errors/mod.ts";
import { type Loader, loaderOf, randomAccess } from "../loader/mod.ts";
import type { TypedArray } from "../state/mod.ts";
import { checkPath, dataError, type DataFile, sampleDigest, useFile } from "../files/mod.ts";

// --- types

/** A row of an array: a number for an array of one axis, else a typed array in row-major order. */
export type Row = number | bigint | Exclude<TypedArray, Uint8ClampedArray>;

// --- constructors

/** The typed array of each supported dtype. */
const arrays = {
  f4: Float32Array,
  f8: Float64Array,
  i1: Int8Array,
  i2: Int16Array,
  i4: Int32Array,
  i8: BigInt64Array,
  b1: Uint8Array,
  u1: Uint8Array,
  u2: Uint16Array,
  u4: Uint32Array,
  u8: BigUint64Array,
} as const;

/** The bytes `\x93NUMPY`. */
const npyMagic: readonly number[] = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/**
 * A loader of the rows of an array in a `.npy` file (formats 1 to 3) of any size, with random access.
 *
 * The array must be in row-major order, of booleans or of integers, float32 or float64 numbers that are little-endian. The fingerprint
 * covers the header, the size, and parts of the content spread evenly over the file.
 *
 * @param path The file. Do not change it while the loader is in use.
 * @returns A task of the loader, or `DataFailed`, also for an array of another type or order.
 *
 * @example
 * ```ts no-run
 * import { Loader, pipe, runOrThrow } from "@dogear/dogear";
 * import { fromNpy } from "@dogear/dogear/data";
 *
 * const images = await runOrThrow(fromNpy("images.npy"));
 * const batches = pipe(images, Loader.shuffle(7), Loader.batch(32));
 * ```
 */
export function fromNpy(path: string): Awaitable<DataFailed, Loader.Loader<Row>> {
  checkPath("fromNpy", path);
  return useFile(path, npyLoader);
}

async function npyLoader(file: DataFile): Promise<Loader.Loader<Row>> {
  const { dtype, shape, start } = await readNpyHeader(file);
  const array = arrays[dtype];
  const [length = 0, ...rest] = shape;
  const size = rest.reduce((a, b) => a * b, 1) * array.BYTES_PER_ELEMENT;
  const end = start + length * size;
  if (end !== file.size) {
    throw invalid(file, "length", `${end} bytes for shape ${shape.join(" × ")}`, String(file.size));
  }
  const at = async (i: number): Promise<Row> => {
    const bytes = await file.read(start + i * size, size);
    const row = new array(bytes.buffer as ArrayBuffer);
    return rest.length === 0 ? row[0]! : row;
  };
  const fingerprint = `npy:${dtype}:${shape.join("x")}:${await sampleDigest(file)}`;
  return loaderOf<Row>(randomAccess(length, fingerprint, at, file.hold));
}

function invalid({ path }: DataFile, kind: "format" | "length" | "dtype", expected: string, found: string): Error {
  return dataError(path, { path: kind === "length" ? "length" : "header", kind, expected, found });
}

/** The header: a Python dictionary literal after the magic bytes, the version and the length. `start` is where the array begins. */
async function readNpyHeader(file: DataFile) {
  const head = await file.read(0, Math.min(12, file.size));
  const view = new DataView(head.buffer);
  const hasMagic = npyMagic.every((byte, i) => head[i] === byte);
  const version = head[6] ?? 0;
  if (!hasMagic || head.length < 12 || version < 1 || version > 3) {
    throw invalid(file, "format", "\\x93NUMPY and a version from 1 to 3", JSON.stringify(String.fromCharCode(...head)));
  }
  const [start, length] = version === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  if (start + length > file.size) {
    throw invalid(file, "length", `a header of ${length} bytes`, `a file of ${file.size}`);
  }
  const text = new TextDecoder().decode(await file.read(start, length));
  const [, descr] = /'descr':\s*'([^']*)'/.exec(text) ?? [];
  const [, order] = /'fortran_order':\s*(True|False)/.exec(text) ?? [];
  const [, sizes] = /'shape':\s*\(([\d,\s]*)\)/.exec(text) ?? [];
  const shape = sizes?.split(",").filter((size) => size.trim() !== "").map(Number) ?? [];
  const dtype = descr?.replace(/^[<|=]/, "");
  if (dtype === undefined || !Object.hasOwn(arrays, dtype)) {
    throw invalid(file, "dtype", `a dtype of ${Object.keys(arrays).join(", ")}, little-endian`, descr ?? text.trim());
  }
  if (order === undefined || shape.length === 0 || (order === "True" && shape.length > 1)) {
    throw invalid(file, "format", "at least one axis, in row-major order", text.trim());
  }
  return { dtype: dtype as keyof typeof arrays, shape, start: start + length };
}
