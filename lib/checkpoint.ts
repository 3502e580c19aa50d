/**
 * One checkpoint through any store: its files written as a stream, and read back with every byte checked.
 *
 * Writing copies no tensor that is larger than 256 KiB: views of at most 8 MiB go to the store as they are, smaller tensors are packed into
 * one buffer that is used again. A file of the last save whose tensors are all unchanged, proved by their data ids, is taken over and not
 * written. Reading takes one buffer a file, in which the tensors stay.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { Encoded } from "./encode.ts";
import type { Damaged, NewerFormat, NoCheckpoint, Problem, StoreFailed } from "./errors.ts";
import {
  encodeIndex,
  type FilePlan,
  filePlans,
  isModelShard,
  type KnownFile,
  type Layout,
  modelIndex,
  specOf,
} from "./layout.ts";
import {
  decodeManifest,
  encodeManifest,
  type FileEntry,
  format,
  type Manifest,
  type Stored,
  type Summary,
} from "./manifest.ts";
import { decodeHeader, encodeHeader, type Header, headerLength, type TensorEntry } from "./safetensors.ts";
import { digester, type Part, type Saving, type Store } from "./store.ts";
import { fits, type Held, heldBytes } from "./tensor.ts";

// --- types

/** How far a save or load has come, in bytes. */
export interface Progress {
  readonly bytes: number;
  readonly total: number;
}

/** What was committed. */
export interface Committed {
  readonly checkpoint: number;
  readonly bytesWritten: number;
  readonly bytesTotal: number;
}

/** A checkpoint that was read, every byte of it checked. */
export interface Loaded {
  readonly manifest: Manifest;
  readonly encoded: Encoded;
}

/** Why one checkpoint could not be read. */
export type ReadError = StoreFailed | NoCheckpoint | NewerFormat | Damaged;

/** Where this process has written a file. */
interface WrittenFile {
  readonly checkpoint: number;
  readonly entry: FileEntry;
}

/** A file to be, with all that its writing takes. */
interface OpenFile {
  readonly plan: FilePlan<WrittenFile>;
  readonly header: Header;
  readonly head: Uint8Array;
  readonly arrays: readonly Held[];
}

/** What this process has last written to each store. */
const layouts = new WeakMap<Store, Layout<WrittenFile>>();

const mebi = 2 ** 20;
const [viewBytes, packedBytes, smallBytes, segmentBytes] = [8 * mebi, 4 * mebi, mebi / 4, 1024 * mebi];

/** Codes that say: what should be a file is none. */
const notAFile: readonly string[] = ["ENOENT", "ENOTDIR", "EISDIR", "EINVAL"];

// --- capture

/** A file ready to be written, with the lengths of packed strings found out. */
async function opened(plan: FilePlan<WrittenFile>): Promise<OpenFile> {
  const specs = await Promise.all(
    plan.tensors.map(async ({ name, held, dtype, shape }) => ({
      name,
      dtype,
      shape: held.element === "string" ? [(await held.bytes()).byteLength] : shape,
    })),
  );
  const { bytes: head, header } = encodeHeader(specs, [["dogear", format], ["format", "pt"]]);
  const held = new Map(plan.tensors.map((tensor) => [tensor.name, tensor.held]));
  return { plan, header, head, arrays: header.tensors.flatMap(({ name }) => held.get(name) ?? []) };
}

/** The bytes of a file in views of at most 8 MiB; a view is valid until the next is asked for. */
async function* chunksOf(
  packed: Uint8Array,
  head: Uint8Array,
  arrays: readonly Held[],
  advance: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let used = 0;
  const sent = (chunk: Uint8Array): Uint8Array => {
    advance(chunk.byteLength);
    return chunk;
  };
  yield sent(head);
  for (const held of arrays) {
    const bytes = await held.bytes();
    const small = bytes.byteLength <= smallBytes;
    if (used > 0 && (!small || used + bytes.byteLength > packedBytes)) {
      yield sent(packed.subarray(0, used));
      used = 0;
    }
    if (small) {
      packed.set(bytes, used);
      used += bytes.byteLength;
    } else for (let at = 0; at < bytes.byteLength; at += viewBytes) yield sent(bytes.subarray(at, at + viewBytes));
  }
  if (used > 0) yield sent(packed.subarray(0, used));
}

