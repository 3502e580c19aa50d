/**
 * A checkpoint whose tensors are read when they are asked for, so that comparing two of any size takes little memory.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type Loaded, type ReadError, readManifest } from "../checkpoint.ts";
import { toError } from "../explain.ts";
import type { Stored } from "../manifest_tree.ts";
import { readHeader } from "../tensor_files.ts";
import type { TensorEntry } from "../safetensors.ts";
import type { OpenPart, Store } from "../store.ts";
import type { Held, Home } from "../tensor.ts";

// --- types

/** A checkpoint that is open: its arrays are read from the store, unverified, each time they are asked for. */
export interface Opened extends Loaded {
  /** The file of an array of the state, by its name in the checkpoint. */
  readonly fileOf: (held: Held) => string;
  /** Lets go of the files. */
  readonly close: Task<void>;
}

interface OpenFile {
  readonly part: OpenPart;
  readonly dataStart: number;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

// --- restore

/**
 * Opens a checkpoint.
 *
 * @param store Where it is.
 * @param checkpoint Its number.
 * @returns The state. The promise of an array's bytes rejects where they cannot be read, with the error value as cause.
 */
export function openCheckpoint(store: Store, checkpoint: number): TaskEither<ReadError, Opened> {
  return async () => {
    const read = await readManifest(store, checkpoint)();
    if (E.isLeft(read)) return read;
    const manifest = read.right;
    const files = new Map<number, Promise<OpenFile>>();
    const stored = new Map<Held, Stored>();

    async function open(file: number): Promise<OpenFile> {
      const entry = manifest.files[file];
      if (entry === undefined) throw new Error(`Expected a file of number ${file}`);
      const part = await store.open(checkpoint, entry.name)();
      if (E.isLeft(part)) throw toError(part.left);
      const header = await readHeader(part.right, entry);
      if (E.isRight(header)) {
        const { tensors, dataStart } = header.right;
        return { part: part.right, dataStart, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
      }
      await part.right.close();
      throw toError("_tag" in header.left ? header.left : { _tag: "Damaged", checkpoint, problems: header.left });
    }

    async function readArray(held: Held): Promise<Uint8Array> {
      const { file = -1, tensor = "" } = stored.get(held) ?? {};
      const opening = files.get(file) ?? open(file);
      files.set(file, opening);
      const { part, dataStart, tensors } = await opening;
      const { begin, end } = tensors.get(tensor) ?? { begin: 0, end: 0 };
      const bytes = new Uint8Array(end - begin);
      const filled = await part.read(bytes, dataStart + begin)();
      if (E.isLeft(filled)) throw toError(filled.left);
      return bytes;
    }

    const home: Home = { read: readArray, peek: () => undefined, copies: () => true, release: () => {} };
    const hold = (array: Stored): Held => {
      const { element, shape } = array;
      const held: Held = { element, shape, identity: array, home };
      stored.set(held, array);
      return held;
    };
    return E.right({
      manifest,
      encoded: manifest.state(hold),
      fileOf: (held) => manifest.files[stored.get(held)?.file ?? -1]?.name ?? "",
      close: async () => {
        const opened = await Promise.allSettled(files.values());
        await Promise.all(opened.map((one) => one.status === "fulfilled" ? one.value.part.close() : undefined));
      },
    });
  };
}
