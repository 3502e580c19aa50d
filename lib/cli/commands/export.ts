/**
 * `dogear export`: writes the weights of a component as safetensors files that other tools load, or the curves of a run for TensorBoard.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join } from "node:path";
import { localFileSystem, makeFolders } from "../../store/directory/mod.ts";
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
import { meter } from "../../store/mod.ts";
import { arraysOf, elementBytes, type Held, segment, sizeOf } from "../../state/mod.ts";
import { type Arguments, type CommandTask, type Usage, usage } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { verifyFiles } from "../checkpoint_status.ts";
import { exportCurves } from "../export_curves.ts";
import { type ExportFile, namesOutside, parseFolder, refusedFolder, writeOne, writtenLines } from "../export_files.ts";
import { findCheckpoint, parseReference, type Reference, separateCheckpoint } from "../reference.ts";
import type { OpenUrl } from "../stores.ts";
import { type Bar, type Terminal, withBar } from "../terminal.ts";
import { unknownComponent } from "../unknown_part.ts";
import { bytesText, jsonText } from "../format.ts";

// --- types

/** A tensor under its name in the exported files. */
type ExportedTensor = ReturnType<typeof specOf> & { readonly held: Held; readonly bytes: number };

/** What is exported of what, and where to. */
type Job =
  & { readonly reference: Reference; readonly folder: string; readonly force: boolean }
  & (
    | { readonly what: "curves" }
    | { readonly what: "weights"; readonly component: string; readonly shardBytes: number }
  );

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

function parseTarget([run = ".", next, ...more]: readonly string[], option: string): E.Either<Usage, Reference> {
  if (next === undefined) return parseReference(run);
  const remedy = separateCheckpoint(next, run) || `: the folder to write to is given with ${option}`;
  return usage(`Expected one checkpoint, found ${more.length + 2} words${remedy}`);
}

// --- the tensors

/** The tensors of a component: those with names for other tools if it has any, otherwise all of them by path. */
function exportedTensors(
  { checkpoint, encoded }: LazyCheckpoint,
  component: string,
): CommandTask<readonly ExportedTensor[]> {
  const { components } = encoded;
  const node = components.find(([name]) => name === component)?.[1];
  const root = segment(component);
  const arrays = node === undefined ? [] : arraysOf(node, root);
  if (arrays.length === 0) {
    const withTensors = components.flatMap(([name, one]) => arraysOf(one, "").length > 0 ? [name] : []);
    return TE.left(unknownComponent(checkpoint, components, component, withTensors));
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

/** The files that tools take for the weights of a folder. */
const weightsFile = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/;

/** The weights that are in a folder. Without `force`, a folder that has weights is an error. */
function checkFolder(folder: string, force: boolean): CommandTask<readonly string[]> {
  return pipe(
    namesOutside(folder),
    TE.map((names) => names.filter((name) => weightsFile.test(name))),
    TE.filterOrElse(
      (found) => force || found.length === 0,
      ([name = ""]) => refusedFolder("without weights", `${join(folder, name)}: choose another, or add --force`),
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

const exportOptions = {
  out: { value: "FOLDER", help: "write the weights of a checkpoint there" },
  component: { value: "NAME", help: 'with --out, the component; "model" by default' },
  "max-shard-size": {
    value: "SIZE",
    help: "with --out, the most bytes of tensors in a file, such as 5GB; no limit by default",
  },
  tensorboard: { value: "FOLDER", help: "write the curves of a run there" },
  force: { help: "replace the weights, or the curves of the same run, in FOLDER" },
} as const;

function parseJob({ options, words }: Arguments<typeof exportOptions>): E.Either<Usage, Job> {
  const { out, tensorboard, component, "max-shard-size": size, force = false } = options;
  const both = "--out writes the weights of a checkpoint, --tensorboard the curves of a run";
  if (out !== undefined && tensorboard !== undefined) {
    return usage(`Expected one of --out and --tensorboard, found both: ${both}`);
  }
  const isCurves = tensorboard !== undefined;
  if (isCurves && (component !== undefined || size !== undefined)) {
    const found = component === undefined ? "--max-shard-size" : "--component";
    return usage(`Expected ${found} with --out, found it with --tensorboard: it is about weights`);
  }
  const missing = isCurves
    ? "add it after --tensorboard"
    : "add --out FOLDER for weights, or --tensorboard FOLDER for curves";
  return pipe(
    E.Do,
    E.bind("shardBytes", () => size === undefined ? E.right(Infinity) : parseSize(size)),
    E.bind("reference", () => parseTarget(words, isCurves ? "--tensorboard" : "--out")),
    E.bind("folder", () => parseFolder(tensorboard ?? out ?? "", missing)),
    E.map(({ reference, folder, shardBytes }): Job =>
      isCurves
        ? { what: "curves", reference, folder, force }
        : { what: "weights", reference, folder, force, component: component ?? "model", shardBytes }
    ),
  );
}

function exportWeights(
  { reference, folder, component, shardBytes, force }: Extract<Job, { readonly what: "weights" }>,
  terminal: Terminal,
  open: OpenUrl,
): CommandTask<CommandReport> {
  return pipe(
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
          TE.bind(
            "files",
            ({ tensors }) =>
              withBar(
                terminal,
                "writing",
                (bar) => replaceFiles(folder, exportFiles(tensors, shardBytes, bar), before, force),
              ),
          ),
          TE.map(({ tensors: { length: tensors }, files }) => {
            const location = target.store.locationOf(target.checkpoint);
            return {
              json: [jsonText({ location, component, folder, tensors, files })],
              text: files.flatMap(({ name, bytes }) => writtenLines(join(folder, name), bytesText(bytes), terminal)),
            };
          }),
        ))
    ),
  );
}

/** `dogear export`. */
export const exportCommand: Command = defineCommand({
  name: "export",
  summary: "write weights or curves as files",
  usage:
    "[RUN][@CHECKPOINT] (--out FOLDER [--component NAME] [--max-shard-size SIZE] | --tensorboard FOLDER) [--force]",
  description: `With --out it writes the weights of a component as model.safetensors, or as several files with
model.safetensors.index.json, as Hugging Face tools load them. With --tensorboard it writes TensorBoard's event files: the
logs in the folder of the run (*.jsonl), the metrics and the size of each checkpoint, and a histogram of each of its
tensors, at its step (at its number if it has no step). A run that forked from the first gets a subfolder. Checkpoints that
are damaged are named and left out, and the exit code is 1. Without CHECKPOINT, --out takes the newest checkpoint,
--tensorboard all of them and the logs.`,
  options: exportOptions,
  examples: [
    ["runs/digits --out weights", "the newest weights, as model.safetensors"],
    ["runs/digits@12 --out w --max-shard-size 5GB", "those of checkpoint 12, in files of at most 5 GB"],
    ["runs/digits --tensorboard logs", "the curves and histograms for TensorBoard"],
  ],
  json: `{ location, component, folder, tensors, files: [{ name, bytes }] }, or with --tensorboard
  { location, folder, files: [{ path, bytes, run, checkpoints, logs }], leftOut: [{ checkpoint, error }] }`,
  parse: parseJob,
  run: (job, terminal, open) =>
    job.what === "weights"
      ? exportWeights(job, terminal, open)
      : exportCurves(job.reference, job.folder, job.force, terminal, open),
});
