/**
 * The safetensors header, compared with the verdicts and bytes of the reference implementation.
 *
 * `data/safetensors_vectors.json` holds small files, each with the verdict of safetensors 0.8.0 (Python).
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import type { Problem } from "../../lib/errors/errors.ts";
import {
  decodeHeader,
  type Dtype,
  encodeHeader,
  type Header,
  headerLength,
  type TensorSpec,
} from "../../lib/checkpoint/safetensors.ts";
import { torture } from "../support/torture.ts";

interface Vector {
  readonly name: string;
  readonly verdict: "ok" | "reject";
  readonly detail: readonly (readonly [string, string, readonly number[], number])[];
  readonly meta: Readonly<Record<string, string>> | null;
  readonly b64: string;
}

const { vectors }: { vectors: readonly Vector[] } = JSON.parse(
  readFileSync(new URL("../data/safetensors_vectors.json", import.meta.url), "utf8"),
);

/** Files that the reference reads and this reader refuses on purpose. */
const stricter: Readonly<Record<string, string>> = {
  "dup tensor key same": "a name twice hides what the file says; the format's description disallows it",
  "dup key inside __metadata__": "the same",
  "dtype object": "an accident of the reference's JSON library, in no description of the format",
  "tensor info as array": "the same",
};

function bytesOf(vector: Vector): Uint8Array {
  return Uint8Array.from(atob(vector.b64), (c) => c.charCodeAt(0));
}

