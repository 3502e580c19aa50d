/**
 * Encodes and decodes the header of a safetensors file: which tensors the file holds, and where.
 *
 * A file is eight bytes of header length (little-endian), that many bytes of JSON, and the tensors' data without gaps. The encoder writes the
 * bytes of the reference implementation (https://github.com/huggingface/safetensors). The decoder accepts nothing that the reference rejects.
 * It also rejects duplicate names, numbers that a JavaScript number cannot hold, and two spellings that only the reference's JSON library knows:
 * a tensor as an array, and a dtype as an object.
 *
 * The JSON is scanned and written by hand: an object with tensor names as keys would reorder `0`, lose `__proto__` and hide duplicates.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import type { Problem, ProblemKind } from "../errors/mod.ts";
import * as json from "./json_scanner.ts";
import type { JsonScan, Scanned } from "./json_scanner.ts";

// --- types

/** The dtypes by the bits of one element. The reference writer sorts by this order: the last dtype comes first in a file. */
const dtypesByBits = [
  [8, ["BOOL"]],
  [4, ["F4"]],
  [6, ["F6_E2M3", "F6_E3M2"]],
  [8, ["U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"]],
  [16, ["I16", "U16", "F16", "BF16"]],
  [32, ["I32", "U32", "F32"]],
  [64, ["C64", "F64", "I64", "U64"]],
] as const;

/** The element types of the format. */
export type Dtype = (typeof dtypesByBits)[number][1][number];

/** A tensor to write. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** A tensor and its bytes: from `begin` to before `end` in the data, which starts at {@link Header.dataStart}. */
export interface TensorEntry extends TensorSpec {
  readonly begin: number;
  readonly end: number;
}

/** A decoded header. */
export interface Header {
  /** The strings of `__metadata__` in the order of the file; null if the file has none. */
  readonly metadata: readonly (readonly [string, string])[] | null;
  /** The tensors in the order of their data. */
  readonly tensors: readonly TensorEntry[];
  /** The offset of the data in the file, in bytes. */
  readonly dataStart: number;
  /** The length of the whole file, in bytes. */
  readonly bytes: number;
}

/** An encoded header. */
export interface EncodedHeader {
  /** The bytes of the file before the data. */
  readonly bytes: Uint8Array;
  /** The header that they decode to. */
  readonly header: Header;
  /** The order of the tensors in the file: indices into the given tensors. */
  readonly order: readonly number[];
}

const dtypes = dtypesByBits.flatMap(([bits, names]) => names.map((dtype) => [dtype, bits] as const));
const bitsOf: ReadonlyMap<string, number> = new Map(dtypes);
const rankOf: ReadonlyMap<string, number> = new Map(dtypes.map(([dtype], rank) => [dtype, rank]));

/** The bytes of the header's length; the header is padded to a multiple of them. */
const lengthBytes = 8;
/** The longest header that the reference accepts, in bytes. */
const longestHeader = 100_000_000;
const metadataKey = "__metadata__";

function isDtype(name: string): name is Dtype {
  return bitsOf.has(name);
}

/** The bytes of a tensor; the left is what is wrong with its size. */
function tensorBytes({ dtype, shape }: TensorSpec): E.Either<string, number> {
  let bits = 1;
  // The reference multiplies in this order, the dtype last: a zero prevents only an overflow after it.
  for (const factor of [...shape, bitsOf.get(dtype) ?? 0]) {
    bits *= factor;
    if (!Number.isSafeInteger(bits)) return E.left("more than 2^53 - 1 bits");
  }
  return bits % 8 === 0 ? E.right(bits / 8) : E.left(`${bits} bits, which are not whole bytes`);
}

// --- constructors

/** Compares by UTF-8 bytes, that is by code points. In UTF-16, surrogates would sort below U+E000 to U+FFFF. */
function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return surrogatesLast(x) - surrogatesLast(y);
  }
  return a.length - b.length;
}

function surrogatesLast(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** The order of tensors in a file, as indices into them. */
function fileOrder(specs: readonly TensorSpec[]): readonly number[] {
  // UTF-8 and UTF-16 order most characters alike.
  const alike = specs.every(({ name }) => !/[\ud800-\uffff]/.test(name));
  const byName = alike ? (a: string, b: string): number => a < b ? -1 : 1 : compareUtf8;
  const compare = (a: TensorSpec, b: TensorSpec): number =>
    a.dtype === b.dtype ? byName(a.name, b.name) : (rankOf.get(b.dtype) ?? 0) - (rankOf.get(a.dtype) ?? 0);
  return Array.from(specs.keys()).sort((i, j) => compare(specs[i]!, specs[j]!));
}

/** The JSON of a string. `JSON.stringify` escapes what the reference writer escapes. */
function quote(text: string, what: string): string {
  if (!text.isWellFormed()) {
    throw new TypeError(
      `Expected ${what} of whole characters, found a lone surrogate in ${JSON.stringify(text)}: remove it`,
    );
  }
  return JSON.stringify(text);
}

function checkUnique(names: readonly string[], what: string): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) {
      throw new TypeError(`Expected every ${what} once, found ${JSON.stringify(name)} twice: rename one`);
    }
    seen.add(name);
  }
}

