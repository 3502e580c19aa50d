/**
 * `dogear export`: writes the weights of a component as safetensors files that other tools load.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { basename, dirname, join, resolve } from "node:path";
import {
  checkpointsName,
  localFileSystem,
  makeFolders,
  means,
  numberIn,
  unless,
  writeFile,
} from "../../store/directory/mod.ts";
import { printable, type StoreFailed } from "../../errors/mod.ts";
import {
  encodeHeader,
  encodeIndex,
  type LazyCheckpoint,
  modelFile,
  modelIndex,
  shardName,
  specOf,
  withCheckpoint,
} from "../../checkpoint/mod.ts";
import { type Chunks, manifestName, meter, storeFailed } from "../../store/mod.ts";
import { arraysOf, elementBytes, type Held, segment, sizeOf } from "../../state/mod.ts";
import { type CommandError, type CommandTask, type Usage, usage, usageError } from "../arguments.ts";
import { type Command, defineCommand } from "../command.ts";
import { verifyFiles } from "../checkpoint_status.ts";
import { findCheckpoint, parseCheckpoint, parseReference, type Reference, separateCheckpoint } from "../reference.ts";
import { isUrl } from "../stores.ts";
import { type Bar, withBar } from "../terminal.ts";
import { bytesText, jsonText } from "../format.ts";

// --- types

/** A tensor under its name in the exported files. */
type ExportedTensor = ReturnType<typeof specOf> & { readonly held: Held; readonly bytes: number };

/** A file to write. */
interface ExportFile {
  readonly name: string;
  readonly chunks: Chunks;
}

// --- parsing

/** A number of bytes, written as `5GB`, `200MiB` or `1000`. */
function parseSize(word: string): E.Either<Usage, number> {
  const [, digits = "", prefix = "", binary = ""] = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B)?$/i.exec(word) ?? [];
  const unit = (binary === "" ? 1000 : 1024) ** ["", "K", "M", "G", "T"].indexOf(prefix.toUpperCase());
  const bytes = Math.floor(Number(digits) * unit);
  return bytes >= 1 && Number.isSafeInteger(bytes)
    ? E.right(bytes)
    : usage(`Expected a size such as 5GB or 200MiB, found ${JSON.stringify(word)}`);
}

/** The folder of `--out`. It may not be named like a checkpoint, which is probably a mistake. */
function parseOut(word: string = ""): E.Either<Usage, string> {
  if (isUrl(word)) return usage("Expected a folder to write to, found a URL: write to a folder, and upload it");
  if (word === "") return usage("Expected a folder to write to, found none: add --out FOLDER");
  if (parseCheckpoint(word.replace(/^@/, "")) === undefined) return E.right(resolve(word));
  const found = `${JSON.stringify(word)}, which names a checkpoint`;
  return usage(`Expected a folder to write to, found ${found}: a folder of this name is ./${word}`);
}

function parseTarget([run = ".", next, ...more]: readonly string[]): E.Either<Usage, Reference> {
  if (next === undefined) return parseReference(run);
  const remedy = separateCheckpoint(next, run) || ": the folder to write to is given with --out";
  return usage(`Expected one checkpoint, found ${more.length + 2} words${remedy}`);
}

// --- the tensors

/** The tensors of a component: those with names for other tools if it has any, otherwise all of them by path. */
function exportedTensors({ encoded }: LazyCheckpoint, component: string): CommandTask<readonly ExportedTensor[]> {
  const { components } = encoded;
  const node = components.find(([name]) => name === component)?.[1];
  const root = segment(component);
  const arrays = node === undefined ? [] : arraysOf(node, root);
  if (arrays.length === 0) {
    const found = `${node === undefined ? "no such component" : "no tensor in it"}: the components are`;
    const names = components.map(([name]) => name).join(", ");
    return TE.left(usageError(`Expected tensors in component ${JSON.stringify(component)}, found ${found} ${names}`));
  }
  const named = arrays.filter(([, { name }]) => name !== undefined);
  const tensors = (named.length > 0 ? named : arrays).map(async ([path, { held, name }]): Promise<ExportedTensor> => {
    const { element, shape } = held;
    // The length of packed strings is not known from the shape.
    const isPacked = element === "string";
    const bytes = isPacked ? (await held.home.read(held)).byteLength : sizeOf(shape) * elementBytes(element);
    return { ...specOf(element, shape, name ?? (path.slice(root.length + 1) || root), bytes), held, bytes };
  });
  return TE.fromTask(() => Promise.all(tensors));
}

