/**
 * Notes on checkpoints: what is given comes back everywhere, and what is no note is refused at the call.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import {
  captureState,
  fit,
  list,
  Loader,
  memory,
  type Note,
  Retention,
  runOrThrow,
  saver,
  saveState,
  type Store,
  train,
  writeSnapshot,
} from "../../mod.ts";
import { torture } from "../support/torture.ts";

await tf.setBackend("cpu");

/** The notes that a store lists, oldest first. */
async function notesOf(store: Store): Promise<readonly (Note | undefined)[]> {
  return (await runOrThrow(list(store))).entries.map(({ note }) => note);
}

const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("", "__proto__", '],"order":[', "\u202e\u001b[31m", "\n", "\ud800", "\0", '"\\'),
);
const value = fc.oneof(text, fc.double(), fc.constantFrom(NaN, -0, Infinity, 5e-324), fc.boolean(), fc.constant(null));
const anyNote: fc.Arbitrary<Note> = fc.oneof(
  text,
  fc.uniqueArray(fc.tuple(text, value), { selector: ([name]) => name, maxLength: 5 })
    .map((pairs): Note => Object.fromEntries(pairs)),
);

test("note: round trip: the save, list and a retention policy give what was saved, for any text and any flat record", () =>
  fc.assert(
    fc.asyncProperty(fc.array(anyNote, { minLength: 1, maxLength: 3 }), async (notes) => {
      const seen: (Note | undefined)[] = [];
      const store = memory({
        keep: (catalogue, now) => {
          seen.splice(0, Infinity, ...catalogue.map(({ note }) => note));
          return Retention.all()(catalogue, now);
        },
      });
      for (const note of notes) {
        assert.deepEqual((await runOrThrow(saveState(store, { note })({ step: 1 }))).note, note);
      }
      assert.deepEqual(await notesOf(store), notes);
      assert.deepEqual(seen, notes);
    }),
    { numRuns: 40 * torture },
  ));

test("note: a save without one has none, and its manifest does not mention notes", async () => {
  const store = memory();
  const saved = await runOrThrow(saveState(store)({ step: 1 }));
  assert.ok(!("note" in saved) && !("note" in (await runOrThrow(list(store))).entries[0]!));
  const manifest = Buffer.from(await runOrThrow(store.manifest(0))).toString();
  assert.ok(!manifest.includes("note"));
});

test("note: immutable: a record that is changed after the save does not change the note", async () => {
  const seen: (Note | undefined)[] = [];
  const store = memory({ keep: (all, now) => (seen.push(all[0]?.note), Retention.all()(all, now)) });
  const note = { lr: 1 };
  const saved = await runOrThrow(saveState(store, { note })({ step: 1 }));
  note.lr = 2;
  await runOrThrow(saveState(store)({ step: 2 }));
  assert.deepEqual([saved.note, ...seen], [{ lr: 1 }, { lr: 1 }, { lr: 1 }]);
});

test("note: no state: the id of a state is the same with any note", async () => {
  const [a, b] = [memory(), memory()];
  const ids = [];
  for (const [store, note] of [[a, "x"], [b, { y: 1 }]] as const) {
    await runOrThrow(saveState(store, { note, id: true })({ step: 1 }));
    ids.push(/"id":"([0-9a-f]+)"/.exec(Buffer.from(await runOrThrow(store.manifest(0))).toString())?.[1]);
  }
  assert.equal(ids[0], ids[1]);
});

test("note: saver, one save of it, writeSnapshot, train and fit take a note", async () => {
  const store = memory();
  const background = saver(store, { note: "of the saver" });
  await runOrThrow(background.save({ step: 1 }));
  await runOrThrow(background.save({ step: 2 }, { note: "of the save" }));
  await runOrThrow(background.drain);
  {
    using snapshot = captureState({ step: 3 });
    await runOrThrow(writeSnapshot(store, { note: { of: "the snapshot" } })(snapshot));
  }
  assert.deepEqual(await notesOf(store), ["of the saver", "of the save", { of: "the snapshot" }]);
  const trained = memory();
  const loader = Loader.fromArray([1, 2]);
  const step = (state: { readonly cursor: Loader.Cursor }) => state;
  await runOrThrow(
    train({ loader, step, save: { to: trained, every: 1, note: "lr 1" } })({ cursor: Loader.start(loader) }),
  );
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
  model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
  const fitted = memory();
  await runOrThrow(
    fit({ to: fitted, note: "lr 2" })(model, tf.ones([2, 1]), tf.ones([2, 1]), { epochs: 1, verbose: 0 }),
  );
  assert.deepEqual([new Set(await notesOf(trained)), new Set(await notesOf(fitted))], [
    new Set(["lr 1"]),
    new Set(["lr 2"]),
  ]);
});

test("note: at most 4096 bytes as JSON, flat and plain; anything else is a TypeError at the call", () => {
  // Quotation marks count, and é has two bytes.
  for (const note of ["x".repeat(4094), "é".repeat(2047), { a: "x".repeat(4096 - 8) }]) {
    saveState(memory(), { note });
  }
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  const bad: readonly unknown[] = [
    "x".repeat(4095),
    "é".repeat(2048),
    "\0".repeat(1000),
    "x".repeat(2 ** 24),
    { a: "x".repeat(4096 - 7) },
    { a: { b: 1 } },
    { a: [1] },
    { a: undefined },
    { a: 1n },
    { a: () => 1 },
    { [Symbol("a")]: 1 },
    cyclic,
    new Map(),
    new Date(),
    ["a"],
    1,
    null,
  ];
  for (const [i, note] of bad.entries()) {
    const call = () => saveState(memory(), { note: note as Note });
    assert.throws(call, { name: "TypeError", message: /^Expected note.* to be a text, or a flat record of / }, `${i}`);
  }
});