function checkedSize(spec: TensorSpec): number {
  const where = `tensor ${JSON.stringify(spec.name)}`;
  if (spec.name === metadataKey) {
    throw new TypeError(`Expected a tensor name, found ${metadataKey}, which the format reserves: rename it`);
  }
  if (!isDtype(spec.dtype)) {
    throw new TypeError(`Expected a safetensors dtype for ${where}, found ${String(spec.dtype)}: convert it`);
  }
  if (!spec.shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    const found = `shape [${spec.shape.join(", ")}]`;
    throw new TypeError(`Expected whole sizes from 0 for ${where}, found ${found}: correct them`);
  }
  const size = tensorBytes(spec);
  if (E.isLeft(size)) {
    throw new TypeError(`Expected whole bytes below 2^50 for ${where}, found ${size.left}: reshape or split it`);
  }
  return size.right;
}

/**
 * Encodes the header of a file of these tensors, and assigns the offsets of their data.
 *
 * The bytes are those of the reference writer: tensors by dtype, widest first, then by name in UTF-8 bytes; no gaps; compact JSON, padded with
 * spaces to a multiple of eight. The reference writes its metadata in random order; here the keys are sorted, so that equal states have equal
 * bytes.
 *
 * @param tensors The tensors, in any order. A duplicate name, a name with a lone surrogate, or a size that is not a whole number from 0 is a
 *   `TypeError`.
 * @param metadata Pairs of strings for `__metadata__`, in any order. Without any, the entry is omitted.
 * @returns The header. One above 100,000,000 bytes, which no reader accepts, is a `TypeError`.
 */
export function encodeHeader(
  tensors: readonly TensorSpec[],
  metadata: readonly (readonly [string, string])[],
): EncodedHeader {
  checkUnique(tensors.map(({ name }) => name), "tensor name");
  checkUnique(metadata.map(([key]) => key), "metadata key");
  let end = 0;
  const order = fileOrder(tensors);
  const entries = order.map((i) => {
    const { name, dtype, shape } = tensors[i]!;
    const begin = end;
    end += checkedSize({ name, dtype, shape });
    return { name, dtype, shape, begin, end };
  });
  const pairs = metadata.toSorted(([a], [b]) => compareUtf8(a, b));
  const members = entries.map(({ name, dtype, shape, begin, end }) =>
    `${quote(name, "a tensor name")}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`
  );
  if (pairs.length > 0) {
    const texts = pairs.map(([key, value]) => `${quote(key, "a metadata key")}:${quote(value, "a metadata value")}`);
    members.unshift(`"${metadataKey}":{${texts.join(",")}}`);
  }
  const text = new TextEncoder().encode(`{${members.join(",")}}`);
  const length = Math.ceil(text.length / lengthBytes) * lengthBytes;
  if (length > longestHeader) {
    throw new TypeError(
      `Expected a header of at most ${longestHeader} bytes, found ${length}: split the tensors over more files`,
    );
  }
  const bytes = new Uint8Array(lengthBytes + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, lengthBytes);
  const written = pairs.length > 0 ? pairs : null;
  const header = { metadata: written, tensors: entries, dataStart: bytes.length, bytes: bytes.length + end };
  return { bytes, order, header };
}

// --- restore

/** The one problem of a file whose first bytes are wrong. */
function wrongStart(expected: string, found: string): E.Either<readonly Problem[], never> {
  return E.left([{ path: "byte 0", kind: "length", expected, found }]);
}

function scanSizes(scan: JsonScan): number[] | undefined {
  const sizes: number[] = [];
  const read = json.scanItems(scan, 3, () => {
    const size = json.scanWhole(scan);
    if (size !== undefined) sizes.push(size);
    return size !== undefined;
  });
  return read ? sizes : undefined;
}

/** Reads the description of one tensor. If it is well-formed but wrong, that is a problem, and the scan continues. */
function scanTensor(scan: JsonScan, name: string, tensors: TensorEntry[]): Scanned {
  let dtype: string | undefined;
  let shape: readonly number[] | undefined;
  let offsets: readonly number[] | undefined;
  const add = (kind: ProblemKind, expected: string, found: string): void =>
    void scan.problems.push({ path: name, kind, expected, found });
  const read = json.scanMembers(scan, 2, (field) => {
    switch (field) {
      case "dtype":
        return (dtype = json.scanString(scan)) !== undefined;
      case "shape":
        return (shape = scanSizes(scan)) !== undefined;
      case "data_offsets":
        return (offsets = scanSizes(scan)) !== undefined;
      default:
        return json.skipValue(scan, 3);
    }
  });
  if (!read) return false;
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    const fields = Object.entries({ dtype, shape, data_offsets: offsets });
    const missing = fields.flatMap(([field, value]) => value === undefined ? `no ${field}` : []);
    add("missing", "dtype, shape and data_offsets", missing.join(", "));
    return true;
  }
  const [begin, end, ...more] = offsets;
  if (!isDtype(dtype)) add("dtype", "a dtype of safetensors", JSON.stringify(dtype));
  else if (begin === undefined || end === undefined || more.length > 0) {
    add("format", "two data_offsets", `${offsets.length}`);
  } else tensors.push({ name, dtype, shape, begin, end });
  return true;
}

