/**
 * Reads TensorBoard's event files, written from the description of the format alone: it shares no code with `lib/logs`.
 *
 * A record is a length (64 bits), the masked CRC-32C of those 8 bytes, the data, and the masked CRC-32C of the data. The data is the message
 * `Event`: wall_time = 1 (double), step = 2 (int64), file_version = 3 (string), summary = 5 (message), session_log = 7 (message). `Summary` has
 * value = 1 (messages): tag = 1, simple_value = 2 (float), histo = 5: min, max, num, sum, sum_squares = 1 to 5 (doubles), bucket_limit = 6 and
 * bucket = 7 (packed doubles). `SessionLog` has status = 1, where 1 is START.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

// --- types

/** A histogram as the file has it. */
export interface ReadHistogram {
  readonly min: number;
  readonly max: number;
  readonly num: number;
  readonly sum: number;
  readonly sumSquares: number;
  readonly limits: readonly number[];
  readonly counts: readonly number[];
}

/** An event as the file has it. */
export interface ReadEvent {
  readonly time: number;
  readonly step: bigint;
  readonly version?: string;
  readonly start?: true;
  readonly values: readonly (readonly [tag: string, value: number | ReadHistogram])[];
}

/** A field of a message: varints and fixed numbers as bits, the rest as bytes. */
interface Field {
  readonly number: number;
  readonly type: number;
  readonly bits: bigint;
  readonly bytes: Uint8Array;
}

/** The points of each tag. */
export type Curves = ReadonlyMap<string, readonly (readonly [step: number, value: number | ReadHistogram])[]>;

// --- bits

/** CRC-32C (Castagnoli), bit by bit. */
export function crc32cBitwise(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function maskedBitwise(bytes: Uint8Array): number {
  const crc = crc32cBitwise(bytes);
  const rotated = (BigInt(crc) >> 15n) | (BigInt(crc) << 17n & 0xffffffffn);
  return Number((rotated + 0xa282ead8n) % (1n << 32n));
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((bits, byte) => bits << 8n | BigInt(byte), 0n);
}

function asDouble(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

function asFloat(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, Number(bits));
  return view.getFloat32(0);
}

// --- messages

function fail(what: string): never {
  throw new Error(`Not an event file: ${what}`);
}

function take(bytes: Uint8Array, from: number, length: number): Uint8Array {
  if (from + length > bytes.length) fail("a field is longer than its message");
  return bytes.subarray(from, from + length);
}

function fieldsOf(message: Uint8Array): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let bits = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = message[at++] ?? fail("a varint has no end");
      if (shift > 63n) fail("a varint is longer than 10 bytes");
      bits |= BigInt(byte & 127) << shift;
      if (byte < 128) return bits;
    }
  };
  while (at < message.length) {
    const key = Number(varint());
    const [number, type] = [key >> 3, key & 7];
    if (type === 0) fields.push({ number, type, bits: varint(), bytes: new Uint8Array() });
    else if (type === 1 || type === 2 || type === 5) {
      const length = type === 2 ? Number(varint()) : type === 1 ? 8 : 4;
      const bytes = take(message, at, length);
      at += length;
      fields.push({ number, type, bits: type === 2 ? 0n : littleEndian(bytes), bytes });
    } else fail(`a field of type ${type}`);
  }
  return fields;
}

/** The field of a number, which must be of a type; undefined if there is none. */
function only(fields: readonly Field[], number: number, type: number): Field | undefined {
  const found = fields.filter((field) => field.number === number);
  if (found.length > 1) fail(`field ${number} is there ${found.length} times`);
  if (found[0] !== undefined && found[0].type !== type) fail(`field ${number} has type ${found[0].type}`);
  return found[0];
}

const text = (bytes: Uint8Array): string => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

function doubles(bytes: Uint8Array): readonly number[] {
  if (bytes.length % 8 !== 0) fail("doubles that are cut");
  return Array.from({ length: bytes.length / 8 }, (_, i) => asDouble(littleEndian(bytes.subarray(8 * i, 8 * i + 8))));
}

