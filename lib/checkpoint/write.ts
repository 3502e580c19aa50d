/**
 * Writes a state to a store as one checkpoint, and commits it.
 *
 * Tensors larger than 256 KiB are not copied: views of at most 8 MiB go to the store. Smaller ones, and those whose memory may move, are packed
 * into two buffers, of which one is filled while the other is written. A file of the last save is reused instead of written if all its tensors have
 * the data ids that they had, which tfjs never gives to other values.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { candidates } from "./entries.ts";
import type { Encoded, Held } from "../state/mod.ts";
import type { Overtaken, StoreFailed } from "../errors/mod.ts";
import { encodeIndex, type FilePlan, filePlans, knownArray, type KnownFile, type KnownFiles } from "./file_plan.ts";
import { manifestName, meter, perLocation, sha256Of, tooLong } from "../store/mod.ts";
import type { Chunks, CommitCondition, Progress, Saving, Store } from "../store/mod.ts";
import { encodeManifest, type FileEntry, format, type ManifestSummary } from "./manifest.ts";
import { componentText } from "./manifest_tree.ts";
import { type ComponentArrays, isModelShard, modelIndex, nameTensors } from "./tensor_names.ts";
import { type EncodedHeader, encodeHeader, type TensorSpec } from "./safetensors.ts";

// --- types

/** What was committed. */
export interface Committed {
  readonly checkpoint: number;
  readonly bytesWritten: number;
  readonly bytesTotal: number;
  /** The numbers that may have a checkpoint, if the commit has listed them. */
  readonly seen: readonly number[] | undefined;
  /** The SHA-256 of the manifest, if the store asks for SHA-256. */
  readonly digest?: string;
}

/** How a checkpoint is written. */
export interface CheckpointOptions {
  /** The checkpoint that it must follow. */
  readonly after: CommitCondition | undefined;
  /** The files of its parent, from the parent's manifest: the last save's files are reused from there. */
  readonly parentFiles: readonly FileEntry[];
  /** Receives the progress after each piece. */
  readonly onProgress: (progress: Progress) => void;
}

/** A file of a committed checkpoint. */
interface CommittedFile {
  readonly checkpoint: number;
  readonly entry: FileEntry;
}

/** A planned file, with its header and its arrays in the order of the file. */
interface FileToWrite {
  readonly plan: FilePlan<CommittedFile>;
  readonly head: EncodedHeader;
  readonly arrays: readonly Held[];
}

/** The files of the last save to a location. */
const lastFilesAt = perLocation((): { files: KnownFiles<CommittedFile> } => ({ files: new Map() }));

const mebi = 2 ** 20;
const [viewBytes, packedBytes, smallBytes] = [8 * mebi, 4 * mebi, mebi / 4];
/** The smallest packing buffer: an array may turn out to need packing only when it is read, because tfjs moved it to another backend. */
const leastBytes = mebi / 16;

// --- capture

/** Makes the header of a planned file. Packed strings are read, since their lengths are not known before. */
async function prepareFile(plan: FilePlan<CommittedFile>): Promise<FileToWrite> {
  const specs: TensorSpec[] = [];
  for (const { spec, node: { held } } of plan.tensors) {
    specs.push(held.element === "string" ? { ...spec, shape: [(await held.home.read(held)).byteLength] } : spec);
  }
  const head = encodeHeader(specs, [["dogear", format], ["format", "pt"]]);
  return { plan, head, arrays: head.order.map((i) => plan.tensors[i]!.node.held) };
}

/** Whether an array of so many bytes is copied on its way to the store. */
function isPacked(bytes: number, held: Held): boolean {
  return bytes <= smallBytes || held.home.copies(held);
}

/** Two packing buffers, as large as the files need. */
function stagingFor(files: readonly FileToWrite[]): readonly Uint8Array[] {
  const packed = ({ arrays, head: { header } }: FileToWrite): number =>
    header.tensors.reduce((sum, { begin, end }, i) => isPacked(end - begin, arrays[i]!) ? sum + end - begin : sum, 0);
  const most = files.reduce((bytes, file) => Math.max(bytes, packed(file)), leastBytes);
  return [0, 1].map(() => new Uint8Array(Math.min(packedBytes, most)));
}

/** Packs bytes into several buffers by turns. */
function packer(buffers: readonly Uint8Array[]): {
  /** Appends the first bytes of `bytes` to the present buffer, and gives how many: all, unless it becomes full. */
  readonly add: (bytes: Uint8Array) => number;
  readonly fill: () => "empty" | "some" | "full";
  /** The bytes in the present buffer. Further bytes go into the next one. */
  readonly take: () => Uint8Array;
} {
  let [turn, used] = [0, 0];
  const buffer = (): Uint8Array => buffers[turn]!;
  return {
    add: (bytes) => {
      const free = buffer().byteLength - used;
      const some = bytes.byteLength <= free ? bytes : bytes.subarray(0, free);
      buffer().set(some, used);
      used += some.byteLength;
      return some.byteLength;
    },
    fill: () => used === 0 ? "empty" : used < buffer().byteLength ? "some" : "full",
    take: () => {
      const packed = buffer().subarray(0, used);
      [turn, used] = [(turn + 1) % buffers.length, 0];
      return packed;
    },
  };
}