function scanMetadata(scan: JsonScan, pairs: (readonly [string, string])[]): Scanned {
  return json.scanMembers(scan, 2, (key) => {
    const value = json.scanString(scan);
    if (value !== undefined) pairs.push([key, value]);
    return value !== undefined;
  });
}

/** Problems of sizes and offsets: the tensors must cover the data from the first byte to the last, without gap or overlap. */
function offsetProblems(tensors: readonly TensorEntry[], dataBytes: number): readonly Problem[] {
  const problems: Problem[] = [];
  let covered = 0;
  const add = (path: string, kind: ProblemKind, expected: string, found: string): void =>
    void problems.push({ path, kind, expected, found });
  for (const tensor of tensors) {
    const { name, shape, begin, end } = tensor;
    if (begin !== covered) add(name, "format", `data from byte ${covered}`, `data from byte ${begin}`);
    const size = tensorBytes(tensor);
    if (E.isLeft(size)) add(name, "shape", "whole bytes below 2^50", size.left);
    else if (end - begin !== size.right) {
      add(name, "length", `${size.right} bytes for [${shape.join(", ")}]`, `data_offsets [${begin}, ${end}]`);
    }
    covered = end;
  }
  if (covered !== dataBytes) add("", "length", `${covered} bytes of data`, `${dataBytes} bytes of data`);
  return problems;
}

/**
 * The bytes at the start of a file that hold its header, so that a reader can fetch just these.
 *
 * @param start The first eight bytes of the file, or more; fewer only if the file has no more.
 * @param fileBytes The length of the whole file.
 * @returns The length to fetch, the eight bytes included; the data starts there. The left is why these bytes begin no safetensors file: too
 *   short, or a header above 100,000,000 bytes or longer than the file.
 */
export function headerLength(start: Uint8Array, fileBytes: number): E.Either<readonly Problem[], number> {
  if (start.length < Math.min(lengthBytes, fileBytes)) {
    throw new TypeError(`Expected the first ${lengthBytes} bytes of the file, found ${start.length}: read that many`);
  }
  if (fileBytes < lengthBytes) return wrongStart("8 bytes of header length", `a file of ${fileBytes}`);
  const length = new DataView(start.buffer, start.byteOffset, lengthBytes).getBigUint64(0, true);
  if (length > longestHeader) return wrongStart(`a header of at most ${longestHeader} bytes`, `${length} bytes`);
  const dataStart = lengthBytes + Number(length);
  return dataStart <= fileBytes
    ? E.right(dataStart)
    : wrongStart(`a file of at least ${dataStart} bytes`, `${fileBytes} bytes`);
}

/**
 * Decodes the header of a file.
 *
 * Time and memory are bounded by the length of the prefix. No name in it becomes a property name.
 *
 * @param prefix The start of the file, at least as long as {@link headerLength} says.
 * @param fileBytes The length of the whole file: the tensors must cover it to the last byte.
 * @returns The header. The left is every problem, its path a tensor's name or `byte <offset>`. Malformed JSON ends the search at its first fault.
 */
export function decodeHeader(prefix: Uint8Array, fileBytes: number): E.Either<readonly Problem[], Header> {
  const length = headerLength(prefix, fileBytes);
  if (E.isLeft(length)) return length;
  const dataStart = length.right;
  if (prefix.length < dataStart) {
    throw new TypeError(
      `Expected the first ${dataStart} bytes of the file, found ${prefix.length}: read what headerLength says`,
    );
  }
  const text = E.tryCatch(
    () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(prefix.subarray(lengthBytes, dataStart)),
    (): readonly Problem[] => [
      { path: `byte ${lengthBytes}`, kind: "format", expected: "a header in UTF-8", found: "bytes that are not" },
    ],
  );
  if (E.isLeft(text)) return text;
  const scan: JsonScan = { text: text.right, origin: lengthBytes, at: 0, problems: [] };
  const tensors: TensorEntry[] = [];
  let metadata: (readonly [string, string])[] | null = null;
  json.skipSpace(scan);
  const read = json.scanMembers(scan, 1, (name) => {
    if (name !== metadataKey) return scanTensor(scan, name, tensors);
    return json.accept(scan, "null") || scanMetadata(scan, metadata = []);
  });
  json.skipSpace(scan);
  if (read && scan.at < scan.text.length) json.endWithProblem(scan, "the end of the header");
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const problems = scan.problems.length > 0 ? scan.problems : offsetProblems(tensors, fileBytes - dataStart);
  return problems.length > 0 ? E.left(problems) : E.right({ metadata, tensors, dataStart, bytes: fileBytes });
}