/** A file of this JSON and so many zero bytes of data. */
function file(json: string | Uint8Array, data = 0): Uint8Array {
  const header = typeof json === "string" ? new TextEncoder().encode(json) : json;
  const bytes = new Uint8Array(8 + header.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  return bytes;
}

function read(bytes: Uint8Array): Header {
  const header = decodeHeader(bytes, bytes.length);
  assert.equal(header._tag, "Right", JSON.stringify(header));
  return header._tag === "Right" ? header.right : assert.fail();
}

function refused(bytes: Uint8Array): readonly Problem[] {
  const header = decodeHeader(bytes, bytes.length);
  assert.equal(header._tag, "Left", JSON.stringify(header));
  return header._tag === "Left" ? header.left : assert.fail();
}

function i8(offsets: string, rest = ""): string {
  return `{"dtype":"I8","shape":[1],"data_offsets":${offsets}${rest}}`;
}

// --- reading

test("safetensors: the vectors have files of both verdicts, and the reference accepts each file that is read more strictly", () => {
  assert.ok(vectors.filter(({ verdict }) => verdict === "ok").length > 20);
  assert.ok(vectors.filter(({ verdict }) => verdict === "reject").length > 40);
  for (const name of Object.keys(stricter)) assert.equal(vectors.find((v) => v.name === name)?.verdict, "ok", name);
});

for (const vector of vectors) {
  const verdict = vector.name in stricter ? "reject" : vector.verdict;
  test(`a file is judged as the reference judges it: ${vector.name}: ${verdict}`, () => {
    const bytes = bytesOf(vector);
    if (verdict === "reject") {
      for (const problem of refused(bytes)) assert.ok(problem.expected && problem.found);
      return;
    }
    const header = read(bytes);
    const byName = (a: readonly unknown[], b: readonly unknown[]) => String(a[0]) < String(b[0]) ? -1 : 1;
    assert.deepEqual(
      header.tensors.map((t) => [t.name, t.dtype, t.shape, t.end - t.begin]).sort(byName),
      [...vector.detail].sort(byName),
    );
    assert.deepEqual(header.metadata, vector.meta && Object.entries(vector.meta));
    assert.equal(header.bytes, bytes.length);
  });
}

test("safetensors: a header is decoded without the data after it", () => {
  const bytes = file(`{"a":${i8("[0,1]")}}`, 1);
  const length = headerLength(bytes.subarray(0, 8), bytes.length);
  assert.deepEqual(length, { _tag: "Right", right: bytes.length - 1 });
  assert.deepEqual(decodeHeader(bytes.subarray(0, bytes.length - 1), bytes.length), decodeHeader(bytes, bytes.length));
});

test("safetensors: a view into a buffer is decoded like a copy of it", () => {
  const bytes = file(`{"a":${i8("[0,1]")}}`, 1);
  const buffer = new Uint8Array(bytes.length + 10).fill(0x7b);
  buffer.set(bytes, 3);
  assert.deepEqual(read(buffer.subarray(3, 3 + bytes.length)), read(bytes));
});

test("safetensors: a prefix that is too short is a TypeError of the caller, not damage", () => {
  const bytes = file("{}  ");
  assert.throws(() => headerLength(bytes.subarray(0, 7), bytes.length), TypeError);
  assert.throws(() => decodeHeader(bytes.subarray(0, 11), bytes.length), TypeError);
});

test("safetensors: decoded tensors are in the order of their data", () => {
  const { tensors } = read(file(`{"a":${i8("[1,2]")},"b":${i8("[0,1]")},"1":${i8("[2,3]")},"0":${i8("[3,4]")}}`, 4));
  assert.deepEqual(tensors.map(({ name, begin, end }) => [name, begin, end]), [
    ["b", 0, 1],
    ["a", 1, 2],
    ["1", 2, 3],
    ["0", 3, 4],
  ]);
});

test("safetensors: nothing silent: each wrong tensor is listed by its name", () => {
  const json = `{"dtype":{"dtype":"F128","shape":[1],"data_offsets":[0,1]},"none":{},"three":${i8("[0,1,2]")}}`;
  assert.deepEqual(refused(file(json)).map(({ path, kind }) => [path, kind]), [
    ["dtype", "dtype"],
    ["none", "missing"],
    ["three", "format"],
  ]);
  const layout = `{"ok":${i8("[0,1]")},"hole":${i8("[2,3]")},"long":${i8("[3,5]")}}`;
  assert.deepEqual(refused(file(layout, 9)).map(({ path, kind }) => [path, kind]), [
    ["hole", "format"],
    ["long", "length"],
    ["", "length"],
  ]);
});

test("safetensors: two tensors never share a byte", () => {
  const json = `{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":${i8("[1,2]")}}`;
  assert.deepEqual(refused(file(json, 2)).map(({ path }) => path), ["b"]);
});

test("safetensors: a string with an unescaped control character is rejected", () => {
  for (const control of ["\u0000", "\n", "\u001f"]) {
    assert.ok(refused(file(`{"a${control}":${i8("[0,1]")}}`, 1)).length > 0);
  }
  assert.equal(read(file(`{"a\u007f":${i8("[0,1]")}}`, 1)).tensors[0]?.name, "a\u007f");
});

test("safetensors: malformed JSON is reported by its byte in the file", () => {
  const bytes = file(`{"é":${i8("[0,1]", ",oops")}}`, 1);
  const at = 8 + new TextEncoder().encode(`{"é":${i8("[0,1]", ",").slice(0, -1)}`).length;
  assert.deepEqual(refused(bytes).map(({ path }) => path), [`byte ${at}`]);
});

test("safetensors: a duplicate name is rejected, in any spelling and at any depth", () => {
  assert.equal(refused(file(`{"a":${i8("[0,1]")},"\\u0061":${i8("[0,1]")}}`, 1))[0]?.kind, "name");
  assert.equal(refused(file(`{"a":${i8("[0,1]", ',"dtype":"I8"')}}`, 1))[0]?.kind, "name");
  assert.equal(refused(file(`{"__metadata__":null,"__metadata__":null}`))[0]?.kind, "name");
  assert.equal(refused(file(`{"a":${i8("[0,1]", ',"x":{"y":1,"y":1}')}}`, 1))[0]?.kind, "name");
});

test("safetensors: unknown fields are ignored if the reference accepts their JSON", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  for (const value of ["1", "-0.5e-3", "1e-400", '"\\u00e9"', "[]", `[{"a":null},true,false]`, nested(125)]) {
    assert.equal(read(file(`{"a":${i8("[0,1]", `,"x":${value}`)}}`, 1)).tensors.length, 1, value);
  }
  for (
    const value of ["01", "+1", ".5", "1.", "1e", "nul", "'a'", '"\\ud800"', "1e309", "[1,]", "{,}", "", nested(126)]
  ) {
    assert.ok(refused(file(`{"a":${i8("[0,1]", `,"x":${value}`)}}`, 1)).length > 0, value);
  }
});

test("safetensors: numbers that a JavaScript number cannot hold are rejected, not rounded", () => {
  for (const size of ["9007199254740992", "18446744073709551615", "1".repeat(400)]) {
    const [problem] = refused(file(`{"a":{"dtype":"I8","shape":[0,${size}],"data_offsets":[0,0]}}`));
    assert.equal(problem?.expected, "a whole number below 2^53");
  }
  assert.equal(read(file(`{"a":{"dtype":"I8","shape":[0,9007199254740991],"data_offsets":[0,0]}}`)).tensors.length, 1);
});

