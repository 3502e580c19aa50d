/**
 * Loaders of NumPy's `.npy` files by row: along the first axis.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Awaitable } from "../task.ts";
import type { DataFailed } from "../errors/mod.ts";
import { type Loader, loaderOf, randomAccess } from "../loader/mod.ts";
import type { TypedArray } from "../state/mod.ts";
import { dataError, type DataFile, sampleDigest, useFile } from "../files/mod.ts";
import { checkLocalPath } from "../validation/mod.ts";

// --- types

/** A row of an array: a number for an array of one axis that is not complex, else a typed array in row-major order. */
export type Row = number | bigint | Exclude<TypedArray, Uint8ClampedArray>;

/** How the elements of a dtype are read: how many numbers one has, the bytes of a number, and the array that holds them. */
interface ElementFormat {
  readonly numbers: 1 | 2;
  readonly width: 1 | 2 | 4 | 8;
  readonly arrayOf: (bytes: ArrayBuffer) => Exclude<Row, number | bigint>;
}

// --- constructors

/** The numbers of a typed array class. */
function numbersOf(
  array: { readonly BYTES_PER_ELEMENT: number; new (bytes: ArrayBuffer): Exclude<Row, number | bigint> },
  numbers: 1 | 2 = 1,
): ElementFormat {
  const width = array.BYTES_PER_ELEMENT as ElementFormat["width"];
  return { numbers, width, arrayOf: (bytes) => new array(bytes) };
}

/** The dtypes that can be read, without their byte order. */
const dtypes: Readonly<Record<string, ElementFormat>> = {
  f2: { numbers: 1, width: 2, arrayOf: (bytes) => widened(new Uint16Array(bytes)) },
  f4: numbersOf(Float32Array),
  f8: numbersOf(Float64Array),
  c8: numbersOf(Float32Array, 2),
  c16: numbersOf(Float64Array, 2),
  i1: numbersOf(Int8Array),
  i2: numbersOf(Int16Array),
  i4: numbersOf(Int32Array),
  i8: numbersOf(BigInt64Array),
  b1: numbersOf(Uint8Array),
  u1: numbersOf(Uint8Array),
  u2: numbersOf(Uint16Array),
  u4: numbersOf(Uint32Array),
  u8: numbersOf(BigUint64Array),
};

/** Swaps the bytes of numbers, by their width. */
const swaps: Readonly<Record<ElementFormat["width"], (bytes: Buffer) => void>> = {
  1: () => {},
  2: (bytes) => bytes.swap16(),
  4: (bytes) => bytes.swap32(),
  8: (bytes) => bytes.swap64(),
};

/** The bytes `\x93NUMPY`. */
const npyMagic: readonly number[] = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/**
 * A loader of the rows of an array in a `.npy` file (formats 1 to 3) of any size, with random access.
 *
 * The array must be in row-major order, of booleans, integers, floats or complex numbers, of either byte order. A row is a typed array, or a
 * number for an array of one axis. Every value is kept: float16 becomes float32, 64-bit integers are bigints. A complex number is two
 * consecutive values, the real and the imaginary part: a row of shape `[n]` is a `Float32Array` (complex64) or `Float64Array` (complex128) of
 * 2 n values, and of 2 values for an array of one axis. Shapes that NumPy wrote under Python 2, such as `(2L, 3L)`, are read. The fingerprint
 * covers the header, the size, and parts of the content spread evenly over the file.
 *
 * @param path The file. Do not change it while the loader is in use.
 * @returns A task of the loader, or `DataFailed`, also for an array of another type or order, and for a shape of more than 2^53 - 1 elements.
 *
 * @example
 * ```ts no-run
 * import { Loader, pipe } from "@dogear/dogear";
 * import { fromNpy } from "@dogear/dogear/data";
 *
 * const images = await fromNpy("images.npy");
 * const batches = pipe(images, Loader.shuffle(7), Loader.batch(32));
 * ```
 */
export function fromNpy(path: string): Awaitable<DataFailed, Loader.Loader<Row>> {
  checkLocalPath("the path of fromNpy", path);
  return useFile(path, npyLoader);
}

async function npyLoader(file: DataFile): Promise<Loader.Loader<Row>> {
  const { dtype, bigEndian, shape, start } = await readNpyHeader(file);
  const { numbers, width, arrayOf } = dtypes[dtype]!;
  const [length = 0, ...rest] = shape;
  const size = rest.reduce((a, b) => a * b, 1) * numbers * width;
  const end = start + length * size;
  if (end !== file.size) {
    throw invalid(file, "length", `${end} bytes for shape ${shape.join(" × ")}`, String(file.size));
  }
  const at = async (i: number): Promise<Row> => {
    const bytes = await file.read(start + i * size, size);
    const { buffer, byteOffset } = bytes;
    if (bigEndian) swaps[width](Buffer.from(buffer, byteOffset, size));
    const row = arrayOf(buffer as ArrayBuffer);
    return rest.length === 0 && numbers === 1 ? row[0]! : row;
  };
  const fingerprint = `npy:${dtype}:${shape.join("x")}:${await sampleDigest(file)}`;
  return loaderOf<Row>(randomAccess(length, fingerprint, at, file.hold));
}

/** Float16 numbers, given as their bits, as float32: exactly, with the bits of a NaN. */
function widened(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const wide = new Float32Array(halves.length);
  const bits = new Uint32Array(wide.buffer);
  halves.forEach((half, i) => {
    const [sign, exponent, fraction] = [(half & 0x8000) << 16, half >> 10 & 31, half & 1023];
    // Numbers below 2^-14 have no leading one, but float32 has exponents for them.
    if (exponent === 0) wide[i] = (sign < 0 ? -1 : 1) * fraction / 2 ** 24;
    else bits[i] = sign | (exponent === 31 ? 255 : exponent + 112) << 23 | fraction << 13;
  });
  return wide;
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
  const shape = shapeIn(text);
  const dtype = descr?.replace(/^[<>|=]/, "");
  if (dtype === undefined || !Object.hasOwn(dtypes, dtype)) {
    throw invalid(file, "dtype", `a dtype of ${Object.keys(dtypes).join(", ")}`, descr ?? text.trim());
  }
  if (shape === undefined) {
    throw invalid(
      file,
      "format",
      "a shape of integers from 0, such as (2, 3), of at most 2^53 - 1 elements",
      text.trim(),
    );
  }
  if (order === undefined || shape.length === 0 || (order === "True" && shape.length > 1)) {
    throw invalid(file, "format", "at least one axis, in row-major order", text.trim());
  }
  return { dtype, bigEndian: descr!.startsWith(">"), shape, start: start + length };
}

/** The sizes in a header; undefined if they are no tuple of integers from 0, or if a number cannot hold them or their product. */
function shapeIn(header: string): readonly number[] | undefined {
  // NumPy under Python 2 wrote some sizes as long integers, `2L`.
  const tuple = /'shape':\s*\(((?:\s*\d+L?\s*,)*(?:\s*\d+L?)?\s*)\)/.exec(header)?.[1];
  const shape = tuple?.match(/\d+/g)?.map(Number) ?? [];
  const product = shape.reduce((a, b) => a * b, 1);
  return tuple !== undefined && [...shape, product].every(Number.isSafeInteger) ? shape : undefined;
}
