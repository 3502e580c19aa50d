/**
 * `dogear export`: the weights of a component as a folder that other tools load.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { verifyCheckpoint } from "../verify.ts";
import { localFileSystem } from "../local_file_system.ts";
import type { StoreFailed } from "../errors.ts";
import { writeFile } from "../files.ts";
import { makeFolders, unless } from "../folders.ts";
import { encodeIndex } from "../layout.ts";
import { numberIn } from "../listing.ts";
import { modelFile, modelIndex, shardName, specOf } from "../placement.ts";
import { meter } from "../progress.ts";
import { checkpointsName } from "../run_folder.ts";
import { encodeHeader, type TensorSpec } from "../safetensors.ts";
import { arraysOf, segment } from "../state_tree.ts";
import { manifestName, storeFailed } from "../store.ts";
import { elementBytes, type Held, sizeOf } from "../tensor.ts";
import {
  checkpointIn,
  type Chosen,
  oneChosen,
  type Outcome,
  size,
  type Trouble,
  usage,
  type Words,
} from "./arguments.ts";
import { openCheckpoint, type Opened } from "./opened.ts";
import type { Terminal } from "./terminal.ts";
import { bytesText, jsonText, plainText } from "./text.ts";

// --- the files

/** A tensor to be exported, under the name it has for other tools. */
interface Exported extends TensorSpec {
  readonly held: Held;
  readonly bytes: number;
}

/**
 * The tensors of a component: its weights under the names that other tools know them by, where it has such, otherwise all of it by path.
 */
async function tensorsOf(opened: Opened, component: string): Promise<readonly Exported[] | undefined> {
  const node = opened.encoded.components.find(([name]) => name === component)?.[1];
  if (node === undefined) return undefined;
  const root = segment(component);
  const arrays = arraysOf(node, root);
  const weights = arrays.filter(([, { name }]) => name !== undefined);
  const exported = (weights.length > 0 ? weights : arrays).map(async ([path, { held, name }]): Promise<Exported> => {
    const own = path === root ? root : path.slice(root.length + 1);
    const { element, shape } = held;
    // A packed string tensor is as long as its strings are.
    const bytes = element === "string"
      ? (await held.home.read(held)).byteLength
      : sizeOf(shape) * elementBytes(element);
    return { ...specOf(element, shape, name ?? own, bytes), held, bytes };
  });
  return await Promise.all(exported);
}

/** Tensors by file: in their order, a new file where the next would make one too long, as the usual tools shard. */
function sharded(tensors: readonly Exported[], most: number): readonly (readonly Exported[])[] {
  const shards: Exported[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes > 0 && bytes + tensor.bytes > most) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)?.push(tensor);
    bytes += tensor.bytes;
  }
  return shards;
}

/** The files that tools take for the weights of a folder. */
const weightsFile = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/;

interface NewFile {
  readonly name: string;
  readonly chunks: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** The files of a folder that other tools load. */
function filesOf(shards: readonly (readonly Exported[])[], advance: (bytes: number) => void): readonly NewFile[] {
  const fileAt = (i: number): string => shards.length === 1 ? modelFile : shardName(modelFile, i, shards.length);
  const files = shards.map((tensors, i): NewFile => ({
    name: fileAt(i),
    chunks: async function* (): AsyncGenerator<Uint8Array> {
      const { bytes, order } = encodeHeader(tensors, [["format", "pt"]]);
      yield bytes;
      for (const i of order) {
        const { held } = tensors[i]!;
        const data = await held.home.read(held);
        yield data;
        advance(data.byteLength);
      }
    },
  }));
  if (shards.length === 1) return files;
  const index = encodeIndex(
    shards.flatMap((tensors, i) => tensors.map(({ name, bytes }) => [name, fileAt(i), bytes] as const)),
  );
  return [...files, { name: modelIndex, chunks: () => [index] }];
}

/** Gives a file its name where nothing has it: a link, other than a rename, takes no other file's place. */
function placeNew(from: string, to: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    localFileSystem.link(from, to),
    unless(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"], () =>
      // A file system without links: the best there is.
      pipe(
        localFileSystem.status(to),
        TE.matchE(
          (failed) => failed.code === "ENOENT" ? localFileSystem.rename(from, to) : TE.left(failed),
          () => TE.left(storeFailed("create", to, "EEXIST", "file already exists")),
        ),
      )),
  );
}

/** Writes files of a folder, each whole or not at all, and none over another unless that is wished for. */
async function writeFiles(
  folder: string,
  files: readonly NewFile[],
  force: boolean,
): Promise<E.Either<StoreFailed, readonly { readonly name: string; readonly bytes: number }[]>> {
  const done: { name: string; bytes: number }[] = [];
  for (const { name, chunks } of files) {
    const [path, partial] = [join(folder, name), join(folder, `.${name}.${process.pid}.partial`)];
    const settle = async (): Promise<E.Either<StoreFailed, number>> => {
      const file = await writeFile(localFileSystem, partial, chunks(), "crc32");
      if (E.isLeft(file)) return file;
      const durable = await file.right.durable;
      if (E.isLeft(durable)) return durable;
      const placed = await (force ? localFileSystem.rename(partial, path) : placeNew(partial, path))();
      return E.isLeft(placed) ? placed : E.right(file.right.digest.bytes);
    };
    try {
      const bytes = await settle();
      if (E.isLeft(bytes)) return bytes;
      done.push({ name, bytes: bytes.right });
    } finally {
      await localFileSystem.removeFile(partial)();
    }
  }
  const durable = await localFileSystem.syncFolder(folder)();
  return E.isLeft(durable) ? durable : E.right(done);
}

