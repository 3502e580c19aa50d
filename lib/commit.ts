/**
 * A state written to any store as one checkpoint, and committed.
 *
 * No tensor is copied that is larger than 256 KiB and stays where it is: views of at most 8 MiB go to the store as they are. Smaller tensors,
 * and those in memory that may move, are packed into two buffers by turns, one filled while the other is written. A file of the last save
 * whose tensors are all unchanged is taken over and not written: it is proved by their data ids, which tfjs never gives to other values.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { candidates } from "./catalogue.ts";
import { readSummary } from "./checkpoint.ts";
import type { Encoded } from "./encode.ts";
import type { Overtaken, StoreFailed } from "./errors.ts";
import { encodeIndex, type FilePlan, filePlans, type KnownFile, type Layout } from "./layout.ts";
import { componentText, encodeManifest, type FileEntry, format, type Summary } from "./manifest.ts";
import { type ArraySpec, isKept, isModelShard, modelIndex, type Placement, placements } from "./placement.ts";
import { meter, type Progress } from "./progress.ts";
import { type EncodedHeader, encodeHeader, type TensorSpec } from "./safetensors.ts";
import { placeOf } from "./runs.ts";
import { sha256Of } from "./digest.ts";
import { type CommitCondition, manifestName, type Saving, type Store, tooLong } from "./store.ts";
import type { Held } from "./tensor.ts";

// --- types

/** What was committed. */
export interface Committed {
  readonly checkpoint: number;
  readonly bytesWritten: number;
  readonly bytesTotal: number;
  /** The numbers that may have a checkpoint, where the commit has seen them. */
  readonly seen: readonly number[] | undefined;
  /** In a store that asks for SHA-256, that of the manifest. */
  readonly digest?: string;
}

/** Where this process has written a file. */
interface WrittenFile {
  readonly checkpoint: number;
  readonly entry: FileEntry;
}

/** A file's header, and what it is of. */
interface Head extends EncodedHeader {
  readonly specs: readonly ArraySpec[];
}

/** A file to be, with all that its writing takes. */
interface OpenFile {
  readonly plan: FilePlan<WrittenFile>;
  readonly head: Head;
  /** Its arrays, in its order. */
  readonly arrays: readonly Held[];
}

/** What is kept in mind of a component: no array's bytes. */
interface Kept {
  readonly placement: Placement;
  /** Its files, with their indices in the manifest. */
  readonly files: readonly { readonly name: string; readonly index: number; readonly head: Head }[];
  /** What the manifest says of it. */
  readonly text: string;
}

/** What a save leaves to the next one into the same store. */
interface LastSave {
  readonly layout: Layout<WrittenFile>;
  readonly components: ReadonlyMap<string, Kept>;
}

/** The last save into a place, which its stores hold: it goes with them. */
const lastSaves = new WeakMap<object, WeakRef<LastSave>>();
const holders = new WeakMap<Store, LastSave>();
const firstSave: LastSave = { layout: new Map(), components: new Map() };

const mebi = 2 ** 20;
const [viewBytes, packedBytes, smallBytes] = [8 * mebi, 4 * mebi, mebi / 4];
/** Room for what is found to need packing only when its turn comes: tfjs may have moved it to another backend. */
const leastBytes = mebi / 16;

// --- capture

/** The header of a file, with the lengths of packed strings found out: that of the last save where its arrays have the same form. */
async function headOf({ tensors }: FilePlan<WrittenFile>, last: Head | undefined): Promise<Head> {
  if (last?.specs.length === tensors.length && tensors.every(({ spec }, i) => spec === last.specs[i])) return last;
  const specs: TensorSpec[] = [];
  for (const { spec, node: { held } } of tensors) {
    specs.push(held.element === "string" ? { ...spec, shape: [(await held.home.read(held)).byteLength] } : spec);
  }
  return { ...encodeHeader(specs, [["dogear", format], ["format", "pt"]]), specs: tensors.map(({ spec }) => spec) };
}

/** A file ready to be written. */
async function opened(plan: FilePlan<WrittenFile>, last: Kept | undefined): Promise<OpenFile> {
  const head = await headOf(plan, last?.files.find(({ name }) => name === plan.name)?.head);
  return { plan, head, arrays: head.order.map((i) => plan.tensors[i]!.node.held) };
}

/** Whether an array of so many bytes is copied on its way to the store. */
function isPacked(bytes: number, held: Held): boolean {
  return bytes <= smallBytes || held.home.copies(held);
}

/** Two buffers for the files by turns, as large as what is packed into them needs. */
function stagingFor(files: readonly OpenFile[]): readonly Uint8Array[] {
  const packed = ({ arrays, head: { header } }: OpenFile): number =>
    header.tensors.reduce(
      (sum, { begin, end }, i) => isPacked(end - begin, arrays[i] as Held) ? sum + end - begin : sum,
      0,
    );
  const most = files.reduce((bytes, file) => Math.max(bytes, packed(file)), leastBytes);
  return [0, 1].map(() => new Uint8Array(Math.min(packedBytes, most)));
}