/** Takes over the files that are unchanged where the store can, and writes the others; a failure has ended the saving. */
async function putFiles(
  saving: Saving,
  files: readonly OpenFile[],
  onProgress: (progress: Progress) => void,
): Promise<E.Either<StoreFailed, { readonly entries: readonly FileEntry[]; readonly written: number }>> {
  const taken = new Map<OpenFile, FileEntry>();
  for (const file of files) {
    const { name, same } = file.plan;
    if (same === undefined) continue;
    const reused = await saving.reuse(name, { checkpoint: same.checkpoint, name: same.entry.name })();
    if (E.isLeft(reused)) return reused;
    if (reused.right) taken.set(file, { ...same.entry, name });
  }
  const total = files.reduce((sum, file) => taken.has(file) ? sum : sum + file.header.bytes, 0);
  let written = 0;
  const advance = (bytes: number): void => {
    written += bytes;
    onProgress({ bytes: written, total });
  };
  const packed = new Uint8Array(packedBytes);
  const entries: FileEntry[] = [];
  for (const file of files) {
    const { plan: { name }, head, arrays } = file;
    const known = taken.get(file);
    const put = known ? E.right(known) : await saving.put(name, chunksOf(packed, head, arrays, advance))();
    if (E.isLeft(put)) return put;
    entries.push({ name, ...put.right });
  }
  const shards = files.filter(({ plan }) => isModelShard(plan.name));
  if (shards.length > 0) {
    const index = encodeIndex(
      shards.flatMap(({ plan, header }) =>
        header.tensors.map(({ name, begin, end }) => [name, plan.name, end - begin] as const)
      ),
    );
    const put = await saving.put(modelIndex, [index])();
    if (E.isLeft(put)) return put;
    entries.push({ name: modelIndex, ...put.right });
    written += index.byteLength;
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
    const arrays = tensors.map(({ name, held: { element, shape, identity, resident } }) =>
      [name, { element, shape, identity: resident === undefined ? identity : {} }] as const
    );
    layout.set(whole, [...layout.get(whole) ?? [], { place: { checkpoint, entry }, arrays: new Map(arrays) }]);
  }
  return layout;
}

/**
 * Writes a state as one checkpoint and commits it.
 *
 * @param store Where to.
 * @param encoded The state, whose arrays must stay held until the task is done.
 * @param summary What the checkpoint says of itself.
 * @param onProgress Told after each piece.
 * @returns What was committed; or the store's failure, and then the store is as before.
 */
export function writeCheckpoint(
  store: Store,
  encoded: Encoded,
  summary: Omit<Summary, "files">,
  onProgress: (progress: Progress) => void = () => {},
): TaskEither<StoreFailed, Committed> {
  return async () => {
    const files = await Promise.all(filePlans(encoded, layouts.get(store)).map(opened));
    const begun = await store.begin();
    if (E.isLeft(begun)) return begun;
    try {
      const put = await putFiles(begun.right, files, onProgress);
      if (E.isLeft(put)) return put;
      const { entries, written } = put.right;
      const manifest = encodeManifest({ ...summary, files: entries }, encoded, files.map(({ plan }) => plan));
      const committed = await begun.right.commit(manifest)();
      if (E.isLeft(committed)) return committed;
      layouts.set(store, layoutOf(committed.right, files, entries));
      const bytesTotal = entries.reduce((sum, { bytes }) => sum + bytes, manifest.byteLength);
      return E.right({ checkpoint: committed.right, bytesWritten: written + manifest.byteLength, bytesTotal });
    } catch (cause) {
      await begun.right.abort();
      throw cause;
    }
  };
}

// --- restore

/**
 * Reads and checks a checkpoint's manifest.
 *
 * @param store Where from.
 * @param checkpoint Its number.
 */
export function readManifest(store: Store, checkpoint: number): TaskEither<ReadError, Manifest> {
  return async () => {
    const bytes = await store.manifest(checkpoint)();
    if (E.isLeft(bytes) && bytes.left._tag === "StoreFailed" && notAFile.includes(bytes.left.code)) {
      const problem: Problem = { path: "snapshot.json", kind: "missing", expected: "the manifest", found: "none" };
      return E.left({ _tag: "Damaged", checkpoint, problems: [problem] });
    }
    if (E.isLeft(bytes)) return bytes;
    const manifest = decodeManifest(bytes.right);
    if (E.isRight(manifest)) return manifest;
    return E.left(
      "newer" in manifest.left
        ? { _tag: "NewerFormat", checkpoint, found: manifest.left.newer, supported: format }
        : { _tag: "Damaged", checkpoint, problems: manifest.left.problems },
    );
  };
}

