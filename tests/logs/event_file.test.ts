/** Event files, read back by a reader that was written from the description of the format. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  eventFileName,
  type EventNames,
  eventReader,
  eventRecord,
  histogramOf,
  isEventFile,
  parseEventFileName,
  runDigits,
  taggedName,
} from "../../lib/logs/mod.ts";
import { crc32cBitwise, type ReadEvent, readEvents } from "../support/event_reader.ts";
import { torture } from "../support/torture.ts";

const version = eventRecord(0, 0, { _tag: "version" });

function fileOf(...records: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat([version, ...records]));
}

const tags = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)) }),
  fc.constantFrom(
    "",
    "loss",
    "\ud800",
    "\udc00\ud800",
    "<b>",
    "a/b",
    "\u202e",
    "\0",
    "é".repeat(200),
    "x".repeat(20_000),
  ),
);
const numbers = fc.oneof(fc.double(), fc.constantFrom(NaN, Infinity, -Infinity, -0, 5e-324, 1e300, 0.1));
const steps = fc.oneof(
  fc.maxSafeNat(),
  fc.constantFrom(
    0,
    1,
    127,
    128,
    2 ** 28 - 1,
    2 ** 28,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 35,
    Number.MAX_SAFE_INTEGER,
  ),
);

test("event file: any metrics at any step are read back, by name and value", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(steps, fc.array(fc.tuple(tags, numbers)), fc.nat(2 ** 42))), (all) => {
      const records = all.map(([step, values, time]) => eventRecord(time, step, { _tag: "values", values }));
      const [first, ...events] = readEvents(fileOf(...records));
      assert.deepEqual(first, { time: 0, step: 0n, version: "brain.Event:2", values: [] } satisfies ReadEvent);
      assert.deepEqual(
        events,
        all.map(([step, values, time]): ReadEvent => ({
          time: time / 1000,
          step: BigInt(step),
          values: values.map((
            [tag, value],
          ) => [
            new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(tag)),
            Math.fround(value),
          ]),
        })),
      );
    }),
    { numRuns: 100 * torture },
  );
});

test("event file: any histogram is read back, number for number", () => {
  fc.assert(
    fc.property(fc.array(numbers), (values) => {
      const histogram = histogramOf(values);
      const record = eventRecord(5, 7, { _tag: "values", values: [["w", histogram], ["loss", 2]] });
      const { nan: _, infinite: __, ...kept } = histogram;
      assert.deepEqual(readEvents(fileOf(record))[1]?.values, [["w", kept], ["loss", 2]]);
    }),
    { numRuns: 100 * torture },
  );
});

test("event file: a START has its step, and a process's file its version first", () => {
  const events = readEvents(fileOf(eventRecord(1500, 2 ** 40, { _tag: "start" })));
  assert.deepEqual(events[1], { time: 1.5, step: 2n ** 40n, start: true, values: [] });
});

test("event file: any flipped bit is refused, and so is a cut record", () => {
  const file = fileOf(
    eventRecord(1, 3, { _tag: "values", values: [["loss", 0.5], ["w", histogramOf([1, 2])]] }),
    eventRecord(1, 4, { _tag: "start" }),
  );
  assert.equal(readEvents(file).length, 3);
  for (let bit = 0; bit < file.length * 8; bit++) {
    file[bit >> 3]! ^= 1 << (bit & 7);
    assert.throws(() => readEvents(file), /Not an event file/, `bit ${bit}`);
    file[bit >> 3]! ^= 1 << (bit & 7);
  }
  const ends = new Set([
    0,
    version.length,
    version.length + eventRecord(1, 3, { _tag: "values", values: [["loss", 0.5], ["w", histogramOf([1, 2])]] }).length,
  ]);
  for (let length = 0; length < file.length; length++) {
    if (ends.has(length)) continue;
    assert.throws(() => readEvents(file.subarray(0, length)), /cut/);
    assert.ok(readEvents(file.subarray(0, length), true).length < 3);
  }
});

test("event file: the reader's own checksum is CRC-32C", () => {
  assert.equal(crc32cBitwise(new TextEncoder().encode("123456789")), 0xe3069283);
});

test("event file: a name has its seconds and run, and names sort by time", () => {
  const run = "3f2a9c04-0000-4000-8000-000000000000";
  assert.equal(runDigits(run), "3f2a9c04");
  assert.equal(runDigits(null), "00000000");
  assert.notEqual(runDigits("experiment-1"), runDigits("experiment-2"));
  fc.assert(fc.property(fc.string({ unit: "binary" }), (any) => assert.match(runDigits(any), /^[0-9a-f]{8}$/)));
  fc.assert(
    fc.property(fc.nat(9_999_999_999), fc.nat(9_999_999_999), (a, b) => {
      const [left, right] = [eventFileName(a, "0000ffff"), eventFileName(b, "00000000")];
      assert.ok(isEventFile(left));
      assert.deepEqual(parseEventFileName(left), { seconds: a, digits: "0000ffff" });
      if (a !== b) assert.equal(left < right, a < b);
    }),
  );
  for (
    const name of ["events.out.tfevents.1700000000.host.12.0.v2", "model.safetensors", "events.out.tfevents.1.dogear.1"]
  ) {
    assert.equal(parseEventFileName(name), undefined);
  }
});

test("event file: the names are found in any pieces, up to the first damage", () => {
  const events = fc.array(fc.tuple(steps, fc.array(fc.tuple(tags, fc.oneof(numbers, fc.constant(histogramOf([1])))))));
  fc.assert(
    fc.property(events, fc.array(fc.nat(500)), fc.nat(), (all, cuts, damaged) => {
      const records = all.map(([step, values], i) =>
        eventRecord(1, step, i % 3 === 2 ? { _tag: "start" } : { _tag: "values", values })
      );
      const file = fileOf(...records);
      const at = damaged % (2 * file.length);
      if (at < file.length) file[at]! ^= 1;
      const lengths = [version, ...records].map(({ length }) => length);
      const intact = lengths.findIndex((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b, 0) > at);
      const read = eventReader();
      const found: EventNames[] = [];
      for (let from = 0, i = 0; from < file.length; i++) {
        const to = from + (cuts[i] ?? file.length);
        found.push(...read(file.subarray(from, to)));
        from = to;
      }
      const expected = all.map(([step, values], i): EventNames => ({
        step,
        isStart: i % 3 === 2,
        names: i % 3 === 2 ? [] : values.map(([tag, value]) => taggedName(tag, value)),
      }));
      assert.deepEqual(
        found,
        [{ step: 0, isStart: false, names: [] }, ...expected].slice(0, intact < 0 ? undefined : intact),
      );
    }),
    { numRuns: 100 * torture },
  );
});