/** The folder of checkpoints, or of one of these, that a path is or lies in: what is committed is never written to. */
async function checkpointsAround(path: string): Promise<string | undefined> {
  const isCheckpoint = async (at: string): Promise<boolean> =>
    E.isRight(await localFileSystem.status(join(at, manifestName))());
  for (let at = localFileSystem.realPath?.(path) ?? path; dirname(at) !== at; at = dirname(at)) {
    if (await isCheckpoint(at)) return at;
    const names = basename(at) === checkpointsName ? await localFileSystem.names(at)() : E.right([]);
    for (const name of E.isRight(names) ? names.right : []) {
      if (numberIn(name) !== undefined && await isCheckpoint(join(at, name))) return at;
    }
  }
  return undefined;
}

/** A checkpoint and the folder that its weights go to, which is never guessed from what else was given. */
async function destination(
  rest: readonly string[],
  out: string | undefined,
): Promise<E.Either<Trouble, { readonly chosen: Chosen; readonly folder: string }>> {
  // A folder after the checkpoint will do, too, where it can be nothing else.
  const word = out ?? (rest.length > 1 ? rest.at(-1) : undefined);
  const remedy = "add --out and the folder to write to, as in dogear export runs/digits@12 --out weights";
  if (word === undefined || word === "") return usage(`Expected a folder to write to, found none: ${remedy}`);
  if (checkpointIn(out === undefined ? word.replace(/^.*@/s, "") : word.replace(/^@/, "")) !== undefined) {
    const found = `${JSON.stringify(word)}, which names a checkpoint`;
    return usage(`Expected a folder to write to, found ${found}: ${remedy} (a folder of that name is ./${word})`);
  }
  const asked = await oneChosen(rest, out === undefined ? "must follow" : "may follow")();
  if (E.isLeft(asked)) return asked;
  const { chosen, more } = asked.right;
  if (out !== undefined && more !== undefined) {
    return usage(`Expected one folder to write to, found --out ${out} and ${JSON.stringify(more)}`);
  }
  const folder = resolve(word);
  const around = await checkpointsAround(folder);
  if (around !== undefined) {
    return usage(
      `Expected a folder to write to outside of all checkpoints, found ${word}: ${around} holds what a run has saved`,
    );
  }
  if (out === undefined && E.isRight(await localFileSystem.status(join(folder, checkpointsName))())) {
    return usage(`Expected a folder to write to, found the run folder ${JSON.stringify(word)}: ${remedy}`);
  }
  return E.right({ chosen, folder });
}

/** `dogear export [run] [checkpoint] --out <folder> [--component model] [--max-shard-size 5GB] [--force]`. */
export function exportWeights({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    const shard = options["max-shard-size"];
    const most = typeof shard === "string" ? size(shard) : E.right(Infinity);
    if (E.isLeft(most)) return most;
    const out = options["out"];
    const asked = await destination(rest, typeof out === "string" ? out : undefined);
    if (E.isLeft(asked)) return asked;
    const { chosen: { store, checkpoint }, folder } = asked.right;
    const component = typeof options["component"] === "string" ? options["component"] : "model";
    const force = options["force"] === true;
    const there = await localFileSystem.names(folder)();
    if (E.isLeft(there) && there.left.code !== "ENOENT") return there;
    const before = E.isRight(there) ? there.right.filter((name) => weightsFile.test(name)) : [];
    if (before.length > 0 && !force) {
      return usage(
        `Expected a folder without weights, found ${join(folder, before[0] ?? "")}: choose another, or add --force`,
      );
    }
    const opened = await openCheckpoint(store, checkpoint)();
    if (E.isLeft(opened)) return opened;
    try {
      const tensors = await tensorsOf(opened.right, component);
      if (tensors === undefined || tensors.length === 0) {
        const names = opened.right.encoded.components.map(([name]) => name).join(", ");
        const found = tensors === undefined ? "no such component" : "no tensor in it";
        return usage(`Expected tensors in component ${JSON.stringify(component)}, found ${found}: there are ${names}`);
      }
      const sources = new Set(tensors.map(({ held }) => opened.right.fileOf(held)));
      const checking = terminal.draw(`checking checkpoint ${checkpoint}`);
      const sound = await verifyCheckpoint(store, checkpoint, checking, ({ name }) => sources.has(name))();
      checking();
      if (E.isLeft(sound)) return sound;
      const made = await makeFolders(localFileSystem, folder)();
      if (E.isLeft(made)) return made;
      const draw = terminal.draw("writing");
      const advance = meter(tensors.reduce((sum, { bytes }) => sum + bytes, 0), draw);
      const written = await writeFiles(folder, filesOf(sharded(tensors, most.right), advance), force);
      draw();
      if (E.isLeft(written)) return written;
      // Shards of an earlier export would be taken for this one's.
      const stale = before.filter((name) => !written.right.some((file) => file.name === name));
      for (const name of stale) {
        const removed = await localFileSystem.removeFile(join(folder, name))();
        if (E.isLeft(removed)) return removed;
      }
      const location = store.locationOf(checkpoint);
      await terminal.print(
        options["json"] === true
          ? [jsonText({ location, component, folder, tensors: tensors.length, files: written.right })]
          : written.right.map(({ name, bytes }) => `${plainText(join(folder, name))}  ${bytesText(bytes)}`),
      );
      return E.right(0);
    } finally {
      await opened.right.close();
    }
  };
}
