/**
 * NumPy's `.npy` files by their first axis.
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { DataFailed } from "../errors.ts";
import { toError } from "../explain.ts";
import { type Loader, loaderOf } from "../loader_types.ts";
import { randomAccess } from "../source.ts";
import type { TypedArray } from "../tensor.ts";
import { checkPath, dataFailed, type DataFile, dataFile, failureOf, sampleOf, using } from "./file.ts";

// --- types

/** A row of an array: a number of an array of one axis, else a typed array in row-major order. */
export type Row = number | bigint | Exclude<TypedArray, Uint8ClampedArray>;

// --- constructors

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

/**
 * A loader of the rows of an array in a `.npy` file (formats 1 to 3), in any order, of a file of any size.
 *
 * Of little-endian and single-byte numbers and booleans, in row-major order. The fingerprint covers the header, the size and
 * parts of the content spread evenly over the file.
 *
 * @param path The file. It must stay as it is as long as the loader is used.
 * @returns A task of the loader. Its left is `DataFailed`, for an array of another sort too.
 *
 * @example
 * ```ts no-run
 * import { fromNpy, Loader, pipe, runOrThrow } from "@dogear/dogear";
 *
 * const images = await runOrThrow(fromNpy("images.npy"));
 * const batches = pipe(images, Loader.shuffle(7), Loader.batch(32));
 * ```
 */
export function fromNpy(path: string): TE.TaskEither<DataFailed, Loader<Row>> {
  checkPath("fromNpy", path);
  return pipe(
    dataFile(path),
    TE.flatMap((file) =>
      TE.tryCatch(() =>
        using(file, async () => {
          const { descr, shape, start } = await header(file);
          const array = arrays[descr as keyof typeof arrays];
          const [length = 0, ...rest] = shape;
          const size = rest.reduce((a, b) => a * b, 1) * array.BYTES_PER_ELEMENT;
          if (start + length * size !== file.size) {
            throw wrong(
              file,
              "length",
              `${start + length * size} bytes for shape ${shape.join(" × ")}`,
              String(file.size),
            );
          }
          const at = async (i: number): Promise<Row> => {
            const bytes = await file.read(start + i * size, size);
            const row = new array(bytes.buffer as ArrayBuffer);
            return rest.length === 0 ? row[0]! : row;
          };
          const said = `npy:${descr}:${shape.join("x")}:${await sampleOf(file)}`;
          return loaderOf<Row>(randomAccess(length, said, at, file.hold));
        }), failureOf(path))
    ),
  );
}

function wrong({ path }: DataFile, kind: "format" | "length" | "dtype", expected: string, found: string): Error {
  return toError(dataFailed(path, { path: kind === "length" ? "length" : "header", kind, expected, found }));
}

/** What the header says: a dictionary literal of Python's. */
async function header(file: DataFile): Promise<{ descr: string; shape: readonly number[]; start: number }> {
  const head = await file.read(0, Math.min(12, file.size));
  const view = new DataView(head.buffer);
  const named = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59].every((byte, i) => head[i] === byte);
  const version = head[6] ?? 0;
  if (!named || head.length < 12 || version < 1 || version > 3) {
    throw wrong(file, "format", "\\x93NUMPY and a version from 1 to 3", JSON.stringify(String.fromCharCode(...head)));
  }
  const [start, length] = version === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  if (start + length > file.size) throw wrong(file, "length", `a header of ${length} bytes`, `a file of ${file.size}`);
  const text = new TextDecoder().decode(await file.read(start, length));
  const [, descr] = /'descr':\s*'([^']*)'/.exec(text) ?? [];
  const [, order] = /'fortran_order':\s*(True|False)/.exec(text) ?? [];
  const [, sizes] = /'shape':\s*\(([\d,\s]*)\)/.exec(text) ?? [];
  const shape = sizes?.split(",").filter((size) => size.trim() !== "").map(Number) ?? [];
  const type = descr?.replace(/^[<|=]/, "");
  if (type === undefined || !Object.hasOwn(arrays, type)) {
    throw wrong(file, "dtype", `one of ${Object.keys(arrays).join(", ")}, little-endian`, descr ?? text.trim());
  }
  if (order === undefined || shape.length === 0 || (order === "True" && shape.length > 1)) {
    throw wrong(file, "format", "at least one axis, in row-major order", text.trim());
  }
  return { descr: type, shape, start: start + length };
}
