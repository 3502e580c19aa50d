/**
 * Charts of curves in text.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { plotLines } from "../../lib/terminal/mod.ts";
import { widthOf } from "../../lib/cli/text_width.ts";
import { torture } from "../support/torture.ts";

const steps = Array.from({ length: 60 }, (_, i) => i);

test("plot: a curve with its axes", () => {
  const values = steps.map((i) => 1000 / (i + 1));
  assert.deepEqual(plotLines([{ steps, values }], { width: 40, height: 8 }), [
    " 1000 ┤⢹",
    "      │⢸",
    "      │⢸",
    "      │⠈⡇",
    "      │ ⠹⣄⣀",
    "16.67 ┤   ⠈⠙⠒⠲⠤⠤⠤⠤⠤⠤⠤⢤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀",
    "      └─────────────────────────────────",
    "       0               30             59",
  ]);
});

test("plot: on a log scale equal ratios are equal distances", () => {
  const values = steps.map((i) => 1000 * Math.exp(-i / 10));
  assert.deepEqual(plotLines([{ steps, values }], { width: 40, height: 8, isLog: true }), [
    " 1000 ┤⠉⠓⠦⠤⣄⡀",
    "      │     ⠉⠙⠒⠦⢤⣀⡀",
    "      │           ⠉⠓⠲⠤⣄⣀",
    "      │                ⠈⠉⠓⠦⠤⣄⡀",
    "      │                      ⠉⠙⠲⠤⢤⣀⡀",
    "2.739 ┤                            ⠉⠓⠒⠦⣄",
    "      └─────────────────────────────────",
    "       0               30             59",
  ]);
});

test("plot: NaN and infinities are marks, and no line crosses them", () => {
  const lines = plotLines([{ steps: [0, 1, 2, 3, 4], values: [1, NaN, 1, Infinity, -Infinity] }], {
    width: 20,
    height: 6,
  });
  assert.deepEqual(lines, [
    "  │            ↑",
    "  │",
    "1 ┤⠁       ⠈",
    "  │    ×           ↓",
    "  └─────────────────",
    "   0       2       4",
  ]);
  const logged = plotLines([{ steps: [0, 1, 2], values: [1, 0, -1] }], { width: 20, height: 6, isLog: true });
  assert.match(logged[3]!, /↓ +×$/);
  const none = plotLines([{ steps: [0, 1], values: [-1e124, NaN] }], { width: 20, height: 4, isLog: true });
  assert.deepEqual(none.map((line) => line.trim()), [
    "│",
    `│×${" ".repeat(16)}×`,
    `└${"─".repeat(18)}`,
    "0".padEnd(17) + "1",
  ]);
});

test("plot: several curves are told apart by letters", () => {
  const curves = [1, 2, 3].map((k) => ({ steps, values: steps.map((i) => k * i) }));
  const lines = plotLines(curves, { width: 60, height: 12 });
  for (const mark of ["A", "B", "C"]) {
    assert.ok(lines.join("").split(mark).length > 3, lines.join("\n"));
    assert.ok(lines.some((line) => line.endsWith(mark)), mark);
  }
  assert.doesNotMatch(plotLines(curves.slice(0, 1), { width: 60, height: 12 }).join(""), /[A-Z]/);
});

test("plot: close values have labels that differ; one point and equal values have one label", () => {
  const close = plotLines([{ steps: [0, 1], values: [0.99991, 0.99993] }], { width: 40, height: 5 });
  assert.deepEqual([close[0]!.slice(0, 7), close[2]!.slice(0, 7)], ["0.99993", "0.99991"]);
  const one = plotLines([{ steps: [7], values: [3] }], { width: 12, height: 5 });
  assert.deepEqual(one.map((line) => line.trimEnd()), ["  │", "3 ┤    ⠠", "  │", "  └─────────", "   7"]);
});

test("plot: peaks among many points stay visible", () => {
  const long = Array.from({ length: 1e5 }, (_, i) => i);
  const lines = plotLines([{ steps: long, values: long.map((i) => i === 77_777 ? 9 : 0) }], { width: 80, height: 10 });
  assert.equal(lines.filter((line) => line.length > 50).length >= 8, true, lines.join("\n"));
  assert.deepEqual(plotLines([], { width: 80, height: 10 }), []);
  assert.deepEqual(plotLines([{ steps: [], values: [] }], { width: 80, height: 10 }), []);
});

test("plot: never wider or higher than asked for, and no number is cut", () => {
  const value = fc.oneof(
    fc.double(),
    fc.double({ min: -10, max: 10 }),
    fc.integer(),
    fc.constantFrom(NaN, Infinity, 5e-324, 1.7e308),
  );
  const curve = fc.array(value, { maxLength: 40 }).map((values) => ({ steps: values.map((_, i) => i * 10), values }));
  const options = fc.record({
    width: fc.integer({ min: 0, max: 140 }),
    height: fc.integer({ min: 0, max: 30 }),
    isLog: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(curve, { maxLength: 30 }), options, (curves, options) => {
      const lines = plotLines(curves, options);
      assert.ok(lines.length <= Math.max(0, options.height));
      for (const line of lines) assert.ok(widthOf(line) <= options.width, line);
      const values = curves.flatMap(({ values }) => values).filter((one) =>
        Number.isFinite(options.isLog ? Math.log(one) : one)
      );
      const labels = lines.flatMap((line) => /^ *([^ ]+) ┤/.exec(line)?.[1] ?? []).map(Number);
      if (labels.length === 0 || values.length === 0) return;
      const near = (a: number, b: number): boolean =>
        Object.is(a, b) || Math.abs(a - b) <= 1e-3 * Math.abs(b) || a === b;
      assert.ok(near(labels[0]!, Math.max(...values)), `${labels[0]} of ${Math.max(...values)}`);
      if (options.height > 3) {
        assert.ok(near(labels.at(-1)!, Math.min(...values)), `${labels.at(-1)} of ${Math.min(...values)}`);
      }
      assert.ok(labels.every((label, i) => i === 0 || label < labels[i - 1]!), labels.join());
      const below = lines.at(-1)!.trim().split(/ +/).map(Number);
      assert.equal(below[0], 0);
    }),
    { numRuns: 200 * torture },
  );
});