/** Splits tensors into files in their order. A file ends where the next tensor would make it too long, as Hugging Face shards. */
function shardsOf(tensors: readonly ExportedTensor[], most: number): readonly (readonly ExportedTensor[])[] {
  const shards: ExportedTensor[][] = [[]];
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

/** The bytes of a safetensors file. */
async function* fileBytes(tensors: readonly ExportedTensor[], advance: (bytes: number) => void) {
  const { bytes, order } = encodeHeader(tensors, [["format", "pt"]]);
  yield bytes;
  for (const i of order) {
    const { held } = tensors[i]!;
    const data = await held.home.read(held);
    yield data;
    advance(data.byteLength);
  }
}

/** The files of tensors, and their index if there are several. */
function exportFiles(tensors: readonly ExportedTensor[], shardBytes: number, bar: Bar): readonly ExportFile[] {
  const advance = meter(tensors.reduce((sum, { bytes }) => sum + bytes, 0), bar);
  const shards = shardsOf(tensors, shardBytes);
  const nameOf = (i: number): string => shards.length === 1 ? modelFile : shardName(modelFile, i, shards.length);
  const files = shards.map((shard, i): ExportFile => ({ name: nameOf(i), chunks: fileBytes(shard, advance) }));
  const rows = shards.flatMap((shard, i) => shard.map(({ name, bytes }) => [name, nameOf(i), bytes] as const));
  return shards.length === 1 ? files : [...files, { name: modelIndex, chunks: [encodeIndex(rows)] }];
}

// --- writing

/** Names a file if the name is free. A link never replaces a file, as a rename does. */
function placeNew(from: string, to: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    localFileSystem.link(from, to),
    // Without links, for whatever reason: look first, then rename.
    unless((failed) => !means("taken", "link")(failed), () =>
      pipe(
        localFileSystem.status(to),
        TE.flatMap(() => TE.left(storeFailed("create", to, "EEXIST", "file already exists"))),
        unless<void>(means("missing", "status"), () => localFileSystem.rename(from, to)),
      )),
  );
}

/** Writes a file under a temporary name, makes it durable, then names it. Only with `force` does it replace another. */
function writeOne(folder: string, { name, chunks }: ExportFile, force: boolean) {
  const [path, partial] = [join(folder, name), join(folder, `.${name}.${process.pid}.partial`)];
  const written = pipe(
    () => writeFile(localFileSystem, partial, chunks, "crc32"),
    TE.tap(({ durable }) => () => durable),
    TE.tap(() => force ? localFileSystem.rename(partial, path) : placeNew(partial, path)),
    TE.map(({ digest: { bytes } }) => ({ name, bytes })),
  );
  return () => written().finally(localFileSystem.removeFile(partial));
}

/** The files that tools take for the weights of a folder. */
const weightsFile = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/;

const hasManifest = async (folder: string): Promise<boolean> =>
  E.isRight(await localFileSystem.status(join(folder, manifestName))());

/** The folder of checkpoints, or the checkpoint, that a path is or lies in. */
async function checkpointsAround(path: string): Promise<string | undefined> {
  for (let at = localFileSystem.realPath?.(path) ?? path; dirname(at) !== at; at = dirname(at)) {
    if (await hasManifest(at)) return at;
    const names = basename(at) === checkpointsName ? await localFileSystem.names(at)() : E.right([]);
    for (const name of E.isRight(names) ? names.right : []) {
      if (numberIn(name) !== undefined && await hasManifest(join(at, name))) return at;
    }
  }
  return undefined;
}

