/**
 * Text broken into lines.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { widthOf, wrap } from "../../lib/cli/text_width.ts";

const text = fc.array(fc.array(fc.stringMatching(/^[a-z東é]{1,12}$/)).map((words) => words.join(" "))).map((lines) =>
  lines.join("\n")
);

test("wrap: no line is wider, unless it is one word; no word is lost, none moves to another line of the text", () => {
  fc.assert(fc.property(text, fc.integer({ min: 1, max: 40 }), fc.constantFrom("", "  "), (text, width, hang) => {
    const lines = wrap(text, width, hang);
    for (const line of lines) assert.ok(widthOf(line) <= width || !line.trim().includes(" "), line);
    const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== "");
    assert.deepEqual(words(lines.join("\n")), words(text));
    // What fits is as it was, and so are the line ends of the text.
    assert.deepEqual(wrap(text, Infinity, hang), text.split("\n"));
    assert.deepEqual(lines, text.split("\n").flatMap((line) => wrap(line, width, hang)));
  }));
});

test("wrap: lines are as full as they can be, and a broken line keeps its indent", () => {
  assert.deepEqual(wrap("one two three", 7), ["one two", "three"]);
  assert.deepEqual(wrap("  one two three", 9, "# "), ["  one two", "  # three"]);
  assert.deepEqual(wrap("a/long/path of it", 4), ["a/long/path", "of", "it"]);
  assert.deepEqual(wrap("東京 東京 東京", 9), ["東京 東京", "東京"]);
  assert.deepEqual(wrap("", 5), [""]);
});
