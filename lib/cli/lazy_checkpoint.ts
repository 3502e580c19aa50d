/**
 * A checkpoint whose tensors are read only when asked for, so that large checkpoints can be compared in little memory.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type FileEntry, type Manifest, readHeader, readManifest, type Stored } from "../checkpoint/mod.ts";
import { toError } from "../errors/mod.ts";
import { runOrThrow } from "../task.ts";
import type { Encoded, Held, Home } from "../state/mod.ts";
import type { CommandTask } from "./arguments.ts";
import type { NamedCheckpoint } from "./reference.ts";

// --- types

/** An open checkpoint. Each read of an array reads the store; what is read is not verified. */
export interface LazyCheckpoint extends NamedCheckpoint {
  readonly manifest: Manifest;
  readonly encoded: Encoded;
  /** The name of the file that holds an array. */
  readonly fileOf: (held: Held) => string;
  /** Closes the files. */
  readonly close: Task<void>;
}

// --- restore

/** Opens a file of tensors. It throws an Error whose cause is the error value, as reading a tensor does. */
async function openTensorFile({ store, checkpoint }: NamedCheckpoint, entry: FileEntry) {
  const part = await runOrThrow(store.open(checkpoint, entry.name));
  const header = await readHeader(part, entry);
  if (E.isLeft(header)) {
    await part.close();
    throw toError("_tag" in header.left ? header.left : { _tag: "Damaged", checkpoint, problems: header.left });
  }
  const { tensors, dataStart } = header.right;
  const extents = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const read = async (name: string): Promise<Uint8Array> => {
    const { begin, end } = extents.get(name) ?? { begin: 0, end: 0 };
    const bytes = new Uint8Array(end - begin);
    await runOrThrow(part.read(bytes, dataStart + begin));
    return bytes;
  };
  return { read, close: part.close };
}

/** The state of a checkpoint, with arrays that read its files. */
function lazily(at: NamedCheckpoint, manifest: Manifest): LazyCheckpoint {
  const files = new Map<FileEntry, ReturnType<typeof openTensorFile>>();
  const stored = new Map<Held, Stored>();
  const entryOf = (held: Held): FileEntry => manifest.files[stored.get(held)?.file ?? -1]!;
  const read = async (held: Held): Promise<Uint8Array> => {
    const entry = entryOf(held);
    const file = files.get(entry) ?? openTensorFile(at, entry);
    files.set(entry, file);
    return await (await file).read(stored.get(held)?.tensor ?? "");
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
 */
export function withCheckpoint<A>(at: NamedCheckpoint, use: (open: LazyCheckpoint) => CommandTask<A>): CommandTask<A> {
  return pipe(
    readManifest(at.store, at.checkpoint),
    TE.map((manifest) => lazily(at, manifest)),
    TE.flatMap((opened): CommandTask<A> => () => use(opened)().finally(opened.close)),
  );
}