/** The bytes of a file in pieces of at most 8 MiB; one is valid until the next but one is asked for. */
async function* chunksOf(
  { head: { bytes, header }, arrays }: OpenFile,
  staging: readonly Uint8Array[],
  advance: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let [turn, used] = [0, 0];
  const buffer = (): Uint8Array => staging[turn] ?? new Uint8Array();
  const sent = (chunk: Uint8Array): Uint8Array => {
    advance(chunk.byteLength);
    return chunk;
  };
  const packed = (): Uint8Array => {
    const chunk = buffer().subarray(0, used);
    [turn, used] = [(turn + 1) % staging.length, 0];
    return sent(chunk);
  };
  yield sent(bytes);
  for (const [i, { begin, end }] of header.tensors.entries()) {
    const held = arrays[i] as Held;
    const { home, element, shape } = held;
    const length = end - begin;
    const packs = isPacked(length, held);
    let view = (packs ? home.peek(held) : undefined) ?? await home.read(held);
    if (view.byteLength !== length) {
      throw new TypeError(
        `Expected ${length} bytes of ${element} [${shape}], found ${view.byteLength}: nothing is saved`,
      );
    }
    if (!packs) {
      if (used > 0) yield packed();
      for (let at = 0; at < length; at += viewBytes) yield sent(view.subarray(at, at + viewBytes));
      continue;
    }
    for (let at = 0; at < length;) {
      const room = buffer().byteLength - used;
      const some = at === 0 && length <= room ? view : view.subarray(at, at + room);
      buffer().set(some, used);
      used += some.byteLength;
      at += some.byteLength;
      if (used < buffer().byteLength) continue;
      yield packed();
      // A backend's memory may have moved meanwhile.
      if (at < length) view = home.peek(held) ?? await home.read(held);
    }
  }
  if (used > 0) yield packed();
}

/** The files of a checkpoint, if it is this run's: another one may have its number by now. */
async function filesOf(store: Store, checkpoint: number, run: string): Promise<readonly FileEntry[]> {
  const summary = await readSummary(store, checkpoint)();
  return E.isRight(summary) && summary.right.run === run ? summary.right.files : [];
}

/** Whether a file is still what this process has written. */
async function isThere(
  store: Store,
  { checkpoint, entry }: WrittenFile,
  files: readonly FileEntry[],
): Promise<boolean> {
  const found = files.find(({ name }) => name === entry.name);
  if (found?.bytes !== entry.bytes || found.crc32 !== entry.crc32 || found.sha256 !== entry.sha256) return false;
  const status = await store.status?.(checkpoint, entry.name)();
  return status === undefined || (E.isRight(status) && status.right.bytes === entry.bytes);
}

/** Takes over the files that are unchanged where the store can, and writes the others; a failure has ended the saving. */
async function putFiles(
  store: Store,
  saving: Saving,
  files: readonly OpenFile[],
  run: string,
  onProgress: (progress: Progress) => void,
): Promise<E.Either<StoreFailed, { readonly entries: readonly FileEntry[]; readonly written: number }>> {
  const taken = new Map<OpenFile, FileEntry>();
  const known = new Map<number, readonly FileEntry[]>();
  for (const file of files) {
    const { name, same } = file.plan;
    if (same === undefined) continue;
    const there = known.get(same.checkpoint) ?? await filesOf(store, same.checkpoint, run);
    known.set(same.checkpoint, there);
    if (!await isThere(store, same, there)) continue;
    const reused = await saving.reuse(name, { checkpoint: same.checkpoint, name: same.entry.name })();
    if (E.isLeft(reused)) return reused;
    if (reused.right) taken.set(file, { ...same.entry, name });
  }
  const total = files.reduce((sum, file) => taken.has(file) ? sum : sum + file.head.header.bytes, 0);
  let written = total;
  const advance = meter(total, onProgress);
  const staging = stagingFor(files.filter((file) => !taken.has(file)));
  const entries: FileEntry[] = [];
  const shards = files.filter(({ plan }) => isModelShard(plan.name));
  // First, so that what is large is brought to the disk while the manifest is made.
  if (shards.length > 0) {
    const index = encodeIndex(
      shards.flatMap(({ plan, head }) =>
        head.header.tensors.map(({ name, begin, end }) => [name, plan.name, end - begin] as const)
      ),
    );
    const put = await saving.put(modelIndex, [index])();
    if (E.isLeft(put)) return put;
    entries.push({ name: modelIndex, ...put.right });
    written += index.byteLength;
  }
  for (const file of files) {
    const { name } = file.plan;
    const same = taken.get(file);
    const put = same ? E.right(same) : await saving.put(name, chunksOf(file, staging, advance))();
    if (E.isLeft(put)) return put;
    entries.push({ name, ...put.right });
  }
  return E.right({ entries, written });
}

