import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { algorithm, type Permutation, permutation } from "../../lib/values/permutation.ts";
import type { Seed } from "../../lib/values/seed.ts";
import { torture } from "../support/torture.ts";

const largest = Number.MAX_SAFE_INTEGER;

function values(p: Permutation): number[] {
  return Array.from({ length: p.length }, (_, i) => p.at(i));
}

/** Every value hit once and every inverse right. */
function isBijective(p: Permutation): boolean {
  const seen = new Uint8Array(p.length);
  for (let i = 0; i < p.length; i++) {
    const value = p.at(i);
    if (!(value >= 0 && value < p.length) || seen[value] === 1 || p.inverse(value) !== i) return false;
    seen[value] = 1;
  }
  return true;
}

/** The same network in integers of any size, with `%` and division where the room uses shifts and doubles. */
function model(seed: bigint, epoch: number, length: bigint, index: bigint): bigint {
  let a = 1n;
  for (let bit = 1n << 27n; bit > 0n; bit >>= 1n) if ((a + bit - 1n) * (a + bit - 1n) < length) a += bit;
  const b = (length + a - 1n) / a;
  const rounds = length < 64n ? 24 : 8;
  const keys: bigint[] = [];
  for (let block = 0; keys.length < rounds; block++) {
    const hex = createHash("sha256").update(
      `["feistel-ab/1","integer","${seed}",${epoch},${length},${block}]`,
    ).digest("hex");
    for (let i = 0; i < 64 && keys.length < rounds; i += 8) keys.push(BigInt(`0x${hex.slice(i, i + 8)}`));
  }
  const word = (x: bigint) => BigInt.asUintN(32, x);
  const draw = (x: bigint, modulus: bigint) => {
    const h = word(x * 0x21f0aaadn);
    return (word((h ^ (h >> 15n)) * 0x735a2d97n) * modulus) >> 32n;
  };
  let [left, right] = [index / b, index % b];
  do {
    for (let k = 0; k < rounds; k += 2) {
      left = (left + draw(right ^ keys[k]!, a)) % a;
      right = (right + draw(left ^ keys[k + 1]!, b)) % b;
    }
  } while (left * b + right >= length);
  return left * b + right;
}

/** How far a chi-square statistic is from what chance gives, in standard deviations. */
function excess(counts: readonly number[], expected: number): number {
  const chi2 = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
  return (chi2 - (counts.length - 1)) / Math.sqrt(2 * (counts.length - 1));
}

test("fill: it equals at, from any index and for any length", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 45 }),
      fc.nat(),
      fc.nat(70),
      fc.string(),
      (length, from, count, seed) => {
        const order = permutation(seed, 1, length);
        const index = from % length;
        const into = new Float64Array(Math.min(count, length - index));
        order.fill(index, into);
        into.forEach((value, i) => assert.equal(value, order.at(index + i)));
      },
    ),
  );
  for (let length = 1; length < 200; length++) {
    const into = new Float64Array(length);
    permutation(length, 0, length).fill(0, into);
    assert.equal(new Set(into).size, length);
  }
});

test("bijective: each value occurs once for every length, and inverse undoes at", () => {
  for (let n = 0; n <= 500 * torture; n++) assert.ok(isBijective(permutation(n * 7919, n % 5, n)), `length ${n}`);
});

test("bijective: lengths around powers of two and four, where other networks repeat values", () => {
  for (const n of [65535, 65536, 65537, 262145, 300_007, 1_048_577]) {
    assert.ok(isBijective(permutation(n, 1, n)), `length ${n}`);
  }
});

test("bijective: samples of lengths up to 2^53 - 1 are in range, distinct and undone by inverse", () => {
  for (const n of [3_000_017, 2 ** 22, 16_777_217, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 15, 2 ** 40 + 3, largest]) {
    const p = permutation("spots", 0, n);
    const indices = Array.from({ length: 5000 }, (_, i) => [i, n - 1 - i, Math.floor(n / 5000) * i]).flat();
    const distinct = new Set(indices);
    const images = new Set<number>();
    for (const i of distinct) {
      const value = p.at(i);
      assert.ok(Number.isSafeInteger(value) && value >= 0 && value < n, `length ${n}, index ${i}`);
      assert.equal(p.inverse(value), i);
      images.add(value);
    }
    assert.equal(images.size, distinct.size);
  }
});

test("same bits: the network agrees with arbitrary-precision integers at every size", () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(1n << 80n), max: 1n << 80n }),
      fc.nat({ max: 1000 }),
      fc.oneof(fc.integer({ min: 1, max: 200 }), fc.double({ min: 0, max: 53, noNaN: true }).map((x) => 2 ** x))
        .map((n) => Math.min(largest, Math.floor(n))),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (seed, epoch, length, part) => {
        const index = Math.min(length - 1, Math.floor(part * length));
        assert.equal(
          BigInt(permutation(seed, epoch, length).at(index)),
          model(seed, epoch, BigInt(length), BigInt(index)),
        );
      },
    ),
    { numRuns: 300 * torture },
  );
  for (const index of [0, 1, largest - 2, largest - 1]) {
    assert.equal(BigInt(permutation(5, 0, largest).at(index)), model(5n, 0, BigInt(largest), BigInt(index)));
  }
});