/** The differences between the tensors a file has and those the manifest says it has. */
function checkTensors(name: string, header: Header, expected: ReadonlyMap<string, Stored>): readonly Problem[] {
  const found = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const missing = [...expected.keys()].filter((tensor) => !found.has(tensor)).map((tensor): Problem => ({
    path: `${name}/${tensor}`,
    kind: "missing",
    expected: "a tensor that the manifest names",
    found: "none in the file",
  }));
  return missing.concat(header.tensors.flatMap((tensor): Problem[] => {
    const stored = expected.get(tensor.name);
    const path = `${name}/${tensor.name}`;
    if (stored === undefined) {
      return [{ path, kind: "extra", expected: "no tensor that the manifest does not name", found: tensor.dtype }];
    }
    const spec = specOf(stored.element, stored.shape, stored.tensor, tensor.end - tensor.begin);
    const [a, b] = [`${spec.dtype} [${spec.shape}]`, `${tensor.dtype} [${tensor.shape}]`];
    return a === b ? [] : [{ path, kind: "shape", expected: a, found: b }];
  }));
}

/** Runs of neighbouring tensors that share one buffer. */
function segmentsOf(tensors: readonly TensorEntry[]): readonly (readonly TensorEntry[])[] {
  const segments: TensorEntry[][] = [];
  for (const tensor of tensors) {
    const last = segments.at(-1);
    if (last !== undefined && tensor.end - (last[0]?.begin ?? 0) <= segmentBytes) last.push(tensor);
    else segments.push([tensor]);
  }
  return segments;
}

function lengthProblem(part: Part, entry: FileEntry): Problem {
  return { path: entry.name, kind: "length", expected: `${entry.bytes} bytes`, found: `${part.bytes}` };
}

/** The digests of a file's bytes as they pass, and what they tell in the end. */
function digesting(entry: FileEntry, advance: (bytes: number) => void): {
  readonly update: (view: Uint8Array) => void;
  readonly problems: () => readonly Problem[];
} {
  const digest = digester(entry.sha256 === undefined ? "crc32" : "sha256");
  return {
    update: (view) => {
      digest.update(view);
      advance(view.byteLength);
    },
    problems: () => {
      const { crc32, sha256 } = digest.written();
      const differs = (name: string, expected: string | undefined, found: string | undefined): Problem[] =>
        expected === found
          ? []
          : [{ path: entry.name, kind: "digest", expected: `${name} ${expected}`, found: String(found) }];
      return [...differs("CRC-32", entry.crc32, crc32), ...differs("SHA-256", entry.sha256, sha256)];
    },
  };
}

/** The bytes of every tensor of a file by name; or every problem of the file. */
async function readFile(
  part: Part,
  entry: FileEntry,
  expected: ReadonlyMap<string, Stored>,
  advance: (bytes: number) => void,
): Promise<E.Either<StoreFailed | readonly Problem[], ReadonlyMap<string, Uint8Array>>> {
  if (part.bytes !== entry.bytes) return E.left([lengthProblem(part, entry)]);
  const digest = digesting(entry, advance);
  const start = new Uint8Array(Math.min(8, entry.bytes));
  const begun = await part.read(start, 0)();
  if (E.isLeft(begun)) return begun;
  const length = headerLength(start, entry.bytes);
  if (E.isLeft(length)) return E.left(length.left.map((p) => ({ ...p, path: `${entry.name}/${p.path}` })));
  const head = new Uint8Array(length.right);
  const headed = await part.read(head, 0)();
  if (E.isLeft(headed)) return headed;
  digest.update(head);
  const header = decodeHeader(head, entry.bytes);
  if (E.isLeft(header)) return E.left(header.left.map((p) => ({ ...p, path: `${entry.name}/${p.path}` })));
  const problems = checkTensors(entry.name, header.right, expected);
  if (problems.length > 0) return E.left(problems);
  const bytes = new Map<string, Uint8Array>();
  for (const segment of segmentsOf(header.right.tensors)) {
    const [from, to] = [segment[0]?.begin ?? 0, segment.at(-1)?.end ?? 0];
    const buffer = new Uint8Array(to - from);
    let before: Uint8Array = new Uint8Array();
    for (let at = 0; at < buffer.byteLength; at += viewBytes) {
      const view = buffer.subarray(at, at + viewBytes);
      const reading = part.read(view, header.right.dataStart + from + at)();
      digest.update(before);
      before = view;
      const read = await reading;
      if (E.isLeft(read)) return read;
    }
    digest.update(before);
    for (const { name, begin, end } of segment) bytes.set(name, buffer.subarray(begin - from, end - from));
  }
  const wrong = digest.problems();
  return wrong.length > 0 ? E.left(wrong) : E.right(bytes);
}