/** The weights that are in a folder. A folder inside of checkpoints is an error, and without `force` one that has weights. */
function checkFolder(folder: string, force: boolean): CommandTask<readonly string[]> {
  const refuse = (expected: string, found: string): CommandError =>
    usageError(`Expected a folder ${expected}, found ${found}`);
  return pipe(
    TE.fromTask(() => checkpointsAround(folder)),
    TE.filterOrElse(
      (around) => around === undefined,
      (around) => refuse("to write to outside of all checkpoints", `${folder}, which is in ${around}`),
    ),
    TE.flatMap(() =>
      pipe(localFileSystem.names(folder), unless<readonly string[]>(means("missing", "names"), () => TE.right([])))
    ),
    TE.map((names) => names.filter((name) => weightsFile.test(name))),
    TE.filterOrElse(
      (found) => force || found.length === 0,
      ([name = ""]) => refuse("without weights", `${join(folder, name)}: choose another, or add --force`),
    ),
  );
}

/** Writes files, then removes those of an earlier export: tools would take its shards for this one's. */
function replaceFiles(folder: string, files: readonly ExportFile[], before: readonly string[], force: boolean) {
  const stale = before.filter((name) => !files.some((file) => file.name === name));
  return pipe(
    files,
    TE.traverseSeqArray((file) => writeOne(folder, file, force)),
    TE.tap(() => localFileSystem.syncFolder(folder)),
    TE.tap(() => pipe(stale, TE.traverseSeqArray((name) => localFileSystem.removeFile(join(folder, name))))),
  );
}

// --- the command

/** `dogear export`. */
export const exportCommand: Command = defineCommand({
  name: "export",
  summary: "write the weights of a checkpoint for other tools",
  usage: "[RUN][@CHECKPOINT] --out FOLDER [--component NAME] [--max-shard-size SIZE] [--force]",
  description:
    `Writes the weights of a component as model.safetensors, or as several files with model.safetensors.index.json, as Hugging
Face tools load them.`,
  options: {
    out: { value: "FOLDER", help: "where to write; required" },
    component: { value: "NAME", help: 'the component; "model" by default' },
    "max-shard-size": { value: "SIZE", help: "the most bytes of tensors in a file, such as 5GB; no limit by default" },
    force: { help: "replace the weights in FOLDER" },
  },
  example: "runs/digits@12 --out weights",
  json: "{ location, component, folder, tensors, files: [{ name, bytes }] }",
  parse: ({ options: { out, component = "model", "max-shard-size": size, force = false }, words }) =>
    pipe(
      E.Do,
      E.bind("shardBytes", () => size === undefined ? E.right(Infinity) : parseSize(size)),
      E.bind("reference", () => parseTarget(words)),
      E.bind("folder", () => parseOut(out)),
      E.map((parsed) => ({ ...parsed, component, force })),
    ),
  run: ({ reference, folder, component, shardBytes, force }, terminal, open) =>
    pipe(
      TE.Do,
      TE.bind("target", () => findCheckpoint(reference, open)),
      TE.bind("before", () => checkFolder(folder, force)),
      TE.flatMap(({ target, before }) =>
        withCheckpoint(target, (opened) =>
          pipe(
            exportedTensors(opened, component),
            TE.bindTo("tensors"),
            TE.tap(({ tensors }) =>
              verifyFiles(target, terminal, new Set(tensors.map(({ held }) => opened.fileOf(held))))
            ),
            TE.tap(() => makeFolders(localFileSystem, folder)),
            TE.bind("files", ({ tensors }) =>
              withBar(terminal, "writing", (bar) =>
                replaceFiles(folder, exportFiles(tensors, shardBytes, bar), before, force))),
            TE.map(({ tensors: { length: tensors }, files }) => {
              const location = target.store.locationOf(target.checkpoint);
              return {
                json: [jsonText({ location, component, folder, tensors, files })],
                text: files.map(({ name, bytes }) =>
                  `${printable(join(folder, name))}  ${bytesText(bytes)}`
                ),
              };
            }),
          ))
      ),
    ),
});
