/**
 * The text of the command line: numbers, tables, escapes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bytesText, jsonText, progressText } from "../../lib/cli/format.ts";
import { printable } from "../../lib/errors/mod.ts";
import { type Columns, tableLines } from "../../lib/cli/table.ts";
import { progressAt } from "../../lib/store/progress.ts";
import { numberText, spanText } from "../../lib/terminal/mod.ts";
import { cut, widthOf } from "../../lib/cli/text_width.ts";
import { torture } from "../support/torture.ts";

test("format: bytes, durations, numbers, bars", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 1048575, 1048576, 2 ** 50].map(bytesText), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "1.0 MiB",
    "1.0 MiB",
    "1024.0 TiB",
  ]);
  assert.deepEqual([-5, 0, 119, 120, 7199, 7200, 172800, Infinity].map(spanText), [
    "0 s",
    "0 s",
    "119 s",
    "2 min",
    "119 min",
    "2 h",
    "2 d",
    "?",
  ]);
  assert.deepEqual([0.123456, 1e-9, 123456, -0, NaN, Infinity, 1.5].map((value) => numberText(value)), [
    "0.1235",
    "1e-9",
    "123456",
    "-0",
    "NaN",
    "Infinity",
    "1.5",
  ]);
  const barAt = (bytes: number, total: number): string => progressText(progressAt(bytes, total, 1)).slice(0, 22);
  assert.deepEqual([[0, 4], [3, 6], [4, 4], [8, 4], [0, 0]].map(([bytes, total]) => barAt(bytes!, total!)), [
    "[--------------------]",
    "[##########----------]",
    ...[0, 1, 2].map(() => "[####################]"),
  ]);
  assert.equal(
    progressText(progressAt(3 * 2 ** 20, 12 * 2 ** 20, 2)),
    "[#####---------------] 3.0 MiB of 12.0 MiB  1.5 MiB/s  6 s left",
  );
  // In little room the bar is what gives way.
  const within = (room: number): string => progressText(progressAt(3 * 2 ** 20, 12 * 2 ** 20, 2), room);
  assert.equal(within(50), "[##-----] 3.0 MiB of 12.0 MiB  1.5 MiB/s  6 s left");
  assert.equal(within(42), "3.0 MiB of 12.0 MiB  1.5 MiB/s  6 s left");
});

test("table: cells are aligned, and no line is longer than the width", async () => {
  const character = fc.string({ minLength: 1, maxLength: 1 });
  const unit = fc.oneof({ weight: 50, arbitrary: character }, fc.constantFrom("\x1b", "\n", "\x9b"));
  const cells = fc.tuple(...[40, 8, 5].map((maxLength) => fc.string({ maxLength, unit })));
  await fc.assert(
    fc.asyncProperty(fc.array(cells, { minLength: 1, maxLength: 30 }), async (rows) => {
      const lines: string[] = [];
      const columns: Columns = { name: "cut", n: "right", last: "left" };
      for await (const line of tableLines(columns, rows, 60)) lines.push(line);
      assert.equal(lines.length, rows.length + 1);
      assert.ok(lines.every((line) => !/\p{Cc}/u.test(line) && line === line.trimEnd()));
      const at = lines[0]!.indexOf("n", 4);
      // Escapes make a cell longer.
      if (rows.flat().every((cell) => !/\p{Cc}/u.test(cell))) {
        assert.ok(lines.every((line) => line.length <= 60));
        for (const [i, [, middle = ""]] of rows.entries()) {
          assert.equal(lines[i + 1]!.slice(0, at + 1).padEnd(at + 1).slice(at + 1 - middle.length), middle);
        }
      }
    }),
    { numRuns: 100 * torture },
  );
});

test("format: widths count terminal columns, and text is cut between characters", async () => {
  const widths = {
    abc: 3,
    "日本": 4,
    "ｱ": 1,
    "Ａ": 2,
    "한글": 4,
    "e\u0301": 1,
    "👍": 2,
    "🇩🇪": 2,
    "é…·": 3,
    "𠮷": 2,
    "👨‍👩‍👧": 2,
    "1️⃣": 2,
    "\u0301": 0,
    "▁█×…": 4,
    "": 0,
  };
  for (const [text, width] of Object.entries(widths)) assert.equal(widthOf(text), width, text);
  assert.deepEqual([5, 4, 3, 2, 1].map((width) => cut("日本語", width)), ["日本…", "日…", "日…", "…", "…"]);
  assert.deepEqual([cut("👨‍👩‍👧👨‍👩‍👧", 3), cut("e\u0301e\u0301e\u0301", 2)], ["👨‍👩‍👧…", "e\u0301…"]);
  const text = fc.string({ unit: "grapheme", maxLength: 12 });
  fc.assert(fc.property(text, fc.nat(12), (text, width) => {
    const shown = cut(text, width);
    assert.ok(widthOf(shown) <= Math.max(1, width), `${text}: ${shown}`);
    if (shown === text) return;
    const whole = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
    const starts = whole.map((_, i) => whole.slice(0, i).join(""));
    assert.ok(starts.includes(shown.slice(0, -1)), `${text}: ${shown}`);
  }));
  const lines: string[] = [];
  const columns: Columns = { metrics: "cut", n: "right", last: "left" };
  const rows = [["精度 0.91", "1", "x"], ["accuracy 0.92", "22", "x"], ["一二三四五六七八九十", "3", "x"], [
    "e\u0301👍",
    "4",
    "x",
  ]];
  for await (const line of tableLines(columns, rows, 24)) lines.push(line);
  assert.deepEqual(lines.slice(1).map((line) => widthOf(line)), [24, 24, 24, 24].map(() => widthOf(lines[1]!)));
  assert.deepEqual(
    lines.slice(1).map((line) => widthOf(line.slice(0, line.lastIndexOf("x")))),
    lines.slice(1).map(() => widthOf(lines[0]!) - 4),
  );
  assert.ok(lines.every((line) => widthOf(line) <= 24));
});

test("format: control characters are escaped, and JSON keeps its value", () => {
  const obeyed = "a\x1b[2J\x7f\x9b\u00ad\u061c\u200b\u202e\u2028\u2029\u2066\ufeff\u{e0041}\ud800";
  const dangerous = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
  assert.equal(
    printable(obeyed),
    "a\\x1b[2J\\x7f\\x9b\\xad\\u061c\\u200b\\u202e\\u2028\\u2029\\u2066\\ufeff\\u{e0041}\\ud800",
  );
  const value = { [obeyed]: [obeyed, 1n, -0, NaN, "日本 👍"] };
  assert.ok(!dangerous.test(jsonText(value)));
  assert.deepEqual(JSON.parse(jsonText(value)), { [obeyed]: [obeyed, "1", "-0", "NaN", "日本 👍"] });
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.ok(!dangerous.test(printable(text)) && !dangerous.test(jsonText(text)));
      assert.equal(JSON.parse(jsonText(text)), text);
    }),
    { numRuns: 300 * torture },
  );
});