/** What has been written, by what its files would be called were they not split. */
function layoutOf(checkpoint: number, files: readonly OpenFile[], entries: readonly FileEntry[]): Layout<WrittenFile> {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const layout = new Map<string, KnownFile<WrittenFile>[]>();
  for (const { plan: { name, whole, tensors } } of files) {
    const entry = byName.get(name);
    if (entry === undefined) continue;
    // Only what a backend holds is ever proved the same, and nothing else is kept from being freed.
    const arrays = tensors.map(({ spec: { name }, node: { held } }) =>
      [name, held.resident === undefined ? held : { element: held.element, shape: held.shape, identity: {} }] as const
    );
    layout.set(whole, [...layout.get(whole) ?? [], { place: { checkpoint, entry }, arrays: new Map(arrays) }]);
  }
  return layout;
}

/** A component with its text in the manifest: that of the last save where its form is the same and stands in the same files. */
function keptOf(
  placement: Placement,
  files: readonly OpenFile[],
  entries: readonly FileEntry[],
  last: Kept | undefined,
): Kept {
  const { component, node } = placement;
  const own = files.filter(({ plan }) => plan.component === component);
  const found = own.map(({ plan, head }) => {
    return { name: plan.name, index: entries.findIndex(({ name }) => name === plan.name), head };
  });
  const same = last?.files.length === found.length &&
    found.every(({ index, head }, i) => last.files[i]?.index === index && last.files[i]?.head === head);
  const text = same
    ? last.text
    : componentText([component, node], own.map(({ plan }, i) => [found[i]!.index, plan.tensors]));
  return { placement, files: found, text };
}

/** The bytes of a manifest, if it is not too long to be read again. */
function manifestOf(
  store: Store,
  summary: Summary,
  order: Encoded["order"],
  components: readonly Pick<Kept, "text">[],
): E.Either<StoreFailed, Uint8Array> {
  const path = `${store.location}/${manifestName}`;
  // Looked at before it is made: an engine refuses a string that is longer still.
  const long = tooLong("write", path, components.reduce((sum, { text }) => sum + text.length, 0));
  if (long !== undefined) return E.left(long);
  const bytes = encodeManifest(summary, order, components.map(({ text }) => text));
  const longer = tooLong("write", path, bytes.byteLength);
  return longer === undefined ? E.right(bytes) : E.left(longer);
}

/**
 * Writes a state as one checkpoint and commits it.
 *
 * @param store Where to.
 * @param encoded The state, whose arrays must stay held until the task is done.
 * @param summary What the checkpoint says of itself.
 * @param after What it goes after.
 * @param onProgress Told after each piece.
 * @returns What was committed; or the store's failure, or that another one is ahead, and then the store is as before.
 */
export function writeCheckpoint(
  store: Store,
  encoded: Encoded,
  summary: Omit<Summary, "files">,
  after?: CommitCondition,
  onProgress: (progress: Progress) => void = () => {},
): TaskEither<StoreFailed | Overtaken, Committed> {
  return async () => {
    const place = placeOf(store);
    const last = lastSaves.get(place)?.deref() ?? firstSave;
    const placed = placements(encoded, last.components);
    const plans = filePlans(placed, last.layout);
    const files = await Promise.all(plans.map((plan) => opened(plan, last.components.get(plan.component))));
    const begun = await store.begin();
    if (E.isLeft(begun)) return begun;
    try {
      const put = await putFiles(store, begun.right, files, summary.run, onProgress);
      if (E.isLeft(put)) return put;
      const { entries, written } = put.right;
      const components = placed.map((placement) =>
        keptOf(placement, files, entries, last.components.get(placement.component))
      );
      const manifest = manifestOf(store, { ...summary, files: entries }, encoded.order, components);
      if (E.isLeft(manifest)) {
        await begun.right.abort();
        return manifest;
      }
      const { listed } = begun.right;
      if (after !== undefined && begun.right.checksCondition !== true) {
        const looked = await pipe(candidates(store), TE.flatMap(after.check))();
        if (E.isLeft(looked)) {
          await begun.right.abort();
          return looked;
        }
      }
      const committed = await begun.right.commit(manifest.right, after)();
      if (E.isLeft(committed)) return committed;
      const kept = components.filter(({ placement, text }) => isKept(placement, text));
      const save: LastSave = {
        layout: layoutOf(committed.right, files, entries),
        components: new Map(kept.map((each) => [each.placement.component, each])),
      };
      holders.set(store, save);
      lastSaves.set(place, new WeakRef(save));
      const bytesTotal = entries.reduce((sum, { bytes }) => sum + bytes, manifest.right.byteLength);
      return E.right({
        checkpoint: committed.right,
        bytesWritten: written + manifest.right.byteLength,
        bytesTotal,
        seen: listed?.(),
        ...(store.digest === "sha256" ? { digest: sha256Of(manifest.right) } : {}),
      });
    } catch (cause) {
      await begun.right.abort();
      throw cause;
    }
  };
}
