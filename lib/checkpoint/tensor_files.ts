/**
 * Reads the files of a checkpoint and checks every byte: length, digests, header, and that the file holds the tensors that the manifest names.
 *
 * Tensors whose bytes are wanted get buffers that many of them share. The bytes of the others pass through views of at most 8 MiB and are only
 * checked. Loading and verifying both read with {@link readFiles}, so they accept the same checkpoints.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Damaged, Problem, StoreFailed } from "../errors/mod.ts";
import type { FileEntry, Manifest } from "./manifest.ts";
import type { Stored } from "./manifest_tree.ts";
import { modelIndex, specOf } from "./tensor_names.ts";
import { digester, meter, type OpenPart, type Progress, type Store, storeFailed } from "../store/mod.ts";
import { decodeHeader, type Header, headerLength, type TensorEntry } from "./safetensors.ts";
import { elementBytes, fits, sizeOf } from "../state/mod.ts";

// --- types

/** The tensors of a file: the length of each, and the bytes of those that were wanted. */
type FileContent = ReadonlyMap<string, readonly [length: number, bytes: Uint8Array | undefined]>;

/** Which files are read, and which tensors' bytes are returned. */
export interface Extent {
  readonly files: (file: FileEntry) => boolean;
  readonly wanted: (stored: Stored) => boolean;
  /** The most bytes of wanted tensors that the memory can hold. */
  readonly memoryLimit: number;
}

/** Gives the bytes of a tensor, undefined if they were not wanted. */
export type TensorBytes = (stored: Stored) => Uint8Array | undefined;

/** An error of a file: the store's failure, or every problem of the file. */
export type FileError = StoreFailed | readonly Problem[];

/** The bytes of a file, as they are read. */
export interface DigestCheck {
  readonly update: (view: Uint8Array) => void;
  readonly finish: () => E.Either<readonly Problem[], void>;
}

/** An open file that is read. */
interface FileInProgress {
  readonly part: OpenPart;
  readonly entry: FileEntry;
  readonly digest: DigestCheck;
}

/** The tensors of a file that the manifest names. */
type TensorsByName = ReadonlyMap<string, Stored>;

/** A read of a file: the view to fill, and its position in the file. */
type ViewRead = readonly [view: Uint8Array, position: number];

const mebi = 2 ** 20;
const [viewBytes, segmentBytes] = [8 * mebi, 1024 * mebi];
/** Reads in progress, unless the store says otherwise: two threads copy from the page cache faster than one. */
const concurrentReads = 2;

/** Error codes of opening a path that is not a file. */
export const notAFile: readonly string[] = ["ENOENT", "ENOTDIR", "EISDIR", "EINVAL"];

// --- checks

function missing(path: string, expected: string, found: string): Problem {
  return { path, kind: "missing", expected, found };
}

/** The differences between the tensors of a file and those that the manifest names. */
export function tensorProblems(file: string, { tensors }: Header, expected: TensorsByName): readonly Problem[] {
  const found = new Set(tensors.map(({ name }) => name));
  const absent = [...expected.keys()].filter((name) => !found.has(name))
    .map((name) => missing(`${file}/${name}`, "a tensor that the manifest names", "none in the file"));
  return absent.concat(tensors.flatMap(({ name, dtype, shape, begin, end }): Problem[] => {
    const stored = expected.get(name);
    const path = `${file}/${name}`;
    if (stored === undefined) {
      return [{ path, kind: "extra", expected: "no tensor that the manifest does not name", found: dtype }];
    }
    const spec = specOf(stored.element, stored.shape, stored.tensor, end - begin);
    const [a, b] = [`${spec.dtype} [${spec.shape}]`, `${dtype} [${shape}]`];
    return a === b ? [] : [{ path, kind: "shape", expected: a, found: b }];
  }));
}

/** Succeeds if there are no problems. */
function noneOf(problems: readonly Problem[]): E.Either<readonly Problem[], void> {
  return problems.length === 0 ? E.right(undefined) : E.left(problems);
}

/** Compares the length of a file with the manifest's. */
export function checkLength(part: OpenPart, { name, bytes }: FileEntry): E.Either<readonly Problem[], void> {
  const found = `${part.bytes}`;
  return noneOf(part.bytes === bytes ? [] : [{ path: name, kind: "length", expected: `${bytes} bytes`, found }]);
}