test("same bits: golden orders of feistel-ab/1, never to be regenerated", () => {
  assert.equal(algorithm, "feistel-ab/1");
  assert.deepEqual(values(permutation(7, 0, 10)), [9, 3, 0, 8, 7, 4, 1, 6, 5, 2]);
  assert.deepEqual(values(permutation(7, 1, 10)), [5, 6, 1, 7, 3, 2, 0, 4, 8, 9]);
  assert.deepEqual(values(permutation("7", 0, 10)), [3, 6, 5, 2, 4, 1, 7, 0, 9, 8]);
  assert.deepEqual(values(permutation(1n << 70n, 0, 10)), [9, 0, 4, 7, 6, 5, 1, 2, 8, 3]);
  const spots: readonly (readonly [Seed, number, number, readonly number[]])[] = [
    [42, 0, 64, [50, 59, 3, 0]],
    [42, 3, 1000, [724, 554, 427, 602]],
    [-1, 0, 1797, [1781, 590, 532, 1059]],
    ["digits", 2, 60_000, [25_314, 9998, 8242, 14_719]],
    [0, 0, 2 ** 32, [1_259_089_772, 1_797_355_146, 491_620_617, 2_341_409_248]],
    [1, 9, 2 ** 40 + 3, [425_567_784_350, 1_065_630_232_037, 782_315_337_078, 225_959_576_002]],
    [5, 0, largest, [7_212_773_852_573_095, 808_897_773_121_109, 2_340_368_292_392_194, 8_504_075_107_710_245]],
  ];
  for (const [seed, epoch, n, expected] of spots) {
    const p = permutation(seed, epoch, n);
    assert.deepEqual([0, 1, 2, n - 1].map(p.at), expected);
  }
});

test("same bits: the order depends on seed, epoch and length only", () => {
  const order = (seed: Seed, epoch: number, length: number) => values(permutation(seed, epoch, length)).join();
  assert.equal(order(7, 0, 100), order(7n, 0, 100));
  assert.equal(order(-0, 0, 100), order(0, 0, 100));
  const others = [order("7", 0, 100), order(8, 0, 100), order(7, 1, 100), order(-7, 0, 100), order(6, 1, 100)];
  assert.equal(new Set([order(7, 0, 100), ...others]).size, 6);
  const start = (length: number) => values(permutation(7, 0, length)).slice(0, 20).join();
  assert.notEqual(start(101), start(100));
});

test("fair: all orders of five and all pairs of first values are equally likely over seeds", () => {
  const seeds = 12_000;
  const orders = new Map<string, number>();
  for (let seed = 0; seed < seeds; seed++) {
    const order = values(permutation(seed, 0, 5)).join();
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  assert.equal(orders.size, 120);
  assert.ok(Math.abs(excess([...orders.values()], seeds / 120)) < 5);
  for (const n of [16, 64]) {
    const pairs = new Map<number, number>();
    for (let seed = 0; seed < 2 * seeds; seed++) {
      const p = permutation(seed, 1, n);
      const pair = p.at(0) * n + p.at(1);
      pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
    }
    const cells = n * (n - 1);
    const counts = [...pairs.values(), ...Array<number>(cells - pairs.size).fill(0)];
    assert.ok(Math.abs(excess(counts, 2 * seeds / cells)) < 5, `length ${n}`);
  }
});

test("fair: neighbouring values and neighbouring seeds are uncorrelated", () => {
  const n = 10_000;
  const steps = Array<number>(20).fill(0);
  let sum = 0;
  for (let seed = 0; seed < 10; seed++) {
    const [p, q] = [permutation(seed, 0, n), permutation(seed + 1, 0, n)];
    for (let i = 0; i < n; i++) {
      steps[Math.floor(((p.at((i + 1) % n) - p.at(i) + n) % n) / (n / 20))]! += 1;
      sum += (p.at(i) - (n - 1) / 2) * (q.at(i) - (n - 1) / 2);
    }
  }
  assert.ok(Math.abs(excess(steps, 10 * n / 20)) < 5);
  const correlation = sum / (10 * n * (n * n - 1) / 12);
  assert.ok(Math.abs(correlation) * Math.sqrt(10 * n) < 5);
});

test("permutation: a length of 0 is legal and has no index", () => {
  const empty = permutation(1, 0, 0);
  assert.equal(empty.length, 0);
  assert.throws(() => empty.at(0), TypeError);
});

test("bad input: wrong numbers are a TypeError that names them", () => {
  for (const bad of [NaN, -1, 0.5, Infinity, 2 ** 53]) {
    assert.throws(() => permutation(1, bad, 10), { name: "TypeError", message: /epoch/ });
    assert.throws(() => permutation(1, 0, bad), { name: "TypeError", message: /length/ });
  }
  for (const bad of [NaN, 0.5, Infinity, 2 ** 53]) {
    assert.throws(() => permutation(bad, 0, 10), { name: "TypeError", message: /seed/ });
  }
  const p = permutation(1, 0, 10);
  for (const bad of [NaN, -1, 0.5, 10, Infinity]) {
    assert.throws(() => p.at(bad), { name: "TypeError", message: /below 10/ });
    assert.throws(() => p.inverse(bad), { name: "TypeError", message: /below 10/ });
  }
  assert.ok(Object.isFrozen(p));
});
