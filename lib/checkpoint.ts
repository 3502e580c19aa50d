/**
 * One checkpoint read from any store, every byte of it checked: it takes one buffer a file, in which the tensors stay.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { totalmem } from "node:os";
import process from "node:process";
import type { Encoded } from "./encode.ts";
import type { Damaged, Mismatch, NewerFormat, NoCheckpoint, Problem, StoreFailed } from "./errors.ts";
import type { ManifestError } from "./formats.ts";
import { guarded } from "./guard.ts";
import { modelIndex, specOf } from "./placement.ts";
import {
  decodeManifest,
  decodeSummary,
  type FileEntry,
  format,
  type Manifest,
  type Stored,
  type Summary,
} from "./manifest.ts";
import { meter, type Progress } from "./progress.ts";
import { decodeHeader, type Header, headerLength, type TensorEntry } from "./safetensors.ts";
import { digester } from "./digest.ts";
import { manifestName, type OpenPart, type Store, storeFailed, tooLong } from "./store.ts";
import { elementBytes, fits, type Held, heldBytes, sizeOf } from "./tensor.ts";

// --- types

/** A checkpoint that was read, every byte of it checked. */
export interface Loaded {
  readonly manifest: Manifest;
  readonly encoded: Encoded;
}

/** Why one checkpoint could not be read. */
export type ReadError = StoreFailed | NoCheckpoint | NewerFormat | Damaged;

const mebi = 2 ** 20;
const [viewBytes, segmentBytes] = [8 * mebi, 1024 * mebi];
/** Two threads copy out of the page cache faster than one. */
const readsAtOnce = 2;

/** Codes that say: what should be a file is none. */
export const notAFile: readonly string[] = ["ENOENT", "ENOTDIR", "EISDIR", "EINVAL"];

// --- restore

/**
 * Reads and checks a checkpoint's manifest.
 *
 * @param store Where from.
 * @param checkpoint Its number.
 */
export function readManifest(store: Store, checkpoint: number): TaskEither<ReadError, Manifest> {
  return manifestBy(decodeManifest, store, checkpoint);
}

/**
 * Reads what a checkpoint says of itself beside its state.
 *
 * @param store Where from.
 * @param checkpoint Its number.
 */
export function readSummary(
  store: Store,
  checkpoint: number,
): TaskEither<ReadError, Summary & { readonly bytes: number }> {
  return manifestBy(decodeSummary, store, checkpoint);
}

function manifestBy<A>(
  decode: (bytes: Uint8Array) => E.Either<ManifestError, A>,
  store: Store,
  checkpoint: number,
): TaskEither<ReadError, A> {
  return guarded<ReadError, A>("read", store.locationOf(checkpoint), async () => {
    const bytes = await store.manifest(checkpoint)();
    if (E.isLeft(bytes) && bytes.left._tag === "StoreFailed" && notAFile.includes(bytes.left.code)) {
      const problem: Problem = { path: "snapshot.json", kind: "missing", expected: "the manifest", found: "none" };
      return E.left({ _tag: "Damaged", checkpoint, problems: [problem] });
    }
    if (E.isLeft(bytes)) return bytes;
    const long = tooLong("read", `${store.locationOf(checkpoint)}/${manifestName}`, bytes.right.byteLength);
    if (long !== undefined) return E.left(long);
    const manifest = decode(bytes.right);
    if (E.isRight(manifest)) return manifest;
    return E.left(
      "newer" in manifest.left
        ? { _tag: "NewerFormat", checkpoint, found: manifest.left.newer, supported: format }
        : { _tag: "Damaged", checkpoint, problems: manifest.left.problems },
    );
  });
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

/** Runs of neighbouring tensors that share one buffer, each run either held or not. */
function segmentsOf(
  tensors: readonly TensorEntry[],
  held: (tensor: TensorEntry) => boolean,
): readonly (readonly TensorEntry[])[] {
  const segments: TensorEntry[][] = [];
  for (const tensor of tensors) {
    const last = segments.at(-1);
    const [first] = last ?? [];
    if (first !== undefined && tensor.end - first.begin <= segmentBytes && held(first) === held(tensor)) {
      last?.push(tensor);
    } else segments.push([tensor]);
  }
  return segments;
}

function lengthProblem(part: OpenPart, entry: FileEntry): Problem {
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
      const { crc32, sha256 } = digest.result();
      const differs = (name: string, expected: string | undefined, found: string | undefined): Problem[] =>
        expected === found
          ? []
          : [{ path: entry.name, kind: "digest", expected: `${name} ${expected}`, found: String(found) }];
      return [...differs("CRC-32", entry.crc32, crc32), ...differs("SHA-256", entry.sha256, sha256)];
    },
  };
}

