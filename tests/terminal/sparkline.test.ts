/**
 * Sparklines and bars.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { barText, sparkline } from "../../lib/terminal/mod.ts";
import { widthOf } from "../../lib/cli/text_width.ts";
import { torture } from "../support/torture.ts";

test("sparkline: blocks from the lowest to the highest value", () => {
  assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8), "▁▂▃▄▅▆▇█");
  assert.equal(sparkline([7, 0], 8), "█▁");
  assert.equal(sparkline([3, 3, 3], 8), "▄▄▄");
  assert.equal(sparkline([-0.5], 8), "▄");
  assert.equal(sparkline([], 8), "");
  assert.equal(sparkline([1, 2], 0), "");
  assert.equal(sparkline([-1.7e308, 0, 1.7e308], 8), "▁▅█");
  assert.equal(sparkline([0, Number.MIN_VALUE], 8), "▁█");
});

test("sparkline: NaN, infinities and gaps are visible, and do not spoil the scale", () => {
  assert.equal(sparkline([1, NaN, 2, Infinity, -Infinity, undefined, 1], 9), "▁×█↑↓ ▁");
  assert.equal(sparkline([NaN, NaN], 9), "××");
  assert.equal(sparkline([undefined], 9), " ");
});

test("sparkline: more values than columns are means of groups, and a group with NaN is NaN", () => {
  assert.equal(sparkline([0, 2, 4, 4, 7, 9], 3), "▁▄█");
  assert.equal(sparkline([0, 2, NaN, 4, 7, 9, Infinity, 1], 4), "▁×█↑");
  assert.equal(sparkline([0, 0, undefined, undefined, 8, undefined], 3), "▁ █");
  assert.equal(sparkline(Array.from({ length: 1e5 }, () => 1.7e308), 2), "▄▄");
});

test("sparkline: one column for each value, never more than the width, whatever the values", () => {
  const value = fc.oneof(fc.double(), fc.constant(undefined));
  fc.assert(
    fc.property(fc.array(value, { maxLength: 200 }), fc.integer({ min: 0, max: 120 }), (values, width) => {
      const line = sparkline(values, width);
      assert.match(line, /^[▁-█×↑↓ ]*$/);
      assert.equal(widthOf(line), Math.min(width, values.length));
      assert.equal(line.includes("×"), width > 0 && values.some(Number.isNaN));
    }),
    { numRuns: 200 * torture },
  );
});

test("bar: as wide as asked for, full from 0 to 1", () => {
  assert.deepEqual([0, 0.5, 1, 2, -1, NaN].map((fraction) => barText(fraction, 6)), [
    "[----]",
    "[##--]",
    "[####]",
    "[####]",
    "[----]",
    "[----]",
  ]);
  assert.deepEqual([0, 2, 3].map((width) => barText(1, width)), ["", "", "[#]"]);
});
