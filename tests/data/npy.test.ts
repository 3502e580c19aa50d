import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { explain } from "../../lib/errors/explain.ts";
import { runOrThrow } from "../../lib/task.ts";
import { fromNpy, type Row } from "../../lib/data/npy.ts";
import * as Loader from "../../lib/loader/loader.ts";
import { npy, scratch } from "../support/sources.ts";

after(() => rm(scratch, { recursive: true, force: true }));

let files = 0;

async function opened(bytes: Uint8Array): Promise<Loader.Loader<Row>> {
  const path = join(scratch, `${files++}.npy`);
  await writeFile(path, bytes);
  return await runOrThrow(fromNpy(path));
}

async function rows(descr: string, shape: readonly number[], hex: string): Promise<readonly Row[]> {
  const all: Row[] = [];
  const loader = await opened(npy(descr, shape, Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"))));
  for await (const [row] of Loader.iterate(loader)) all.push(row);
  return all;
}

test("fromNpy: the bytes that NumPy writes of each dtype, in both byte orders, are the numbers that NumPy has", async () => {
  const cases: readonly (readonly [descr: string, hex: string, expected: readonly Row[]])[] = [
    ["<f2", "003e 00c0", [1.5, -2]],
    [">f2", "3e00 c000", [1.5, -2]],
    ["<f4", "0000c03f 000000c0", [1.5, -2]],
    [">f4", "3fc00000 c0000000", [1.5, -2]],
    ["<f8", "000000000000f83f 00000000000000c0", [1.5, -2]],
    [">f8", "3ff8000000000000 c000000000000000", [1.5, -2]],
    ["|i1", "01 fe", [1, -2]],
    [">i1", "01 fe", [1, -2]],
    ["<i2", "0100 feff", [1, -2]],
    [">i2", "0001 fffe", [1, -2]],
    ["<i4", "01000000 feffffff", [1, -2]],
    [">i4", "00000001 fffffffe", [1, -2]],
    ["<i8", "0100000000000000 feffffffffffffff", [1n, -2n]],
    [">i8", "0000000000000001 fffffffffffffffe", [1n, -2n]],
    ["|b1", "01 00", [1, 0]],
    ["|u1", "01 ff", [1, 255]],
    ["<u2", "0100 0201", [1, 258]],
    [">u2", "0001 0102", [1, 258]],
    ["<u4", "01000000 02010000", [1, 258]],
    [">u4", "00000001 00000102", [1, 258]],
    ["<u8", "0100000000000000 0201000000000000", [1n, 258n]],
    [">u8", "0000000000000001 0000000000000102", [1n, 258n]],
  ];
  for (const [descr, hex, expected] of cases) {
    assert.deepStrictEqual(await rows(descr, [2], hex), expected, descr);
    const [row] = await rows(descr, [1, 2], hex);
    assert.deepStrictEqual([...row as Float32Array], expected, `${descr} in a row`);
  }
  const [row] = await rows(">i4", [1, 2], "00000001 fffffffe");
  assert.ok(row instanceof Int32Array);
});

test("fromNpy: complex numbers are consecutive real and imaginary parts, for one axis, too", async () => {
  const single = [
    ["<c8", "0000803f00000040 000060c000000000"],
    [">c8", "3f80000040000000 c060000000000000"],
  ] as const;
  for (const [descr, hex] of single) {
    assert.deepStrictEqual(await rows(descr, [1, 2], hex), [Float32Array.of(1, 2, -3.5, 0)]);
    assert.deepStrictEqual(await rows(descr, [2], hex), [Float32Array.of(1, 2), Float32Array.of(-3.5, 0)]);
  }
  const double = [
    ["<c16", "000000000000f03f0000000000000040 0000000000000cc00000000000000000"],
    [">c16", "3ff00000000000004000000000000000 c00c0000000000000000000000000000"],
  ] as const;
  for (const [descr, hex] of double) {
    assert.deepStrictEqual(await rows(descr, [1, 2], hex), [Float64Array.of(1, 2, -3.5, 0)]);
  }
});

test("fromNpy: every float16 number is the float32 number of the same value, NaN payloads included", async () => {
  const halves = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
  const row = await Loader.at(0)(await opened(npy("<f2", [1, 2 ** 16], halves))) as Float32Array;
  assert.ok(row instanceof Float32Array);
  // Powers of two by multiplication, which is exact.
  const scale = Array.from({ length: 31 }, (_, exponent) => {
    let power = 2 ** -10;
    for (let e = 15; e < exponent; e++) power *= 2;
    for (let e = 15; e > Math.max(exponent, 1); e--) power /= 2;
    return power;
  });
  const bits = new Uint32Array(row.buffer, row.byteOffset);
  halves.forEach((half, i) => {
    const [exponent, fraction] = [half >> 10 & 31, half & 1023];
    if (exponent === 31) return assert.equal(bits[i], ((half & 0x8000) << 16 | 0x7f800000 | fraction << 13) >>> 0);
    const size = (exponent === 0 ? fraction : 1024 + fraction) * scale[exponent]!;
    if (!Object.is(row[i], half < 0x8000 ? size : -size)) assert.fail(`${half}: ${row[i]}, not ${size}`);
  });
  const known = { 0x3c00: 1, 0x0001: 2 ** -24, 0x03ff: 1023 / 2 ** 24, 0x0400: 2 ** -14, 0x7bff: 65504, 0xfc00: -Infinity };
  for (const [half, value] of Object.entries(known)) assert.equal(row[Number(half)], value);
});

test("fromNpy: the same numbers in another byte order are other data; other dtypes are errors that list those that can be read", async () => {
  const little = Loader.start(await opened(npy("<f4", [1], Float32Array.of(0))));
  const big = Loader.start(await opened(npy(">f4", [1], Float32Array.of(0))));
  assert.deepStrictEqual(Loader.check(big, little).map(({ path }) => path), ["fingerprint"]);
  for (const descr of ["<U3", "|O", "<f16", ">M8[ns]", "!f4", "constructor"]) {
    const path = join(scratch, `${files++}.npy`);
    await writeFile(path, npy(descr, [1], Float32Array.of(0)));
    const found = await fromNpy(path)();
    assert.ok(found._tag === "Left");
    assert.match(explain(found.left), /header: expected a dtype of f2, f4, .* u8, found /);
  }
});

/** The bytes of a `.npy` file of one-byte integers whose header has this text as its shape. */
function shaped(shape: string, bytes: number): Uint8Array {
  const text = Buffer.from(npy("|u1", [7], new Uint8Array(0))).toString("latin1").replace("(7,)", () => shape);
  const file = Buffer.concat([Buffer.from(text, "latin1"), new Uint8Array(bytes)]);
  file.writeUInt16LE(text.length - 10, 8);
  return file;
}

test("fromNpy: a shape is a Python tuple of sizes that a number holds, and so is their product; all else is an error that shows the header", async () => {
  const good: readonly (readonly [shape: string, bytes: number, rows: number])[] = [
    ["(1,)", 1, 1],
    ["(1, 1)", 1, 1],
    ["( 2 , 3 ,\n)", 6, 2],
    ["(2,3)", 6, 2],
    ["(0,)", 0, 0],
    ["(0, 3)", 0, 0],
    ["(7)", 7, 7],
    ["(9007199254740991, 0)", 0, 2 ** 53 - 1],
    // As NumPy wrote sizes under Python 2.
    ["(2L,)", 2, 2],
    ["(2L, 3L)", 6, 2],
  ];
  for (const [shape, bytes, rows] of good) {
    assert.equal(Loader.length(await opened(shaped(shape, bytes))), rows, shape);
  }
  const bad = [
    "(1 1,)",
    "(-1,)",
    "(+1,)",
    "(1,,2)",
    "(,)",
    "(,1)",
    "(1,2,,)",
    "(1.5,)",
    "(1e0,)",
    "(0x1,)",
    "(l,)",
    "(1LL,)",
    "(1 L,)",
    "(9007199254740992,)",
    "(4294967296, 4294967296)",
    "(1,",
    "[1,]",
    `(${"9".repeat(400)},)`,
  ];
  for (const shape of bad) {
    const path = join(scratch, `${files++}.npy`);
    await writeFile(path, shaped(shape, 1));
    const found = await fromNpy(path)();
    assert.ok(found._tag === "Left", shape);
    const [{ path: where, kind, expected, found: header }] = found.left.problems as [typeof found.left.problems[0]];
    assert.deepEqual([where, kind], ["header", "format"], shape);
    assert.match(expected, /^a shape of integers from 0, such as \(2, 3\), of at most 2\^53 - 1 elements$/, shape);
    assert.ok(shape.length > 100 || header.includes(shape.trim()), header);
  }
});