/** Counts and digests a file's bytes, and compares the digests with the manifest's in the end. */
export function digestCheck({ name: path, crc32, sha256 }: FileEntry, advance: (bytes: number) => void): DigestCheck {
  const digest = digester(sha256 === undefined ? "crc32" : "sha256");
  const differs = (algorithm: string, expected = "", found = ""): Problem[] =>
    expected === found ? [] : [{ path, kind: "digest", expected: `${algorithm} ${expected}`, found }];
  return {
    update: (view) => {
      digest.update(view);
      advance(view.byteLength);
    },
    finish: () => {
      const found = digest.result();
      return noneOf([...differs("CRC-32", crc32, found.crc32), ...differs("SHA-256", sha256, found.sha256)]);
    },
  };
}

/** A store that asks for SHA-256 accepts no CRC-32 alone, which is no proof against a deliberate change. */
function missingSha256(store: Store, files: readonly FileEntry[]): readonly Problem[] {
  if (store.digest !== "sha256") return [];
  const expected = 'a SHA-256 digest, for the store was made with { digest: "sha256" }';
  const found = "CRC-32 alone; to load what was saved without one, make the store without that option";
  return files.flatMap(({ name, sha256 }) =>
    sha256 === undefined ? { path: name, kind: "digest", expected, found } : []
  );
}

/** A failure if the memory cannot hold so many bytes of tensors. */
function checkMemory(location: string, bytes: number, limit: number): E.Either<StoreFailed, void> {
  if (bytes <= limit) return E.right(undefined);
  const message = `its tensors take ${bytes} bytes, and this machine has ${limit} of memory`;
  return E.left(storeFailed("read", location, "ENOMEM", message));
}

function bytesOf({ element, shape }: Stored): number {
  return sizeOf(shape) * elementBytes(element);
}

/** Problems of tensors whose bytes cannot be an array of the manifest's element and shape. */
function arrayProblems(arrays: readonly Stored[], contents: readonly (FileContent | undefined)[]): readonly Problem[] {
  return arrays.flatMap((stored): Problem[] => {
    const { element, shape, file, tensor } = stored;
    const content = contents[file];
    if (content === undefined) return [];
    const [length, bytes] = content.get(tensor) ?? [0, undefined];
    if (bytes === undefined ? length === bytesOf(stored) : fits(element, shape, bytes)) return [];
    return [{ path: tensor, kind: "length", expected: `${element} [${shape}]`, found: `${length} bytes` }];
  });
}

// --- restore

/**
 * Reads the header of an open file.
 *
 * @param part The open file.
 * @param entry The file in the manifest.
 * @param check Receives the header's bytes.
 * @returns The header; the store's failure; or every problem of the header.
 */
export async function readHeader(
  part: OpenPart,
  entry: FileEntry,
  check: (view: Uint8Array) => void = () => {},
): Promise<E.Either<FileError, Header>> {
  const inFile = E.mapLeft((problems: readonly Problem[]) =>
    problems.map((p) => ({ ...p, path: `${entry.name}/${p.path}` }))
  );
  return await pipe(
    TE.fromEither<FileError, void>(checkLength(part, entry)),
    TE.flatMap(() => readStart(part, Math.min(8, entry.bytes))),
    TE.flatMapEither((start) => inFile(headerLength(start, entry.bytes))),
    TE.flatMap((length) => readStart(part, length)),
    TE.tapIO((bytes) => () => check(bytes)),
    TE.flatMapEither((bytes) => inFile(decodeHeader(bytes, entry.bytes))),
  )();
}

/** The first bytes of a file. */
function readStart(part: OpenPart, length: number): TE.TaskEither<FileError, Uint8Array> {
  const bytes = new Uint8Array(length);
  return pipe(part.read(bytes, 0), TE.map(() => bytes));
}

/** Groups neighbouring tensors that share a buffer; the tensors of a group are all wanted or all not. */
function segmentsOf(
  tensors: readonly TensorEntry[],
  isWanted: (tensor: TensorEntry) => boolean,
): readonly (readonly TensorEntry[])[] {
  const segments: TensorEntry[][] = [];
  for (const tensor of tensors) {
    const last = segments.at(-1);
    const [first] = last ?? [];
    if (first !== undefined && tensor.end - first.begin <= segmentBytes && isWanted(first) === isWanted(tensor)) {
      last?.push(tensor);
    } else segments.push([tensor]);
  }
  return segments;
}