/** What a file holds: how many bytes of each tensor, and the bytes of those that were to be held. */
interface Content {
  readonly lengths: ReadonlyMap<string, number>;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

/** The header of an open file; or every problem of it. */
export async function readHeader(
  part: OpenPart,
  entry: FileEntry,
  check: (view: Uint8Array) => void = () => {},
): Promise<E.Either<StoreFailed | readonly Problem[], Header>> {
  if (part.bytes !== entry.bytes) return E.left([lengthProblem(part, entry)]);
  const within = E.mapLeft((problems: readonly Problem[]) =>
    problems.map((p) => ({ ...p, path: `${entry.name}/${p.path}` }))
  );
  const start = new Uint8Array(Math.min(8, entry.bytes));
  const begun = await part.read(start, 0)();
  if (E.isLeft(begun)) return begun;
  const length = within(headerLength(start, entry.bytes));
  if (E.isLeft(length)) return length;
  const head = new Uint8Array(length.right);
  const headed = await part.read(head, 0)();
  if (E.isLeft(headed)) return headed;
  check(head);
  return within(decodeHeader(head, entry.bytes));
}

/** A read under way, and where to. */
interface Reading {
  readonly view: Uint8Array;
  readonly read: Promise<E.Either<StoreFailed, void>>;
}

/** Reads every byte of an open file and checks it; or every problem of the file. */
async function readFile(
  part: OpenPart,
  entry: FileEntry,
  expected: ReadonlyMap<string, Stored>,
  held: (stored: Stored) => boolean,
  advance: (bytes: number) => void,
): Promise<E.Either<StoreFailed | readonly Problem[], Content>> {
  const digest = digesting(entry, advance);
  const header = await readHeader(part, entry, digest.update);
  if (E.isLeft(header)) return header;
  const { tensors, dataStart } = header.right;
  const problems = checkTensors(entry.name, header.right, expected);
  if (problems.length > 0) return E.left(problems);
  const isHeld = ({ name }: TensorEntry): boolean => {
    const stored = expected.get(name);
    return stored !== undefined && held(stored);
  };
  const full = roomFailure(entry.name, tensors.filter(isHeld).reduce((n, { begin, end }) => n + end - begin, 0));
  if (full !== undefined) return E.left(full);
  // What is not held is read into views by turns: one is checked while the others are filled.
  const most = Math.min(viewBytes, entry.bytes);
  const scratch = tensors.every(isHeld) ? [] : Array.from({ length: readsAtOnce + 1 }, () => new Uint8Array(most));
  let turn = 0;
  const bytes = new Map<string, Uint8Array>();
  const underWay: Reading[] = [];
  /** Waits for the first reads, and checks what they read, until only so many are under way. */
  const settle = async (most: number): Promise<E.Either<StoreFailed, void>> => {
    while (underWay.length > most) {
      const { view, read } = underWay.shift() as Reading;
      const done = await read;
      if (E.isLeft(done)) return done;
      digest.update(view);
    }
    return E.right(undefined);
  };
  try {
    for (const segment of segmentsOf(tensors, isHeld)) {
      const [first] = segment;
      const [from, to] = [first?.begin ?? 0, segment.at(-1)?.end ?? 0];
      const buffer = first !== undefined && isHeld(first) ? new Uint8Array(to - from) : undefined;
      for (let at = 0; at < to - from; at += viewBytes) {
        const some = Math.min(viewBytes, to - from - at);
        const into = buffer?.subarray(at) ?? scratch[turn++ % scratch.length] ?? new Uint8Array(some);
        const view = into.subarray(0, some);
        underWay.push({ view, read: part.read(view, dataStart + from + at)() });
        const settled = await settle(readsAtOnce);
        if (E.isLeft(settled)) return settled;
      }
      if (buffer === undefined) continue;
      for (const { name, begin, end } of segment) bytes.set(name, buffer.subarray(begin - from, end - from));
    }
    const settled = await settle(0);
    if (E.isLeft(settled)) return settled;
  } finally {
    // The caller closes the file.
    await Promise.all(underWay.map(({ read }) => read));
  }
  const wrong = digest.problems();
  if (wrong.length > 0) return E.left(wrong);
  return E.right({ lengths: new Map(tensors.map(({ name, begin, end }) => [name, end - begin])), bytes });
}

/** Checks the index of the model's files, which is for other tools and holds no tensor. */
async function readIndex(
  part: OpenPart,
  entry: FileEntry,
  advance: (bytes: number) => void,
): Promise<E.Either<StoreFailed | readonly Problem[], Content>> {
  if (part.bytes !== entry.bytes) return E.left([lengthProblem(part, entry)]);
  const bytes = new Uint8Array(entry.bytes);
  const read = await part.read(bytes, 0)();
  if (E.isLeft(read)) return read;
  const digest = digesting(entry, advance);
  digest.update(bytes);
  const wrong = digest.problems();
  return wrong.length > 0 ? E.left(wrong) : E.right({ lengths: new Map(), bytes: new Map() });
}

/** A store that asks for SHA-256 takes no less: a CRC-32 is no proof against somebody who means to deceive. */
function withoutSha256(files: readonly FileEntry[]): readonly Problem[] {
  return files.filter(({ sha256 }) => sha256 === undefined).map(({ name }): Problem => ({
    path: name,
    kind: "digest",
    expected: 'a SHA-256 digest, for the store was made with { digest: "sha256" }',
    found: "CRC-32 alone; to load what was saved without one, make the store without that option",
  }));
}

/** The memory of this machine, or what this process may use of it. */
function memoryBytes(): number {
  const { constrainedMemory } = process as { readonly constrainedMemory?: () => number };
  const most = constrainedMemory?.call(process) ?? 0;
  return most > 0 ? Math.min(most, totalmem()) : totalmem();
}

/** That there is no room in this machine's memory for so many bytes of tensors; nothing if there is. */
function roomFailure(location: string, bytes: number): StoreFailed | undefined {
  const room = memoryBytes();
  if (bytes <= room) return undefined;
  return storeFailed(
    "read",
    location,
    "ENOMEM",
    `its tensors take ${bytes} bytes, and this machine has ${room} of memory`,
  );
}

/** Which bytes of a checkpoint are read, and which of them held. */
interface Extent {
  readonly files: (file: FileEntry) => boolean;
  readonly held: (stored: Stored) => boolean;
}

/** Reads files of a checkpoint, every byte of them checked: the bytes of the tensors that were to be held. */
function readFiles(
  store: Store,
  checkpoint: number,
  manifest: Manifest,
  { files, held }: Extent,
  onProgress: (progress: Progress) => void,
): TaskEither<ReadError, (stored: Stored) => Uint8Array | undefined> {
  return async () => {
    const advance = meter(manifest.files.filter(files).reduce((sum, file) => sum + file.bytes, 0), onProgress);
    const problems: Problem[] = store.digest === "sha256" ? [...withoutSha256(manifest.files)] : [];
    if (problems.length > 0) return E.left({ _tag: "Damaged", checkpoint, problems });
    const numbers = manifest.arrays.filter(held).reduce(
      (n, { element, shape }) => n + sizeOf(shape) * elementBytes(element),
      0,
    );
    const full = roomFailure(store.locationOf(checkpoint), numbers);
    if (full !== undefined) return E.left(full);
    const contents: Content[] = [];
    const expected = manifest.files.map(() => new Map<string, Stored>());
    for (const stored of manifest.arrays) expected[stored.file]?.set(stored.tensor, stored);
    for (const [i, entry] of manifest.files.entries()) {
      if (!files(entry)) continue;
      const part = await store.open(checkpoint, entry.name)();
      if (E.isLeft(part)) {
        if (part.left._tag === "StoreFailed" && !notAFile.includes(part.left.code)) return part;
        problems.push({ path: entry.name, kind: "missing", expected: `a file of ${entry.bytes} bytes`, found: "none" });
        continue;
      }
      try {
        const tensors = expected[i] ?? new Map<string, Stored>();
        const content = entry.name === modelIndex && tensors.size === 0
          ? await readIndex(part.right, entry, advance)
          : await readFile(part.right, entry, tensors, held, advance);
        if (E.isRight(content)) contents[i] = content.right;
        else if ("_tag" in content.left) return E.left(content.left);
        else problems.push(...content.left);
      } finally {
        await part.right.close();
      }
    }
    if (problems.length > 0) return E.left({ _tag: "Damaged", checkpoint, problems });
    for (const { element, shape, file, tensor } of manifest.arrays) {
      const content = contents[file];
      if (content === undefined) continue;
      const bytes = content.bytes.get(tensor);
      const length = content.lengths.get(tensor) ?? 0;
      if (bytes === undefined ? length === sizeOf(shape) * elementBytes(element) : fits(element, shape, bytes)) {
        continue;
      }
      const found = `${length} bytes`;
      problems.push({ path: tensor, kind: "length", expected: `${element} [${shape}]`, found });
    }
    if (problems.length > 0) return E.left({ _tag: "Damaged", checkpoint, problems });
    return E.right(({ file, tensor }) => contents[file]?.bytes.get(tensor));
  };
}

/**
 * Reads a checkpoint and checks every byte of it: lengths, digests, headers, and that files and manifest say the same.
 *
 * @param store Where from.
 * @param checkpoint Its number.
 * @param onProgress Told after each piece.
 * @param foresee What is known to be wrong with the state before a byte of its tensors is read.
 * @returns The state, its arrays in memory; or what was foreseen, `Damaged` with every problem found, `NewerFormat`, `NoCheckpoint`, or the
 *   store's failure, which lack of memory is, too.
 */
export function readCheckpoint(
  store: Store,
  checkpoint: number,
  onProgress: (progress: Progress) => void = () => {},
  foresee: (encoded: Encoded) => Mismatch | undefined = () => undefined,
): TaskEither<ReadError | Mismatch, Loaded> {
  return guarded<ReadError | Mismatch, Loaded>("read", store.locationOf(checkpoint), async () => {
    const manifest = await readManifest(store, checkpoint)();
    if (E.isLeft(manifest)) return manifest;
    const differs = foresee(manifest.right.state(unread));
    if (differs !== undefined) return E.left(differs);
    const all = { files: () => true, held: () => true };
    const read = await readFiles(store, checkpoint, manifest.right, all, onProgress)();
    if (E.isLeft(read)) return read;
    const hold = (stored: Stored): Held =>
      heldBytes(stored.element, stored.shape, read.right(stored) ?? new Uint8Array());
    return E.right({ manifest: manifest.right, encoded: manifest.right.state(hold) });
  });
}

/** An array of which no byte is read yet. */
function unread({ element, shape }: Stored): Held {
  return { ...heldBytes(element, shape, new Uint8Array()), identity: {} };
}

/**
 * Checks a checkpoint as {@link readCheckpoint} does, in little memory: whatever loads verifies, and the other way round.
 *
 * @param store Where from.
 * @param checkpoint Its number.
 * @param onProgress Told after each piece.
 * @param files Which of its files to check; every one by default.
 * @returns Its manifest; or as {@link readCheckpoint}.
 */
export function verifyCheckpoint(
  store: Store,
  checkpoint: number,
  onProgress: (progress: Progress) => void = () => {},
  files: (file: FileEntry) => boolean = () => true,
): TaskEither<ReadError, Manifest> {
  return guarded("read", store.locationOf(checkpoint), async () => {
    const manifest = await readManifest(store, checkpoint)();
    if (E.isLeft(manifest)) return manifest;
    // Only the bytes of strings tell how many there are.
    const extent = { files, held: ({ element }: Stored) => element === "string" };
    const read = await readFiles(store, checkpoint, manifest.right, extent, onProgress)();
    return E.isLeft(read) ? read : manifest;
  });
}
