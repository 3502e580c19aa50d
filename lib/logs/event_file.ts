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
import { PbfWriter } from "pbf";
import type { Histogram } from "./histogram.ts";

// --- types

/** What an event says: the first of a file its version, `start` that a process continues at its step, `values` what was measured. */
export type EventContent =
  | { readonly _tag: "version" }
  | { readonly _tag: "start" }
  | { readonly _tag: "values"; readonly values: Iterable<readonly [tag: string, value: number | Histogram]> };

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
