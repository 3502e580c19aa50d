/**
 * Reads one tensor of a checkpoint, or some rows of it, without loading the rest.
 *
 * Law *nothing silent*: every byte that is returned is checked against the digest of its file, unless that is switched off.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { guarded, type LoadError, type Mismatch, type Problem } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import {
  type DType,
  elementBytes,
  elementValues,
  kindOf,
  sizeOf,
  type TypedArray,
  type TypedArrayName,
  unpackStrings,
} from "../state/mod.ts";
import { checkStore, type Store } from "../store/mod.ts";
import { aBoolean, aName, checkOptions, ifGiven, integer, must, type OptionRules } from "../validation/mod.ts";
import { type CheckpointReference, noCheckpoint, numbersToTry, referenceRule } from "./best.ts";
import { isGone } from "./entries.ts";
import { openTensorFile } from "./lazy_checkpoint.ts";
import type { Manifest } from "./manifest.ts";
import type { Stored } from "./manifest_tree.ts";
import { findPart, heldOf, leavesOf, namesMeant, someOf, tensorNames } from "./parts.ts";
import { readManifest } from "./read.ts";
import { readFiles } from "./tensor_files.ts";

// --- types

/** The values of each dtype. */
interface ValuesOf extends Record<DType, unknown> {
  readonly float32: Float32Array;
  readonly int32: Int32Array;
  /** 0 and 1. */
  readonly bool: Uint8Array;
  /** Real and imaginary parts alternately, so twice as many numbers as elements. */
  readonly complex64: Float32Array;
  /** The bytes of each element, in UTF-8 where it is text. */
  readonly string: readonly Uint8Array[];
}

type ClassOf<Name extends TypedArrayName> = Extract<TypedArray, { readonly [Symbol.toStringTag]: Name }>;

/**
 * A tensor or typed array of a checkpoint. Its values are in row-major order. A typed array has the name of its class as dtype, and one
 * dimension.
 */
export type TensorData =
  | { [D in DType]: { readonly dtype: D; readonly shape: readonly number[]; readonly values: ValuesOf[D] } }[DType]
  | {
    [Name in TypedArrayName]: {
      readonly dtype: Name;
      readonly shape: readonly number[];
      readonly values: ClassOf<Name>;
    };
  }[TypedArrayName];

/** The options of {@link readTensor}. */
export interface ReadTensorOptions {
  /** The tensor, named as in errors and by `dogear inspect`: `model/dense_Dense1/kernel`, or `best/weights/0`. */
  readonly path: string;
  /**
   * The checkpoint: its number, or `{ best: "val_loss", mode: "min" }` for the one with the best value of a metric.
   * @default the newest
   */
  readonly checkpoint?: CheckpointReference;
  /**
   * The rows to read, as for `slice`: the first, from 0, and the one after the last. A row is all that has one index in the first dimension.
   * @default all
   */
  readonly rows?: readonly [from: number, to: number];
  /**
   * Whether to read the tensor's whole file and check it against its digest. Without it, only the bytes of the tensor or its rows are read.
   * Then the manifest is checked, the length and header of the file, dtype and shape, but not the values.
   * @default true
   */
  readonly verify?: boolean;
}

const isRange = (u: unknown): boolean =>
  Array.isArray(u) && u.length === 2 && u.every((n) => integer(0).is(n)) && u[0]! <= u[1]!;

const rules: OptionRules<ReadTensorOptions> = {
  path: aName,
  checkpoint: ifGiven(referenceRule),
  rows: ifGiven(must("two integers from 0 in ascending order, the first row and the one after the last", isRange)),
  verify: ifGiven(aBoolean),
};

// --- restore

/** What is wrong with the path or the rows that were asked for. */
function notThere(store: Store, checkpoint: number, problem: Problem): Mismatch {
  return { _tag: "Mismatch", problems: [problem], reading: { location: store.location, checkpoint } };
}

/** The only tensor at or below a path; or what is there instead, with names that may have been meant. */
function tensorAt({ state }: Manifest, path: string): E.Either<Problem, Stored> {
  const { components } = state((stored) => stored);
  const part = findPart(components, path);
  const expected = "a tensor or a typed array";
  if (part !== undefined) {
    const [first, ...others] = leavesOf(part).filter(([, node]) => heldOf(node) !== undefined);
    if (first !== undefined && others.length === 0) return E.right(heldOf(first[1]) as Stored);
    const inside = first === undefined ? "" : ` with the tensors ${someOf([first, ...others].map(([at]) => at))}`;
    return E.left({ path, kind: "kind", expected, found: `${kindOf(part[1])}${inside}` });
  }
  const names = [...tensorNames(components).values()];
  const meant = namesMeant(components, path);
  const remedy = meant.length > 0
    ? `Did you mean ${someOf(meant)}?`
    : names.length > 0
    ? `Its tensors are ${someOf(names)}`
    : "It has no tensors";
  return E.left({ path, kind: "missing", expected, found: "none", remedy });
}

/** The rows to read; or why the tensor does not have them. */
function rowsOf({ shape }: Stored, { path, rows }: ReadTensorOptions): E.Either<Problem, readonly [number, number]> {
  const [count] = shape;
  if (rows === undefined) return E.right([0, count ?? 1]);
  if (count !== undefined && rows[1] <= count) return E.right(rows);
  const expected = count === undefined ? "no rows, since it is a scalar" : `rows from 0 to ${count}`;
  return E.left({ path, kind: "shape", expected, found: `rows ${rows[0]} to ${rows[1]}` });
}