/**
 * The reads of a file's data, in its order.
 *
 * @param part The open file.
 * @param bytes Receives the bytes of each wanted tensor, which the reads fill.
 */
function* viewReads(
  { tensors, dataStart, bytes: fileBytes }: Header,
  isWanted: (tensor: TensorEntry) => boolean,
  { concurrency = concurrentReads, readBytes = viewBytes }: OpenPart,
  bytes: Map<string, Uint8Array>,
): Generator<ViewRead> {
  // One more than the reads in progress: a view is checked while the others are filled.
  const longest = Math.min(viewBytes, fileBytes);
  const scratch = tensors.every(isWanted) ? [] : Array.from({ length: concurrency + 1 }, () => new Uint8Array(longest));
  let turn = 0;
  for (const segment of segmentsOf(tensors, isWanted)) {
    const [first] = segment;
    if (first === undefined) continue;
    const [from, to] = [first.begin, segment.at(-1)?.end ?? first.end];
    const buffer = isWanted(first) ? new Uint8Array(to - from) : undefined;
    const most = buffer === undefined ? viewBytes : readBytes;
    for (let at = 0; at < to - from; at += most) {
      const into = buffer?.subarray(at) ?? scratch[turn++ % scratch.length]!;
      yield [into.subarray(0, Math.min(most, to - from - at)), dataStart + from + at];
    }
    if (buffer === undefined) continue;
    for (const { name, begin, end } of segment) bytes.set(name, buffer.subarray(begin - from, end - from));
  }
}

/** Makes reads, a few in progress at a time, and checks each view in their order. */
async function readInOrder(
  part: OpenPart,
  reads: Iterable<ViewRead>,
  concurrency: number,
  check: (view: Uint8Array) => void,
): Promise<E.Either<StoreFailed, void>> {
  const inProgress: Promise<E.Either<StoreFailed, Uint8Array>>[] = [];
  const finish = async (most: number): Promise<E.Either<StoreFailed, void>> => {
    while (inProgress.length > most) {
      const view = await inProgress.shift()!;
      if (E.isLeft(view)) return view;
      check(view.right);
    }
    return E.right(undefined);
  };
  try {
    for (const [view, position] of reads) {
      inProgress.push(pipe(part.read(view, position), TE.map(() => view))());
      const finished = await finish(concurrency);
      if (E.isLeft(finished)) return finished;
    }
    return await finish(0);
  } finally {
    // The caller closes the file.
    await Promise.all(inProgress);
  }
}

/** Reads a file of tensors. */
function readTensorFile(
  { part, entry, digest }: FileInProgress,
  expected: TensorsByName,
  { wanted, memoryLimit }: Extent,
): TE.TaskEither<FileError, FileContent> {
  const isWanted = ({ name }: TensorEntry): boolean => {
    const stored = expected.get(name);
    return stored !== undefined && wanted(stored);
  };
  const { concurrency = concurrentReads } = part;
  const bytes = new Map<string, Uint8Array>();
  return pipe(
    () => readHeader(part, entry, digest.update),
    TE.tap((header) => TE.fromEither(noneOf(tensorProblems(entry.name, header, expected)))),
    TE.tap(({ tensors }): TE.TaskEither<FileError, void> => {
      const wantedBytes = tensors.filter(isWanted).reduce((sum, { begin, end }) => sum + end - begin, 0);
      return TE.fromEither(checkMemory(entry.name, wantedBytes, memoryLimit));
    }),
    TE.tap((header) => () => {
      const reads = viewReads(header, isWanted, part, bytes);
      return readInOrder(part, reads, concurrency, digest.update);
    }),
    TE.tap(() => TE.fromEither(digest.finish())),
    TE.map(({ tensors }) => new Map(tensors.map(({ name, begin, end }) => [name, [end - begin, bytes.get(name)]]))),
  );
}

/** Reads the index of the model's files. Other tools use it; it holds no tensor. */
function readIndexFile({ part, entry, digest }: FileInProgress): TE.TaskEither<FileError, FileContent> {
  return pipe(
    TE.fromEither<FileError, void>(checkLength(part, entry)),
    TE.flatMap(() => readStart(part, entry.bytes)),
    TE.tapIO((bytes) => () => digest.update(bytes)),
    TE.flatMapEither(digest.finish),
    TE.map(() => new Map()),
  );
}

