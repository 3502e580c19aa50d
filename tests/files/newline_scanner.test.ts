/**
 * Compares the newline scanner with a plain loop.
 *
 * @module
 */
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { moduleBytes, piece, scanner } from "../../lib/files/newline_scanner.ts";
import { torture } from "../support/torture.ts";

/** The result of a plain loop: the number of line ends, and the positions that are reported. */
function plainly(bytes: Uint8Array, from: number, end: number, skip: number, stride: number): [number, number[]] {
  const noted: number[] = [];
  let count = 0;
  for (let at = from; at < end; at++) {
    if (bytes[at] !== 10) continue;
    if (count >= skip && (count - skip) % stride === 0) noted.push(at);
    count++;
  }
  return [count, noted];
}

/** Bytes with a line end at the given rate; the others differ from a line end in one bit, or in the sign. */
function filled(bytes: Uint8Array, seed: number, rarity: number): void {
  let state = seed | 1;
  for (let i = 0; i < bytes.length; i++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0;
    bytes[i] = (state >>> 8) % rarity === 0 ? 10 : [0, 11, 8, 138, 74, 255, 26, 2][state & 7]!;
  }
}

test("newline scanner: it finds what a plain loop finds, in any piece, at any stride, in both parts", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3 * piece / 2 }),
      fc.integer(),
      fc.constantFrom(1, 2, 5, 60, 1000, 1 << 23),
      fc.nat(200),
      fc.constantFrom(1, 2, 4, 16, 4096),
      fc.constantFrom(0 as const, 1 as const),
      (length, seed, rarity, skip, stride, part) => {
        const { parts, scan } = scanner(length);
        filled(parts[part], seed, rarity);
        const before = parts[part].slice();
        const begin = length > piece ? piece : 0;
        const noted: number[] = [];
        const count = scan(part, begin, length, skip, stride, (at) => noted.push(at));
        assert.deepEqual([count, noted], plainly(before, begin, length, skip, stride));
        assert.deepEqual(parts[part], before, "the bytes stay as they were read");
      },
    ),
    { numRuns: 40 * torture },
  );
});

test("newline scanner: it reports every byte of a piece of line ends, and none of a piece without", () => {
  const { parts, scan } = scanner(piece);
  const noted: number[] = [];
  parts[0].fill(10);
  assert.equal(scan(0, 0, piece, 0, 1, (at) => noted.push(at)), piece);
  assert.deepEqual(noted, Array.from({ length: piece }, (_, i) => i));
  assert.equal(scan(1, 0, piece, 0, 1, () => assert.fail("there is none")), 0);
});

test("newline scanner: the assembled bytes are a WebAssembly module with one function, which imports its memory", () => {
  const module = new WebAssembly.Module(moduleBytes);
  assert.deepEqual(WebAssembly.Module.imports(module), [{ module: "a", name: "memory", kind: "memory" }]);
  assert.deepEqual(WebAssembly.Module.exports(module).map(({ name, kind }) => [name, kind]), [["scan", "function"]]);
});