/** The bytes of a tensor from one position to another, either with its whole file verified or alone. */
function bytesOf(
  store: Store,
  checkpoint: number,
  manifest: Manifest,
  stored: Stored,
  [from, to]: readonly [number, number | undefined],
  verify: boolean,
): TE.TaskEither<LoadError, Uint8Array> {
  if (!verify) {
    return pipe(
      openTensorFile({ store, checkpoint }, manifest, stored.file),
      TE.flatMap(({ read, close }) => () => read(stored.tensor, from, to)().finally(close)),
    );
  }
  const extent = {
    files: (file: unknown) => file === manifest.files[stored.file],
    // The number of strings can only be counted in their bytes.
    wanted: (other: Stored) => other === stored || other.element === "string",
    memoryLimit: Infinity,
  };
  return pipe(
    readFiles(store, checkpoint, manifest, extent, () => {}),
    TE.map((read) => read(stored)!),
    // Copied, so that the rest of the buffer can be freed.
    TE.map((bytes) =>
      from === 0 && (to ?? bytes.byteLength) === bytes.buffer.byteLength ? bytes : bytes.slice(from, to)
    ),
  );
}

/** The values of bytes; a problem if they are no packed strings, which only reading them tells. */
function valuesOf(
  stored: Stored,
  bytes: Uint8Array,
  [from, to]: readonly [number, number],
): E.Either<readonly Problem[], TensorData["values"]> {
  const { element, shape, tensor } = stored;
  if (element !== "string") return E.right(elementValues(stored, bytes) as TypedArray);
  const rowSize = sizeOf(shape.slice(1));
  const found = `${bytes.byteLength} other bytes`;
  return pipe(
    unpackStrings(bytes, sizeOf(shape))?.slice(from * rowSize, to * rowSize),
    E.fromNullable([{ path: tensor, kind: "length" as const, expected: `packed strings [${shape}]`, found }]),
  );
}

/** Reads a tensor of a checkpoint that exists. */
function readAt(store: Store, checkpoint: number, options: ReadTensorOptions): TE.TaskEither<LoadError, TensorData> {
  const orNotThere = E.mapLeft((problem: Problem): LoadError => notThere(store, checkpoint, problem));
  const orDamaged = E.mapLeft((problems: readonly Problem[]): LoadError => ({ _tag: "Damaged", checkpoint, problems }));
  return pipe(
    readManifest(store, checkpoint),
    TE.bindTo("manifest"),
    TE.bind("stored", ({ manifest }) => TE.fromEither(orNotThere(tensorAt(manifest, options.path)))),
    TE.bind("rows", ({ stored }) => TE.fromEither(orNotThere(rowsOf(stored, options)))),
    TE.bind("values", ({ manifest, stored, rows }) => {
      const { element, shape: [_, ...row] } = stored;
      const rowBytes = sizeOf(row) * elementBytes(element);
      // Where a string begins is known only once those before it are read.
      const range = element === "string" ? [0, undefined] as const : [rows[0] * rowBytes, rows[1] * rowBytes] as const;
      return pipe(
        bytesOf(store, checkpoint, manifest, stored, range, options.verify ?? true),
        TE.flatMapEither((bytes) => orDamaged(valuesOf(stored, bytes, rows))),
      );
    }),
    TE.map(({ stored: { element, shape }, rows: [from, to], values }) => {
      const rowsShape = options.rows === undefined ? shape : [to - from, ...shape.slice(1)];
      return { dtype: element, shape: rowsShape, values } as TensorData;
    }),
  );
}

/**
 * Reads one tensor or typed array of a checkpoint, or some of its rows, without loading the rest and without live objects.
 *
 * @param store The store.
 * @param options The path of the tensor, and which checkpoint, which rows, and whether to verify.
 * @returns Its dtype, shape and values. It takes about the memory of the tensor. The left is one of:
 *   - `NoCheckpoint`, if the store is empty or does not have the checkpoint.
 *   - `Mismatch`, if the checkpoint has no such tensor, with the names that may have been meant, or if the tensor has not so many rows.
 *   - `Damaged`, with every problem of the manifest or of the tensor's file.
 *   - `NewerFormat`, if a later version of this package saved it.
 *   - `StoreFailed`, also for lack of memory.
 *
 * Law *nothing silent*: by default the tensor's whole file is read and checked against its digest; other files are not opened.
 *
 * @example
 * ```ts
 * import { memory, readTensor, saveState } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const store = memory();
 * await saveState(store)({ history: { losses: Float64Array.of(0.5, 0.25, 0.125) }, step: 3 });
 * const { dtype, shape, values } = await readTensor(store, { path: "history/losses", rows: [1, 3] });
 * assert.deepEqual([dtype, shape, values], ["Float64Array", [2], Float64Array.of(0.25, 0.125)]);
 * ```
 */
export function readTensor(store: Store, options: ReadTensorOptions): Awaitable<LoadError, TensorData> {
  checkStore(store, "readTensor(store, options)");
  checkOptions("readTensor", options, rules);
  const { checkpoint: asked } = options;
  const read: TE.TaskEither<LoadError, TensorData> = async () => {
    const found = await numbersToTry(store, options)();
    if (E.isLeft(found)) return found;
    const checkpoint = found.right.wanted;
    const tensor = await readAt(store, checkpoint, options)();
    if (E.isRight(tensor)) return tensor;
    // Retention removed it meanwhile: a newer one exists.
    if (typeof asked !== "number" && await isGone(store, [checkpoint])) return await read();
    if (tensor.left._tag !== "NoCheckpoint") return tensor;
    return await noCheckpoint(store, typeof asked === "number" ? asked : undefined)();
  };
  return awaitable(guarded("read", store.location, read));
}
