/**
 * A checkpoint whose tensors are read only when asked for, so that large checkpoints can be read and compared in little memory.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type ReadError, readManifest } from "./read.ts";
import type { FileEntry, Manifest } from "./manifest.ts";
import type { Stored } from "./manifest_tree.ts";
import { type FileError, openFile, readHeader, tensorProblems } from "./tensor_files.ts";
import type { Damaged, StoreFailed } from "../errors/mod.ts";
import { runOrThrow } from "../task.ts";
import type { Encoded, Held, Home } from "../state/mod.ts";
import type { Store } from "../store/mod.ts";

// --- types

/** The name of a checkpoint. */
interface CheckpointName {
  readonly store: Store;
  readonly checkpoint: number;
}

/** An open checkpoint. Each read of an array reads the store; what is read is not verified. */
export interface LazyCheckpoint extends CheckpointName {
  readonly manifest: Manifest;
  readonly encoded: Encoded;
  /** The name of the file that holds an array. */
  readonly fileOf: (held: Held) => string;
  /** Closes the files. */
  readonly close: Task<void>;
}

/** An open file of tensors. */
interface TensorFile {
  /** Reads bytes of a tensor, all of them by default. */
  readonly read: (tensor: string, from?: number, to?: number) => TE.TaskEither<StoreFailed, Uint8Array>;
  readonly close: Task<void>;
}

// --- restore

/**
 * Opens a file of tensors. Its length is checked, its header, and that it holds the tensors that the manifest names. The bytes of the tensors are
 * not read.
 *
 * @param at The checkpoint.
 * @param manifest Its manifest.
 * @param file The index of the file in the manifest.
 */
export function openTensorFile(
  { store, checkpoint }: CheckpointName,
  { files, arrays }: Manifest,
  file: number,
): TE.TaskEither<StoreFailed | Damaged, TensorFile> {
  const entry = files[file]!;
  const expected = new Map(arrays.flatMap((stored) => stored.file === file ? [[stored.tensor, stored] as const] : []));
  return pipe(
    openFile(store, checkpoint, entry),
    TE.flatMap((part) => async (): Promise<E.Either<FileError, TensorFile>> => {
      const header = await readHeader(part, entry);
      const problems = E.isLeft(header) ? header.left : tensorProblems(entry.name, header.right, expected);
      if (E.isLeft(header) || "_tag" in problems || problems.length > 0) {
        await part.close();
        return E.left(problems);
      }
      const { tensors, dataStart } = header.right;
      const extents = new Map(tensors.map((tensor) => [tensor.name, tensor]));
      const read: TensorFile["read"] = (tensor, from = 0, to) => {
        const { begin, end } = extents.get(tensor)!;
        const bytes = new Uint8Array((to ?? end - begin) - from);
        return pipe(part.read(bytes, dataStart + begin + from), TE.map(() => bytes));
      };
      return E.right({ read, close: part.close });
    }),
    TE.mapLeft((error) => "_tag" in error ? error : { _tag: "Damaged", checkpoint, problems: error }),
  );
}

/** The state of a checkpoint, with arrays that read its files. */
function lazily(at: CheckpointName, manifest: Manifest, signal?: AbortSignal): LazyCheckpoint {
  const files = new Map<number, Promise<TensorFile>>();
  const stored = new Map<Held, Stored>();
  const entryOf = (held: Held): FileEntry => manifest.files[stored.get(held)?.file ?? -1]!;
  const read = async (held: Held): Promise<Uint8Array> => {
    signal?.throwIfAborted();
    const { file, tensor } = stored.get(held)!;
    const opened = files.get(file) ?? runOrThrow(openTensorFile(at, manifest, file));
    files.set(file, opened);
    return await runOrThrow((await opened).read(tensor));
  };
  const home: Home = { read, peek: () => undefined, copies: () => true, release: () => {} };
  const hold = (array: Stored): Held => {
    const held: Held = { element: array.element, shape: array.shape, identity: array, home };
    stored.set(held, array);
    return held;
  };
  const close = async (): Promise<void> => {
    for (const file of await Promise.allSettled(files.values())) {
      if (file.status === "fulfilled") await file.value.close();
    }
  };
  return { ...at, manifest, encoded: manifest.state(hold), fileOf: (held) => entryOf(held).name, close };
}

/**
 * Opens a checkpoint, uses it and closes it.
 *
 * @param at The checkpoint.
 * @param use What to do with it. The promise of an array's bytes rejects if they cannot be read, with the error value as cause.
 * @param signal Once it is aborted, no more arrays are read: the promise of their bytes rejects with its reason.
 */
export function withCheckpoint<Failure, A>(
  at: CheckpointName,
  use: (open: LazyCheckpoint) => TE.TaskEither<Failure, A>,
  signal?: AbortSignal,
): TE.TaskEither<Failure | ReadError, A> {
  return pipe(
    readManifest(at.store, at.checkpoint),
    TE.map((manifest) => lazily(at, manifest, signal)),
    TE.flatMap((opened): TE.TaskEither<Failure, A> => () => use(opened)().finally(opened.close)),
  );
}