/** Opens a file of a checkpoint. One that does not exist is a problem. */
export function openFile(store: Store, checkpoint: number, entry: FileEntry): TE.TaskEither<FileError, OpenPart> {
  return pipe(
    store.open(checkpoint, entry.name),
    TE.mapLeft((error): FileError =>
      error._tag === "StoreFailed" && !notAFile.includes(error.code)
        ? error
        : [missing(entry.name, `a file of ${entry.bytes} bytes`, "none")]
    ),
  );
}

/** A store whose parts are opened without a look at them finds only at a read that one is missing or short. */
function damageOf(error: FileError, { name, bytes }: FileEntry): FileError {
  if (!("_tag" in error)) return error;
  const expected = `a file of ${bytes} bytes`;
  if (error.code === "ENOENT") return [missing(name, expected, "none")];
  return error.code === "ETRUNC" ? [{ path: name, kind: "length", expected, found: "a shorter one" }] : error;
}

/** Opens a file of a checkpoint and reads it. */
async function readFile(
  store: Store,
  checkpoint: number,
  entry: FileEntry,
  tensors: TensorsByName,
  extent: Extent,
  advance: (bytes: number) => void,
): Promise<E.Either<FileError, FileContent>> {
  const opened = await openFile(store, checkpoint, entry)();
  if (E.isLeft(opened)) return opened;
  const part = opened.right;
  const file = { part, entry, digest: digestCheck(entry, advance) };
  const isIndex = entry.name === modelIndex && tensors.size === 0;
  try {
    const read = isIndex ? readIndexFile(file) : readTensorFile(file, tensors, extent);
    return await pipe(read, TE.mapLeft((error) => damageOf(error, entry)))();
  } finally {
    await part.close();
  }
}

/**
 * Reads files of a checkpoint and checks every byte of them.
 *
 * @param store The store.
 * @param checkpoint The number of the checkpoint.
 * @param manifest Its manifest.
 * @param extent Which files, and which tensors' bytes.
 * @param onProgress Receives the progress after each piece.
 * @returns The bytes of the wanted tensors; `Damaged` with every problem; or the store's failure, also for lack of memory.
 */
export function readFiles(
  store: Store,
  checkpoint: number,
  manifest: Manifest,
  extent: Extent,
  onProgress: (progress: Progress) => void,
): TE.TaskEither<StoreFailed | Damaged, TensorBytes> {
  const wantedBytes = manifest.arrays.filter(extent.wanted).reduce((sum, stored) => sum + bytesOf(stored), 0);
  return pipe(
    TE.fromEither<FileError, void>(noneOf(missingSha256(store, manifest.files))),
    TE.flatMapEither(() => checkMemory(store.locationOf(checkpoint), wantedBytes, extent.memoryLimit)),
    TE.flatMap(() => () => readEach(store, checkpoint, manifest, extent, onProgress)),
    TE.tap((contents) => TE.fromEither(noneOf(arrayProblems(manifest.arrays, contents)))),
    TE.map((contents): TensorBytes => ({ file, tensor }) => contents[file]?.get(tensor)?.[1]),
    TE.mapLeft((error) => "_tag" in error ? error : { _tag: "Damaged", checkpoint, problems: error }),
  );
}

/** Reads each file; the content of a file that is not read is undefined. */
async function readEach(
  store: Store,
  checkpoint: number,
  { files, arrays }: Manifest,
  extent: Extent,
  onProgress: (progress: Progress) => void,
): Promise<E.Either<FileError, readonly (FileContent | undefined)[]>> {
  const advance = meter(files.filter(extent.files).reduce((sum, { bytes }) => sum + bytes, 0), onProgress);
  const expected = files.map(() => new Map<string, Stored>());
  for (const stored of arrays) expected[stored.file]?.set(stored.tensor, stored);
  const contents: FileContent[] = [];
  const problems: Problem[] = [];
  for (const [i, entry] of files.entries()) {
    if (!extent.files(entry)) continue;
    const content = await readFile(store, checkpoint, entry, expected[i] ?? new Map(), extent, advance);
    if (E.isRight(content)) contents[i] = content.right;
    else if ("_tag" in content.left) return content;
    else problems.push(...content.left);
  }
  return pipe(noneOf(problems), E.map(() => contents));
}
