/**
 * TensorBoard's event files: names and records. All functions are pure.
 *
 * A file is a sequence of records: the length of the data as 64 bits, its checksum, the data, and the checksum of the data, all little-endian. The
 * data is an `Event` of protocol buffers. Sources: `record_writer.cc` (records), `crc32c.h` (the mask of checksums), `event.proto` and
 * `summary.proto` of TensorFlow.
 *
 * @module
 */
import { crc32c } from "@aws-crypto/crc32c";
import * as E from "fp-ts/lib/Either.js";
import { PbfReader, PbfWriter } from "pbf";
import type { Histogram } from "./histogram.ts";

// --- types

/** What an event says: the first of a file its version, `start` that a process continues at its step, `values` what was measured. */
export type EventContent =
  | { readonly _tag: "version" }
  | { readonly _tag: "start" }
  | { readonly _tag: "values"; readonly values: Iterable<readonly [tag: string, value: number | Histogram]> };

/** The names in an event, and where it is. */
export interface EventNames {
  readonly step: number;
  /** Whether it is a START: what is before it in the files, at its step and above, is dropped. */
  readonly isStart: boolean;
  /** The {@link taggedName} of each value. */
  readonly names: readonly string[];
}

// --- names

const fileName = /^events\.out\.tfevents\.(\d+)\.dogear\.([0-9a-f]{8})$/;

/** The eight digits that name a run in files: the first of its name if that is one of dogear's own, otherwise the checksum of the name. */
export function runDigits(run: string | null): string {
  if (run === null) return "00000000";
  const own = /^([0-9a-f]{8})-[0-9a-f-]{27}$/.exec(run)?.[1];
  return own ?? hex(crc32c(new TextEncoder().encode(run)));
}

function hex(word: number): string {
  return word.toString(16).padStart(8, "0");
}

/**
 * The name of an event file. TensorBoard reads the files of a folder in the order of their names.
 *
 * @param seconds The time in seconds since 1970, which orders the files.
 * @param digits The {@link runDigits} of its run.
 */
export function eventFileName(seconds: number, digits: string): string {
  return `events.out.tfevents.${String(seconds).padStart(10, "0")}.dogear.${digits}`;
}

/** Whether TensorBoard reads a file of this name. */
export function isEventFile(name: string): boolean {
  return name.includes("tfevents");
}

/** The seconds and run of a name that {@link eventFileName} made; undefined for other names. */
export function parseEventFileName(name: string): { readonly seconds: number; readonly digits: string } | undefined {
  const [, seconds, digits] = fileName.exec(name) ?? [];
  return seconds === undefined || digits === undefined ? undefined : { seconds: Number(seconds), digits };
}

// --- records

const utf8 = new TextEncoder();

/** A checksum, masked so that checksums of data that has checksums in it stay good. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** A record with some data. */
function recordOf(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(crc32c(record.subarray(0, 8))), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, masked(crc32c(data)), true);
  return record;
}

/** `HistogramProto`. */
function writeHistogram({ min, max, num, sum, sumSquares, limits, counts }: Histogram, to: PbfWriter): void {
  for (const [i, value] of [min, max, num, sum, sumSquares].entries()) to.writeDoubleField(i + 1, value);
  to.writePackedDouble(6, [...limits]);
  to.writePackedDouble(7, [...counts]);
}

/** `Summary.Value`. */
function writeValue([tag, value]: readonly [string, number | Histogram], to: PbfWriter): void {
  // The writer's own strings lose a lone surrogate at the end.
  to.writeBytesField(1, utf8.encode(tag));
  if (typeof value === "number") to.writeFloatField(2, value);
  else to.writeMessage(5, writeHistogram, value);
}

/**
 * A record of an event file.
 *
 * @param time When it happened, in milliseconds since 1970.
 * @param step The step: an integer from 0 to 2^53 - 1.
 * @param content What it says. Numbers are kept as 32-bit floats, as TensorBoard's scalars are.
 */
export function eventRecord(time: number, step: number, content: EventContent): Uint8Array<ArrayBuffer> {
  const event = new PbfWriter();
  event.writeDoubleField(1, time / 1000);
  event.writeVarintField(2, step);
  if (content._tag === "version") event.writeStringField(3, "brain.Event:2");
  // `SessionLog` with the status START.
  else if (content._tag === "start") event.writeMessage(7, (status, to) => to.writeVarintField(1, status), 1);
  else {
    event.writeMessage(
      5,
      (values, to) => {
        for (const one of values) to.writeMessage(1, writeValue, one);
      },
      content.values,
    );
  }
  return recordOf(event.finish());
}

// --- reading

/** The name of a value with its sort, as in {@link EventNames}. */
export function taggedName(tag: string, value: number | Histogram): string {
  return `${typeof value === "number" ? "scalar" : "histogram"} ${tag.toWellFormed()}`;
}

const fromUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

function nameIn(value: PbfReader): string {
  let [tag, sort] = ["", "histogram"];
  value.readMessage((field, _, bytes) => {
    if (field === 1) tag = fromUtf8.decode(bytes.readBytes());
    else if (field === 2) sort = "scalar";
  }, undefined);
  return `${sort} ${tag}`;
}

function namesIn(data: Uint8Array): EventNames {
  const found = { step: 0, isStart: false, names: [] as string[] };
  const value = (field: number, names: string[], bytes: PbfReader): void => {
    if (field === 1) names.push(nameIn(bytes));
  };
  return new PbfReader(data).readFields((field, event, bytes) => {
    if (field === 2) event.step = bytes.readVarint(true);
    else if (field === 5) bytes.readMessage(value, event.names);
    else if (field === 7) event.isStart = true;
  }, found);
}

/**
 * A reader of the names in an event file, from its first byte on. It ends at a record that is damaged, as TensorBoard does.
 *
 * @returns Receives the next bytes, and gives the events that end in them.
 */
export function eventReader(): (bytes: Uint8Array) => readonly EventNames[] {
  let waiting: Uint8Array = new Uint8Array();
  let isDamaged = false;
  return (bytes) => {
    const events: EventNames[] = [];
    if (isDamaged) return events;
    const all = new Uint8Array(waiting.length + bytes.length);
    all.set(waiting);
    all.set(bytes, waiting.length);
    const view = new DataView(all.buffer);
    let at = 0;
    while (!isDamaged && at + 12 <= all.length) {
      const [length, end] = [Number(view.getBigUint64(at, true)), at + 16 + Number(view.getBigUint64(at, true))];
      isDamaged = view.getUint32(at + 8, true) !== masked(crc32c(all.subarray(at, at + 8)));
      if (isDamaged || end > all.length) break;
      const data = all.subarray(at + 12, at + 12 + length);
      isDamaged = view.getUint32(end - 4, true) !== masked(crc32c(data));
      const found = isDamaged ? E.left(undefined) : E.tryCatch(() => namesIn(data), () => undefined);
      isDamaged = E.isLeft(found);
      if (E.isRight(found)) events.push(found.right);
      at = end;
    }
    waiting = isDamaged ? new Uint8Array() : all.subarray(at);
    return events;
  };
}