test("safetensors: __proto__ is a name like any other, and no prototype changes", () => {
  const { tensors, metadata } = read(file(`{"__metadata__":{"__proto__":"x"},"__proto__":${i8("[0,1]")}}`, 1));
  assert.equal(tensors[0]?.name, "__proto__");
  assert.deepEqual(metadata, [["__proto__", "x"]]);
  assert.deepEqual(Object.keys(Object.prototype), []);
});

test("safetensors: a header that claims more than the file holds takes no time and no memory", () => {
  const bytes = new Uint8Array(16).fill(0x20);
  for (const claim of [100_000_000n, 100_000_001n, 2n ** 63n, 2n ** 64n - 1n]) {
    new DataView(bytes.buffer).setBigUint64(0, claim, true);
    assert.equal(refused(bytes)[0]?.kind, "length");
  }
});

test("safetensors: no bytes make the decoder throw", () => {
  const tokens = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "\\",
    "\\u00",
    "0",
    "1",
    "-",
    ".",
    "e",
    " ",
    "\u0000",
    "null",
    '"a":',
  ]
    .concat(['"__metadata__":', '"dtype":"I8"', '"shape":[1]', '"data_offsets":[0,1]', "😀", i8("[0,1]"), i8("[1,2]")]);
  const json = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.array(fc.constantFrom(...tokens), { maxLength: 20 }).map((parts) => new TextEncoder().encode(parts.join(""))),
  );
  const anyFile = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.tuple(json, fc.nat(3)).map(([j, data]) => file(j, data)),
  );
  fc.assert(
    fc.property(anyFile, (bytes) => {
      const header = decodeHeader(bytes, bytes.length);
      if (header._tag === "Left") return header.left.length > 0;
      const covered = header.right.tensors.reduce((end, tensor) => tensor.begin === end ? tensor.end : -1, 0);
      return covered === bytes.length - header.right.dataStart;
    }),
    { numRuns: 3000 * torture },
  );
});

test("safetensors: a header with one changed byte is rejected, or its offsets fit the data", () => {
  const { bytes, header } = encodeHeader([{ name: "a", dtype: "F32", shape: [3] }, {
    name: "b",
    dtype: "I8",
    shape: [4],
  }], []);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
      const changed = new Uint8Array(header.bytes);
      changed.set(bytes);
      changed[at] = byte;
      const read = decodeHeader(changed, changed.length);
      if (read._tag === "Right") {
        assert.deepEqual(read.right.tensors.map(({ begin, end }) => [begin, end]), [[0, 12], [12, 16]]);
      }
    }),
    { numRuns: 2000 * torture },
  );
});

// --- writing

test("safetensors: the encoded bytes are the reference writer's", () => {
  // Written by safetensors 0.8.0 (Python) from these tensors and { format: "pt" }.
  const golden = '{"__metadata__":{"format":"pt"},"none":{"dtype":"F64","shape":[0,4294967296],"data_offsets":[0,0]},' +
    '"wave":{"dtype":"C64","shape":[],"data_offsets":[0,8]},"":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},' +
    '"0":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},"10":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},' +
    '"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[20,24]},' +
    '"a\\"\\\\\\n\\u0001\u007f\u2028":{"dtype":"F32","shape":[1],"data_offsets":[24,28]},' +
    '"\uffff":{"dtype":"F32","shape":[1],"data_offsets":[28,32]},"😀":{"dtype":"F32","shape":[1],"data_offsets":[32,36]},' +
    '"count":{"dtype":"I32","shape":[2,1],"data_offsets":[36,44]},"flags":{"dtype":"BOOL","shape":[3],"data_offsets":[44,47]}}';
  const one = (name: string): TensorSpec => ({ name, dtype: "F32", shape: [1] });
  const specs: readonly TensorSpec[] = [
    ...["10", "😀", "0", "__proto__", "\uffff", 'a"\\\n\x01\x7f\u2028', ""].map(one),
    { name: "flags", dtype: "BOOL", shape: [3] },
    { name: "count", dtype: "I32", shape: [2, 1] },
    { name: "none", dtype: "F64", shape: [0, 4294967296] },
    { name: "wave", dtype: "C64", shape: [] },
  ];
  const { bytes, header } = encodeHeader(specs, [["format", "pt"]]);
  assert.equal(new TextDecoder().decode(bytes.subarray(8)).trimEnd(), golden);
  assert.equal(new DataView(bytes.buffer).getBigUint64(0, true), 688n);
  assert.equal(bytes.length, 8 + 688);
  assert.equal(header.bytes, 743);
});

