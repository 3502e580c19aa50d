/**
 * The log of metrics as lines: what is written is read, in any pieces, and nothing else spoils it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  headerLine,
  histogramLine,
  histogramOf,
  type LoggedHistogram,
  type LoggedValues,
  type LogHeader,
  logMark,
  type LogParent,
  logReader,
  type LogRecord,
  longestLine,
  recordOf,
  valuesLine,
} from "../../lib/logs/mod.ts";
import { torture } from "../support/torture.ts";

const encoder = new TextEncoder();

const anyNumber = fc.oneof(fc.double(), fc.constantFrom(NaN, Infinity, -Infinity, -0, 5e-324, 1e21));
const anyName = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("__proto__", "constructor", "step", "<script>", "\u202e", "a\nb", "\ud800", '"', "\u2028", ""),
);
const anyStep = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const parent = fc.record<LogParent>({ run: fc.string(), checkpoint: anyStep, step: fc.option(anyStep, { nil: null }) });
const header: fc.Arbitrary<LogRecord> = fc.record<LogHeader>({
  _tag: fc.constant("Header"),
  run: fc.option(fc.string(), { nil: null }),
  parent: fc.option(parent, { nil: null }),
});
const record: fc.Arbitrary<LogRecord> = fc.oneof(
  header,
  fc.record<LoggedValues>({
    _tag: fc.constant("Values"),
    step: anyStep,
    time: anyStep,
    values: fc.array(fc.tuple(anyName, anyNumber)).map((entries) => Object.fromEntries(entries)),
  }),
  fc.record<LoggedHistogram>({
    _tag: fc.constant("Histogram"),
    step: anyStep,
    time: anyStep,
    histogram: fc.record({ name: anyName, values: fc.array(anyNumber) })
      .map(({ name, values }) => ({ name, ...histogramOf(values) })),
  }),
);

function lineOf(record: LogRecord): string {
  return record._tag === "Header"
    ? headerLine(record)
    : record._tag === "Values"
    ? valuesLine(record)
    : histogramLine(record);
}

/** With prototypes out of the way, which names such as `__proto__` would otherwise be compared by. */
function plain(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return Array.isArray(value)
    ? value.map(plain)
    : Object.entries(value).map(([name, one]) => [name, plain(one)]).sort();
}

/** What a reader gives for bytes that come in pieces. */
function readIn(pieces: readonly Uint8Array[]) {
  const read = logReader();
  return pieces.flatMap((piece) => {
    // The reader must not keep the caller's memory.
    const lent = piece.slice();
    const lines = read(lent);
    lent.fill(0);
    return lines;
  });
}

function cutAt(bytes: Uint8Array, cuts: readonly number[]): readonly Uint8Array[] {
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

test("metric log: a record that is written is read, whatever its names and numbers", () => {
  fc.assert(
    fc.property(record, (record) => {
      const line = lineOf(record);
      assert.equal(line.indexOf("\n"), line.length - 1);
      assert.deepEqual(plain(recordOf(line)), plain(record));
    }),
    { numRuns: 300 * torture },
  );
});

test("metric log: it is read in any pieces, with the offset of each line, and without an incomplete last one", () => {
  const lines = fc.array(record, { maxLength: 8 });
  fc.assert(
    fc.property(lines, fc.array(fc.nat()), fc.nat(), (records, cuts, torn) => {
      const texts = records.map(lineOf);
      const whole = encoder.encode(texts.join(""));
      const bytes = whole.subarray(0, whole.length - (whole.length === 0 ? 0 : torn % (whole.length + 1)));
      const read = readIn(cutAt(bytes, cuts));
      const ends = texts.map((_, i) => encoder.encode(texts.slice(0, i + 1).join("")).length);
      const complete = ends.filter((end) => end <= bytes.length);
      assert.deepEqual(read.map(({ end }) => end), complete);
      assert.deepEqual(read.map(({ at }) => at), complete.map((_, i) => complete[i - 1] ?? 0));
      assert.deepEqual(plain(read.map(({ record }) => record)), plain(records.slice(0, complete.length)));
    }),
    { numRuns: 100 * torture },
  );
});

test("metric log: lines of another kind are read as such, and do not spoil the others", () => {
  const good = encoder.encode(valuesLine({ step: 3, time: 1, values: { loss: 1 } }));
  const foreign = fc.oneof(
    fc.uint8Array().map((bytes) => bytes.filter((byte) => byte !== 10)),
    fc.json().map((text) => encoder.encode(text.replaceAll("\n", " "))),
    fc.constantFrom(
      "",
      "null",
      "[]",
      "{}",
      '{"step":-1,"time":1,"values":{"a":1}}',
      '{"step":1.5,"time":1,"values":{"a":1}}',
      '{"step":"1","time":1,"values":{"a":1}}',
      '{"step":1,"values":{"a":1}}',
      '{"step":1,"time":1,"values":{"a":null}}',
      '{"step":1,"time":1,"values":{"a":"nan"}}',
      '{"step":1,"time":1,"values":{"a":"constructor"}}',
      '{"step":1,"time":1,"values":[1]}',
      '{"step":1,"time":1,"histogram":{"name":"a","min":0,"max":0,"num":0,"sum":0,"sumSquares":0,"limits":[1],"counts":[]}}',
      `${logMark.replace("/1", "/2")},"run":null,"parent":null}`,
      `${logMark},"run":7,"parent":null}`,
      "[".repeat(100_000),
      '{"step":1,"time":1,"values":{"a":1}',
    ).map((text) => encoder.encode(text)),
  );
  fc.assert(
    fc.property(fc.array(foreign), (lines) => {
      const newline = Uint8Array.of(10);
      const read = readIn([...lines.flatMap((line) => [good, line, newline]), good]);
      assert.equal(read.length, 2 * lines.length + 1);
      for (const [i, { record }] of read.entries()) {
        if (i % 2 === 1) assert.ok(record === undefined, JSON.stringify(record));
        else assert.deepEqual(record, { _tag: "Values", step: 3, time: 1, values: { loss: 1 } });
      }
    }),
    { numRuns: 200 * torture },
  );
});

test("metric log: names of 10 MB are read, and a line that is too long takes no memory", () => {
  const name = "\u{1f415}".repeat(2_500_000);
  const bytes = encoder.encode(valuesLine({ step: 1, time: 1, values: { [name]: 2 } }));
  const pieces = Array.from({ length: 50 }, (_, i) => Math.floor(i * bytes.length / 50));
  const [line] = readIn(cutAt(bytes, pieces));
  assert.ok(line?.record?._tag === "Values" && line.record.values[name] === 2);

  const read = logReader();
  const piece = new Uint8Array(2 ** 20).fill(97);
  for (let sent = 0; sent <= longestLine; sent += piece.length) assert.deepEqual(read(piece), []);
  const [long, next] = read(encoder.encode(`\n${valuesLine({ step: 1, time: 1, values: {} })}`));
  assert.equal(long?.record, undefined);
  assert.equal(next?.at, long?.end);
  assert.equal(next?.record?._tag, "Values");
});
