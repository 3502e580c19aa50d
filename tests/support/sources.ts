/**
 * Loaders of every kind of source, by name, for generated tests.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { pipe } from "fp-ts/lib/function.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { parquetWriteBuffer } from "hyparquet-writer";
import type { DataFailed } from "../../lib/errors/errors.ts";
import { runOrThrow } from "../../lib/task.ts";
import * as Loader from "../../lib/loader/loader.ts";
import { fromCsv } from "../../lib/data/csv.ts";
import { fromFolder } from "../../lib/data/folder.ts";
import { fromJsonLines, fromLines } from "../../lib/data/lines.ts";
import { fromNpy } from "../../lib/data/npy.ts";
import { fromParquet } from "../../lib/data/parquet.ts";

/** A named loader; each call of `build` makes a new one, as a new process does. */
export interface Build {
  readonly name: string;
  readonly build: () => Loader.Loader<unknown>;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Loaders of data in memory, from the number of samples. */
export const inMemory: Readonly<Record<string, (length: number) => Loader.Loader<unknown>>> = {
  array: (length) => Loader.fromArray(range(length)),
  "typed array": (length) => Loader.fromArray(Float32Array.from(range(length))),
  indexed: (length) => Loader.fromIndexed({ length, at: (i) => i % 2 === 0 ? Promise.resolve(i) : i }),
  iterable: (length) => Loader.fromIterable((epoch) => range(length).map((i) => i + 4 * epoch)),
  "async iterable": (length) =>
    Loader.fromIterable(async function* () {
      await Promise.resolve();
      yield* range(length);
    }),
  rows: (length) => Loader.fromRows(Float32Array.from(range(2 * length)), 2),
  tensor: (length) => Loader.fromTensor(tf.tidy(() => tf.tensor1d(range(length)))),
  body: (length) => Loader.fromBody(() => new Response(range(length).join("\n"))),
  // The order is the same in each epoch, so that a filter leaves the same number of the first items each time.
  dataset: (length) => {
    const iterator = () => tf.data.array(range(length + 1)).skip(1).shuffle(4, "7").iterator();
    return Loader.fromDataset({ iterator } as never);
  },
};

/** The bytes of a `.npy` file of format 1. */
export function npy(descr: string, shape: readonly number[], values: ArrayBufferView): Uint8Array {
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(", ")}${
    shape.length === 1 ? "," : ""
  }), }`;
  const padded = `${dict.padEnd(Math.ceil((dict.length + 11) / 64) * 64 - 11)}\n`;
  const length = padded.length;
  return new Uint8Array([
    ...[0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, length & 255, length >> 8],
    ...new TextEncoder().encode(padded),
    ...new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  ]);
}

/** The bytes of a Parquet file with the columns `x` and `name`, in row groups of 3. */
export function parquet(length: number): Uint8Array {
  const columnData = [
    { name: "x", data: Int32Array.from(range(length)), type: "INT32" as const },
    { name: "name", data: range(length).map((i) => `name ${i}`), type: "STRING" as const },
  ];
  return new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 3 }));
}

type WriteAndOpen = readonly [
  write: (path: string, length: number) => void,
  open: (path: string) => TaskEither<DataFailed, Loader.Loader<unknown>>,
];

/** Loaders of files with random access: functions that write a file with this number of samples, and that open it. */
export const inFiles: Readonly<Record<string, WriteAndOpen>> = {
  lines: [(path, length) => writeFileSync(path, range(length).map((i) => `line ${i}\n`).join("")), fromLines],
  "json lines": [
    (path, length) =>
      writeFileSync(path, range(length).map((i) => JSON.stringify({ i, text: "é".repeat(i) })).join("\r\n")),
    fromJsonLines,
  ],
  csv: [
    (path, length) => writeFileSync(path, ["i,text", ...range(length).map((i) => `${i},"a ""b""\n${i}"`)].join("\n")),
    fromCsv,
  ],
  npy: [(path, length) => writeFileSync(path, npy("<f4", [length, 2], Float32Array.from(range(2 * length)))), fromNpy],
  parquet: [(path, length) => writeFileSync(path, parquet(length)), fromParquet],
  folder: [
    (path, length) => {
      mkdirSync(join(path, "sub"), { recursive: true });
      range(length).forEach((i) => writeFileSync(join(path, i % 2 === 0 ? "sub" : ".", `${i}`), `${i}`));
    },
    fromFolder,
  ],
};

/** Loaders of files that are streams. */
const inStreamFiles: Readonly<Record<string, WriteAndOpen>> = {
  "gzip lines": [
    (path, length) => writeFileSync(path, gzipSync(range(length).map((i) => `${JSON.stringify({ i })}\n`).join(""))),
    fromJsonLines,
  ],
};

/** The folder of the test files. */
export const scratch: string = mkdtempSync(join(tmpdir(), "dogear-sources-"));

const lengths = [0, 1, 4, 11] as const;

/** Files, each opened twice, as two processes do, used alternately. */
const opened: readonly Build[] = await Promise.all(
  Object.entries({ ...inFiles, ...inStreamFiles }).flatMap(([name, [write, open]]) =>
    lengths.map(async (length): Promise<Build> => {
      const path = join(scratch, `${name} ${length}`);
      write(path, length);
      const two = [await runOrThrow(open(path)), await runOrThrow(open(path))] as const;
      let turn = 0;
      // The tests sum and compare only numbers and text.
      const plain = Loader.map((x: unknown) => ArrayBuffer.isView(x) ? [...x as Float32Array] : x);
      return { name: `${name} of ${length}`, build: () => pipe(two[turn++ % 2]!, plain) };
    })
  ),
);

/** Any source with at most 11 samples. */
export const anySource: fc.Arbitrary<Build> = fc.oneof(
  fc.tuple(fc.constantFrom(...Object.keys(inMemory)), fc.nat(11))
    .map(([name, length]) => ({ name: `${name} of ${length}`, build: () => inMemory[name]!(length) })),
  fc.constantFrom(...opened),
);