const dtypes: readonly Dtype[] = [
  "BOOL",
  "F4",
  "F6_E2M3",
  "U8",
  "I8",
  "F16",
  "BF16",
  "I32",
  "F32",
  "C64",
  "I64",
  "U64",
];
const specs: fc.Arbitrary<TensorSpec[]> = fc.uniqueArray(
  fc.record({
    name: fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("__proto__", "0", "1", "constructor", "\uffff", "😀", "\u0000"),
    ).filter((name) => name !== "__metadata__"),
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.nat(5), { maxLength: 4 }).map((shape) => [...shape, 4]),
  }, { noNullPrototype: true }),
  { selector: ({ name }) => name, maxLength: 12 },
);
const pairs = fc.uniqueArray(fc.tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })), {
  selector: ([key]) => key,
  maxLength: 5,
});

test("safetensors: round trip of any tensors and metadata", () => {
  fc.assert(
    fc.property(specs, pairs, (tensors, metadata) => {
      const { bytes, header } = encodeHeader(tensors, metadata);
      assert.equal(bytes.length % 8, 0);
      assert.equal(bytes.length, header.dataStart);
      assert.deepEqual(decodeHeader(bytes, header.bytes), { _tag: "Right", right: header });
      const named = new Map(header.tensors.map(({ name, dtype, shape }) => [name, { name, dtype, shape }]));
      assert.deepEqual(tensors.map(({ name }) => named.get(name)), tensors);
      assert.deepEqual(new Map(header.metadata), new Map(metadata));
    }),
    { numRuns: 200 * torture },
  );
});

test("safetensors: canonical: the order of the given tensors and metadata does not change the bytes", () => {
  fc.assert(
    fc.property(specs, pairs, (tensors, metadata) => {
      assert.deepEqual(
        encodeHeader([...tensors].reverse(), [...metadata].reverse()).bytes,
        encodeHeader(tensors, metadata).bytes,
      );
    }),
    { numRuns: 100 * torture },
  );
});

test("safetensors: each tensor starts at a multiple of its element's bytes", () => {
  const width: Readonly<Record<string, number>> = { F16: 2, BF16: 2, I32: 4, F32: 4, C64: 8, I64: 8, U64: 8 };
  fc.assert(
    fc.property(specs, (tensors) => {
      const { header } = encodeHeader(tensors, []);
      for (const { dtype, begin } of header.tensors) assert.equal((header.dataStart + begin) % (width[dtype] ?? 1), 0);
    }),
    { numRuns: 100 * torture },
  );
});

test("safetensors: encoding what no reader accepts is a TypeError", () => {
  const f32 = (name: string, shape: readonly number[] = [1]): TensorSpec => ({ name, dtype: "F32", shape });
  const mistakes: readonly (() => unknown)[] = [
    () => encodeHeader([f32("a"), f32("a")], []),
    () => encodeHeader([f32("\ud800")], []),
    () => encodeHeader([f32("__metadata__")], []),
    () => encodeHeader([{ name: "a", dtype: "float32" as Dtype, shape: [1] }], []),
    () => encodeHeader([f32("a", [-1])], []),
    () => encodeHeader([f32("a", [1.5])], []),
    () => encodeHeader([f32("a", [2 ** 53])], []),
    () => encodeHeader([f32("a", [2 ** 32, 2 ** 32, 0])], []),
    () => encodeHeader([{ name: "a", dtype: "F4", shape: [3] }], []),
    () => encodeHeader([], [["k", "1"], ["k", "2"]]),
    () => encodeHeader([], [["k", "\udc00"]]),
    () => encodeHeader([f32("a".repeat(100_000_000))], []),
  ];
  for (const mistake of mistakes) assert.throws(mistake, { name: "TypeError", message: /^Expected .*found .*: / });
});

test("safetensors: 20,000 tensors are encoded and decoded in well under a second of CPU time", () => {
  const tensors = Array.from(
    { length: 20_000 },
    (_, i) => ({ name: `layers/${i}/kernel`, dtype: "F32" as const, shape: [i, 3] }),
  );
  // Its own time, not the clock: other tests run beside it.
  const start = process.cpuUsage();
  const { bytes, header } = encodeHeader(tensors, []);
  assert.deepEqual(decodeHeader(bytes, header.bytes)._tag, "Right");
  const { user, system } = process.cpuUsage(start);
  assert.ok(user + system < 1e6);
});
