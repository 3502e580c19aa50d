/**
 * Which saved layers are which live ones.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { alignLayers, type LayerMark } from "../../lib/tfjs/layers/layer_alignment.ts";

/** Marks from texts such as `head:dense:4`: a name (none if empty), a likeness and shapes. */
function marks(text: string): readonly LayerMark[] {
  return text.split(" ").map((one) => {
    const [name = "", likeness = "", shapes = ""] = one.split(":");
    return { name: name === "" ? null : name, likeness: () => likeness, shapes: () => shapes };
  });
}

const align = (saved: string, live: string) => alignLayers(marks(saved), marks(live));

test("alignment: by position, where both sides have the same layers, also unnamed or renamed ones", () => {
  for (const live of ["a:d:4 b:d:4", "a:d:4 c:d:4", "a:d:4 :d:4", "b:d:4 a:d:4", "a:x:4 b:x:4"]) {
    assert.deepEqual(align("a:d:4 b:d:4", live), {
      pairs: [[0, 0], [1, 1]],
      gone: [],
      added: [],
      moved: [],
      unsure: [],
    }, live);
  }
});

test("alignment: layers of one side, beside renamed ones", () => {
  assert.deepEqual(align("a:d:4 b:d:4", "n:d:4 a:d:4 b:d:4"), {
    pairs: [[0, 1], [1, 2]],
    gone: [],
    added: [0],
    moved: [],
    unsure: [],
  });
  assert.deepEqual(align("a:d:4 b:d:4", "a:d:4 n:r:4 c:d:4"), {
    pairs: [[0, 0], [1, 2]],
    gone: [],
    added: [1],
    moved: [],
    unsure: [],
  });
  assert.deepEqual(align("a:d:4 b:r:4 h:d:1", "c:d:4 h:d:1"), {
    pairs: [[0, 0], [2, 1]],
    gone: [1],
    added: [],
    moved: [],
    unsure: [],
  });
});

test("alignment: a layer of another name and other shapes is another layer", () => {
  assert.deepEqual(align("a:d:4 b:d:4", "a:d:4 c:d:8"), {
    pairs: [[0, 0]],
    gone: [1],
    added: [1],
    moved: [],
    unsure: [],
  });
});

test("alignment: a layer that both sides have in another order has moved, and is no other layer", () => {
  const found = align("a:d:4 b:d:4 c:d:4 h:d:1", "a:d:4 c:d:4 b:d:4 n:d:4 h:d:1");
  assert.deepEqual(found, { pairs: [[0, 0], [1, 2], [3, 4]], gone: [], added: [3], moved: [[2, 1]], unsure: [] });
});

test("alignment: which of several alike layers was renamed is not guessed", () => {
  const found = align("a:d:4 b:d:4 h:d:1", "n:d:4 h:d:1");
  assert.deepEqual(found, { pairs: [[2, 1]], gone: [], added: [], moved: [], unsure: [{ saved: [0, 1], live: [0] }] });
  assert.deepEqual(align("a:d:4 h:d:1", "n:d:4 m:d:4 h:d:1")?.unsure, [{ saved: [0], live: [0, 1] }]);
});

test("alignment: none if unnamed layers are left on both sides, or if there are too many layers", () => {
  assert.equal(align(":d:4 :r:4", ":x:4 :d:4 :y:4"), undefined);
  const many = (count: number): string => Array.from({ length: count }, (_, i) => `l${i}:d:4`).join(" ");
  assert.equal(align(many(2500), many(2501)), undefined);
  assert.deepEqual(align(many(100), many(101))?.added, [100]);
});
