/** Histograms of numbers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { histogramOf } from "../../lib/logs/mod.ts";
import { torture } from "../support/torture.ts";

const numbers = fc.array(
  fc.oneof(
    fc.double(),
    fc.constantFrom(NaN, Infinity, -Infinity, 0, -0, 1e-12, -1e-12, 1e20, Number.MAX_VALUE, -Number.MAX_VALUE, 5e-324),
  ),
);

test("histogram: every finite number is in the first bucket whose limit is above it, the others are counted apart", () => {
  fc.assert(
    fc.property(numbers, (values) => {
      const { limits, counts, num, nan, infinite, min, max, sum } = histogramOf(values);
      const finite = values.filter(Number.isFinite);
      assert.equal(num, finite.length);
      assert.equal(nan, values.filter(Number.isNaN).length);
      assert.equal(num + nan + infinite, values.length);
      // Added to 0, -0 is 0.
      assert.equal(min + 0, Math.min(...finite, ...(num === 0 ? [0] : [])) + 0);
      assert.equal(max + 0, Math.max(...finite, ...(num === 0 ? [0] : [])) + 0);
      assert.ok(Object.is(sum, finite.reduce((total, value) => total + value, 0)));
      assert.deepEqual(limits, limits.toSorted((a, b) => a - b));
      const expected = limits.map((limit, i) =>
        finite.filter((value) =>
          (value < limit || (i === limits.length - 1 && value === limit)) && !(value < (limits[i - 1] ?? -Infinity))
        ).length
      );
      assert.deepEqual(counts, expected);
      assert.equal(counts.reduce((a, b) => a + b, 0), num);
      assert.ok(counts.every((count, i) => count !== 0 || counts[i + 1] !== 0), "two empty buckets in a row");
    }),
    { numRuns: 200 * torture },
  );
});

test("histogram: the buckets are TensorFlow's", () => {
  const some = histogramOf([1, 1.05, -1, 0, NaN, Infinity, -Infinity, 1e-12]);
  assert.deepEqual([some.num, some.nan, some.infinite, some.min, some.max], [5, 1, 2, -1, 1.05]);
  assert.equal(some.sumSquares, 1 + 1.05 ** 2 + 1 + 1e-24);
  // 1e-12 grown by 10% 290 times is the first limit above 1.
  let limit = 1e-12;
  for (let i = 0; i < 290; i++) limit *= 1.1;
  assert.deepEqual([limit / 1.1 <= 1, limit > 1, some.limits.includes(limit)], [true, true, true]);
  assert.deepEqual(histogramOf([]).counts, [0]);
  assert.deepEqual(histogramOf([]).limits, [Number.MAX_VALUE]);
  assert.deepEqual(histogramOf([3n, -3n]).num, 2);
});
