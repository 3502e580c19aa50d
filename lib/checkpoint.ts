/**
 * One checkpoint read from any store, every byte of it checked: it takes one buffer a file, in which the tensors stay.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { Encoded } from "./encode.ts";
import type { Damaged, NewerFormat, NoCheckpoint, Problem, StoreFailed } from "./errors.ts";
import type { ManifestError } from "./formats.ts";
import { modelIndex, specOf } from "./layout.ts";
import {
  decodeManifest,
  decodeSummary,
  type FileEntry,
  format,
  type Manifest,
  type Stored,
  type Summary,
} from "./manifest.ts";
import { decodeHeader, type Header, headerLength, type TensorEntry } from "./safetensors.ts";
import { digester, type Part, type Store } from "./store.ts";
import { fits, type Held, heldBytes } from "./tensor.ts";

// --- types

/** How far a save or load has come, in bytes. */
export interface Progress {
  readonly bytes: number;
  readonly total: number;
}

/** A checkpoint that was read, every byte of it checked. */
export interface Loaded {
  readonly manifest: Manifest;
  readonly encoded: Encoded;
}

/** Why one checkpoint could not be read. */
export type ReadError = StoreFailed | NoCheckpoint | NewerFormat | Damaged;

const mebi = 2 ** 20;
const [viewBytes, segmentBytes] = [8 * mebi, 1024 * mebi];

/** Codes that say: what should be a file is none. */
const notAFile: readonly string[] = ["ENOENT", "ENOTDIR", "EISDIR", "EINVAL"];

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
  return async () => {
    const bytes = await store.manifest(checkpoint)();
    if (E.isLeft(bytes) && bytes.left._tag === "StoreFailed" && notAFile.includes(bytes.left.code)) {
      const problem: Problem = { path: "snapshot.json", kind: "missing", expected: "the manifest", found: "none" };
      return E.left({ _tag: "Damaged", checkpoint, problems: [problem] });
    }
    if (E.isLeft(bytes)) return bytes;
    const manifest = decode(bytes.right);
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