/** The bytes of a file in pieces of at most 8 MiB. A piece stays valid until the next but one is asked for. */
async function* chunksOf(
  { head: { bytes, header }, arrays }: FileToWrite,
  staging: readonly Uint8Array[],
  advance: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const { add, fill, take } = packer(staging);
  const sent = (chunk: Uint8Array): Uint8Array => {
    advance(chunk.byteLength);
    return chunk;
  };
  yield sent(bytes);
  for (const [i, { begin, end }] of header.tensors.entries()) {
    const held = arrays[i]!;
    const [{ home }, length] = [held, end - begin];
    const packs = isPacked(length, held);
    let view = checkedView(held, length, (packs ? home.peek(held) : undefined) ?? await home.read(held));
    if (!packs && fill() !== "empty") yield sent(take());
    for (let at = 0; at < length;) {
      if (!packs) {
        yield sent(view.subarray(at, at + viewBytes));
        at += viewBytes;
        continue;
      }
      at += add(at === 0 ? view : view.subarray(at));
      if (fill() !== "full") continue;
      yield sent(take());
      // The backend may have moved its memory during the yield.
      if (at < length) view = home.peek(held) ?? await home.read(held);
    }
  }
  if (fill() !== "empty") yield sent(take());
}

function checkedView({ element, shape }: Held, length: number, view: Uint8Array): Uint8Array {
  if (view.byteLength === length) return view;
  throw new TypeError(`Expected ${length} bytes of ${element} [${shape}], found ${view.byteLength}: nothing is saved`);
}

/** Whether a file of the last save is in the parent as it was written: same name, length and digests. */
async function isIntact(
  store: Store,
  { checkpoint, entry }: CommittedFile,
  parentFiles: readonly FileEntry[],
): Promise<boolean> {
  const found = parentFiles.find(({ name }) => name === entry.name);
  if (found?.bytes !== entry.bytes || found.crc32 !== entry.crc32 || found.sha256 !== entry.sha256) return false;
  const status = await store.status?.(checkpoint, entry.name)();
  return status === undefined || (E.isRight(status) && status.right.bytes === entry.bytes);
}

/** Reuses the unchanged files, as far as the store can. */
function reuseFiles(
  store: Store,
  saving: Saving,
  files: readonly FileToWrite[],
  parent: number | null,
  parentFiles: readonly FileEntry[],
): TE.TaskEither<StoreFailed, ReadonlyMap<FileToWrite, FileEntry>> {
  return async () => {
    const reused = new Map<FileToWrite, FileEntry>();
    for (const file of files) {
      const { name, same } = file.plan;
      if (same === undefined || same.checkpoint !== parent || !await isIntact(store, same, parentFiles)) continue;
      const done = await saving.reuse(name, { checkpoint: same.checkpoint, name: same.entry.name })();
      if (E.isLeft(done)) return done;
      if (done.right) reused.set(file, { ...same.entry, name });
    }
    return E.right(reused);
  };
}

/** The index of the model's shards; undefined if the model is one file. */
function modelIndexOf(files: readonly FileToWrite[]): Uint8Array | undefined {
  const shards = files.filter(({ plan }) => isModelShard(plan.name));
  return shards.length === 0
    ? undefined
    : encodeIndex(shards.flatMap(({ plan, head }) =>
      head.header.tensors.map(({ name, begin, end }) => [name, plan.name, end - begin] as const)
    ));
}

/** Puts all files of a checkpoint: the index of the model's shards, and the others, unless they are reused. */
function putFiles(
  saving: Saving,
  files: readonly FileToWrite[],
  reused: ReadonlyMap<FileToWrite, FileEntry>,
  onProgress: (progress: Progress) => void,
): TE.TaskEither<StoreFailed, { readonly entries: readonly FileEntry[]; readonly bytesWritten: number }> {
  const written = files.filter((file) => !reused.has(file));
  const total = written.reduce((sum, { head }) => sum + head.header.bytes, 0);
  const [advance, staging] = [meter(total, onProgress), stagingFor(written)];
  const index = modelIndexOf(files);
  const put = (name: string, chunks: Chunks): TE.TaskEither<StoreFailed, FileEntry> =>
    pipe(saving.put(name, chunks), TE.map((digest) => ({ name, ...digest })));
  const putFile = (file: FileToWrite): TE.TaskEither<StoreFailed, FileEntry> => {
    const same = reused.get(file);
    return same ? TE.right(same) : put(file.plan.name, chunksOf(file, staging, advance));
  };
  return pipe(
    TE.sequenceSeqArray([...(index ? [put(modelIndex, [index])] : []), ...files.map(putFile)]),
    TE.map((entries) => ({ entries, bytesWritten: total + (index?.byteLength ?? 0) })),
  );
}