function histogramIn(bytes: Uint8Array): ReadHistogram {
  const fields = fieldsOf(bytes);
  const double = (number: number): number => asDouble(only(fields, number, 1)?.bits ?? 0n);
  const [min, max, num, sum, sumSquares] = [1, 2, 3, 4, 5].map(double) as [number, number, number, number, number];
  const list = (number: number): readonly number[] => doubles(only(fields, number, 2)?.bytes ?? new Uint8Array());
  return { min, max, num, sum, sumSquares, limits: list(6), counts: list(7) };
}

function valueIn(bytes: Uint8Array): readonly [string, number | ReadHistogram] {
  const fields = fieldsOf(bytes);
  const tag = text(only(fields, 1, 2)?.bytes ?? fail("a value without a tag"));
  const scalar = only(fields, 2, 5);
  const histogram = only(fields, 5, 2);
  if ((scalar === undefined) === (histogram === undefined)) fail("a value that is not one of scalar and histogram");
  return [tag, scalar === undefined ? histogramIn(histogram!.bytes) : asFloat(scalar.bits)];
}

function eventIn(data: Uint8Array): ReadEvent {
  const fields = fieldsOf(data);
  const version = only(fields, 3, 2);
  const summary = only(fields, 5, 2);
  const session = only(fields, 7, 2);
  const isStart = session !== undefined && only(fieldsOf(session.bytes), 1, 0)?.bits === 1n;
  return {
    time: asDouble(only(fields, 1, 1)?.bits ?? fail("an event without a time")),
    step: BigInt.asIntN(64, only(fields, 2, 0)?.bits ?? 0n),
    ...(version === undefined ? {} : { version: text(version.bytes) }),
    ...(isStart ? { start: true } : {}),
    values: summary === undefined ? [] : fieldsOf(summary.bytes).map(({ bytes }) => valueIn(bytes)),
  };
}

// --- files

/**
 * The events of a file. An exception says what is wrong with it.
 *
 * @param file Its bytes.
 * @param torn Whether the last record may be cut, as a killed process leaves it.
 */
export function readEvents(file: Uint8Array, torn = false): readonly ReadEvent[] {
  const events: ReadEvent[] = [];
  for (let at = 0; at < file.length;) {
    const head = file.subarray(at, at + 12);
    const isCut = (length: number): boolean => at + length > file.length && (torn || fail("the last record is cut"));
    if (isCut(12)) break;
    if (Number(littleEndian(head.subarray(8))) !== maskedBitwise(head.subarray(0, 8))) fail("checksum of a length");
    const length = Number(littleEndian(head.subarray(0, 8)));
    if (isCut(length + 16)) break;
    const data = file.subarray(at + 12, at + 12 + length);
    const sum = Number(littleEndian(file.subarray(at + 12 + length, at + 16 + length)));
    if (sum !== maskedBitwise(data)) fail("checksum of data");
    events.push(eventIn(data));
    at += length + 16;
  }
  if (events.length > 0 && events[0]!.version !== "brain.Event:2") fail("the first event has no version");
  return events;
}

/** The event files directly in a folder, in the order in which TensorBoard reads them. */
export function eventFilesIn(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => name.includes("tfevents")).sort().map((name) => join(folder, name));
}

/**
 * The curves that TensorBoard shows of a folder: it reads the files in the order of their names, and at a START it drops the points before it
 * whose step is that of the START or above.
 */
export function curvesIn(folder: string): Curves {
  const curves = new Map<string, (readonly [number, number | ReadHistogram])[]>();
  for (const path of eventFilesIn(folder)) {
    for (const { step, start, values } of readEvents(readFileSync(path), true)) {
      if (start === true) {
        for (const [tag, points] of curves) curves.set(tag, points.filter(([at]) => BigInt(at) < step));
      }
      for (const [tag, value] of values) curves.set(tag, [...curves.get(tag) ?? [], [Number(step), value]]);
    }
  }
  return new Map([...curves].filter(([, points]) => points.length > 0));
}