/** Checks the index of the model's files, which is for other tools and holds no tensor. */
async function readIndex(
  part: Part,
  entry: FileEntry,
  advance: (bytes: number) => void,
): Promise<E.Either<StoreFailed | readonly Problem[], ReadonlyMap<string, Uint8Array>>> {
  if (part.bytes !== entry.bytes) return E.left([lengthProblem(part, entry)]);
  const bytes = new Uint8Array(entry.bytes);
  const read = await part.read(bytes, 0)();
  if (E.isLeft(read)) return read;
  const digest = digesting(entry, advance);
  digest.update(bytes);
  const problems = digest.problems();
  return problems.length > 0 ? E.left(problems) : E.right(new Map());
}

/**
 * Reads a checkpoint and checks every byte of it: lengths, digests, headers, and that files and manifest say the same.
 *
 * @param store Where from.
 * @param checkpoint Its number.
 * @param onProgress Told after each piece.
 * @returns The state, its arrays in memory; or `Damaged` with every problem found, `NewerFormat`, `NoCheckpoint`, or the store's failure.
 */
export function readCheckpoint(
  store: Store,
  checkpoint: number,
  onProgress: (progress: Progress) => void = () => {},
): TaskEither<ReadError, Loaded> {
  return async () => {
    const read = await readManifest(store, checkpoint)();
    if (E.isLeft(read)) return read;
    const manifest = read.right;
    const total = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    let done = 0;
    const advance = (bytes: number): void => {
      done += bytes;
      onProgress({ bytes: done, total });
    };
    const problems: Problem[] = [];
    const files: ReadonlyMap<string, Uint8Array>[] = [];
    const expected = manifest.files.map(() => new Map<string, Stored>());
    for (const stored of manifest.arrays) expected[stored.file]?.set(stored.tensor, stored);
    for (const [i, entry] of manifest.files.entries()) {
      const part = await store.open(checkpoint, entry.name)();
      if (E.isLeft(part)) {
        if (part.left._tag === "StoreFailed" && !notAFile.includes(part.left.code)) return part;
        problems.push({ path: entry.name, kind: "missing", expected: `a file of ${entry.bytes} bytes`, found: "none" });
        continue;
      }
      try {
        const tensors = expected[i] ?? new Map<string, Stored>();
        const bytes = entry.name === modelIndex && tensors.size === 0
          ? await readIndex(part.right, entry, advance)
          : await readFile(part.right, entry, tensors, advance);
        if (E.isRight(bytes)) files[i] = bytes.right;
        else if ("_tag" in bytes.left) return E.left(bytes.left);
        else problems.push(...bytes.left);
      } finally {
        await part.right.close();
      }
    }
    if (problems.length > 0) return E.left({ _tag: "Damaged", checkpoint, problems });
    const hold = (stored: Stored): Held => {
      const bytes = files[stored.file]?.get(stored.tensor) ?? new Uint8Array();
      if (!fits(stored.element, stored.shape, bytes)) {
        problems.push({
          path: stored.tensor,
          kind: "length",
          expected: `${stored.element} [${stored.shape}]`,
          found: `${bytes.byteLength} bytes`,
        });
      }
      return heldBytes(stored.element, stored.shape, bytes);
    };
    const encoded = manifest.state(hold);
    return problems.length > 0 ? E.left({ _tag: "Damaged", checkpoint, problems }) : E.right({ manifest, encoded });
  };
}