/** What to remember of the files for the next save. */
function knownFilesOf(
  checkpoint: number,
  files: readonly FileToWrite[],
  entries: readonly FileEntry[],
): KnownFiles<CommittedFile> {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const known = new Map<string, KnownFile<CommittedFile>[]>();
  for (const { plan: { name, whole, tensors } } of files) {
    const entry = byName.get(name);
    if (entry === undefined) continue;
    const arrays = new Map(tensors.map(({ spec, node }) => [spec.name, knownArray(node.held)]));
    known.set(whole, [...known.get(whole) ?? [], { file: { checkpoint, entry }, arrays }]);
  }
  return known;
}

/** The bytes of the manifest; a failure if it is longer than a reader accepts. */
function manifestOf(
  store: Store,
  summary: ManifestSummary,
  order: Encoded["order"],
  components: readonly ComponentArrays[],
  files: readonly FileToWrite[],
): E.Either<StoreFailed, Uint8Array> {
  const indexOf = new Map(summary.files.map(({ name }, i) => [name, i]));
  const filesOf = (component: string): Parameters<typeof componentText>[1] =>
    files.filter(({ plan }) => plan.component === component)
      .map(({ plan }) => [indexOf.get(plan.name) ?? -1, plan.tensors]);
  const texts = components.map(({ component, node }) => componentText([component, node], filesOf(component)));
  const path = `${store.location}/${manifestName}`;
  // Checked first, because an engine cannot join strings beyond its own limit.
  const long = tooLong("write", path, texts.reduce((sum, text) => sum + text.length, 0));
  if (long !== undefined) return E.left(long);
  const bytes = encodeManifest(summary, order, texts);
  const longer = tooLong("write", path, bytes.byteLength);
  return longer === undefined ? E.right(bytes) : E.left(longer);
}

/** Checks what a checkpoint must follow, for a store whose commit does not. */
function checkFirst(
  store: Store,
  { checksCondition = false }: Saving,
  after: CommitCondition | undefined,
): TE.TaskEither<StoreFailed | Overtaken, void> {
  return after === undefined || checksCondition
    ? TE.right(undefined)
    : pipe(candidates(store), TE.flatMap(after.check));
}

/**
 * Writes a state as one checkpoint and commits it.
 *
 * @param store The store.
 * @param encoded The state. Its arrays must stay held until the task is done.
 * @param summary What the manifest says of the checkpoint.
 * @param options What it must follow, and what it can reuse.
 * @returns What was committed; the store's failure; or `Overtaken`. After an error the store is as before.
 */
export function writeCheckpoint(
  store: Store,
  encoded: Encoded,
  summary: Omit<ManifestSummary, "files">,
  { after, parentFiles, onProgress }: CheckpointOptions,
): TE.TaskEither<StoreFailed | Overtaken, Committed> {
  return async () => {
    const last = lastFilesAt(store);
    const components = nameTensors(encoded);
    const files = await Promise.all(filePlans(components, last.files).map(prepareFile));
    const begun = await store.begin();
    if (E.isLeft(begun)) return begun;
    const saving = begun.right;
    try {
      return await pipe(
        reuseFiles(store, saving, files, summary.parent, parentFiles),
        TE.flatMap((reused) => putFiles(saving, files, reused, onProgress)),
        TE.bind(
          "manifest",
          ({ entries }) =>
            TE.fromEither(manifestOf(store, { ...summary, files: entries }, encoded.order, components, files)),
        ),
        TE.tap((): TE.TaskEither<StoreFailed | Overtaken, void> => checkFirst(store, saving, after)),
        TE.bind("checkpoint", ({ manifest }) => saving.commit(manifest, after)),
        TE.map(({ entries, bytesWritten, manifest, checkpoint }) => {
          last.files = knownFilesOf(checkpoint, files, entries);
          return {
            checkpoint,
            bytesWritten: bytesWritten + manifest.byteLength,
            bytesTotal: entries.reduce((sum, { bytes }) => sum + bytes, manifest.byteLength),
            seen: saving.listed?.(),
            ...(store.digest === "sha256" && { digest: sha256Of(manifest) }),
          };
        }),
      )();
    } finally {
      // After the commit, it does nothing.
      await saving.abort();
    }
  };
}
