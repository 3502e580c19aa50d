/**
 * A save does not depend on the saves before it: it writes the bytes that a first save writes.
 */
import {
  captureState,
  diff,
  loadState,
  memory,
  readSnapshot,
  Rng,
  runOrThrow,
  saveState,
  type Store,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { decodeSummary } from "../../lib/checkpoint/manifest.ts";
import { isFileOf } from "../../lib/checkpoint/tensor_names.ts";
import { torture } from "../support/torture.ts";

before(async () => void await tf.setBackend("cpu"));

/** All that a store has of its newest checkpoint but what tells one save from another: its files, and its manifest from the state on. */
async function written(store: Store): Promise<Readonly<Record<string, string>>> {
  const checkpoint = (await runOrThrow(store.list)).at(-1) ?? 0;
  const manifest = await runOrThrow(store.manifest(checkpoint));
  const text = new TextDecoder().decode(manifest);
  const summary = decodeSummary(manifest);
  assert.ok(summary._tag === "Right");
  const parts: Record<string, string> = { "": text.slice(text.indexOf(',"order":')) };
  for (const { name, bytes, crc32 } of summary.right.files) {
    const part = await runOrThrow(store.open(checkpoint, name));
    const found = new Uint8Array(part.bytes);
    await runOrThrow(part.read(found, 0));
    parts[name] = `${bytes} ${crc32} ${Array.from(found, (byte) => byte.toString(16)).join("")}`;
  }
  return parts;
}

let named = 0;

/** Values of every sort of node, and of every dtype. */
const makers: readonly ((n: number) => unknown)[] = [
  (n) => tf.variable(tf.fill([2, 3], n)),
  (n) => tf.variable(tf.fill([3, 2], n), false),
  (n) => tf.variable(tf.fill([6], n), true, `w${named++}`),
  (n) => tf.variable(tf.fill([2, 3], n, "int32")),
  (n) => tf.fill([6], n),
  (n) => tf.fill([], n % 2, "bool"),
  (n) => tf.complex([n], [1]),
  (n) => tf.tensor(["a".repeat(n % 3), "b"]),
  (n) => Float32Array.of(n, 1),
  (n) => [0, NaN, 1e300, 7n, "text", null, true][n % 7],
  (n) => [n % 2, { "a/b": tf.fill([6], n) }],
  (n) => Rng.make(n),
];

type Edit = (part: Record<string, unknown>, name: string, n: number) => void;

/** What may happen to a named value between two saves. */
const edits: readonly Edit[] = [
  // As training does: its values alone are others.
  (part, name, n) => {
    const value = part[name];
    if (value instanceof tf.Variable) value.assign(tf.fill(value.shape, n, value.dtype as "float32"));
    else if (value instanceof tf.Tensor && value.dtype === "float32") part[name] = tf.fill(value.shape, n);
  },
  // As nothing does but this: one thing in it is another.
  (part, name, n) => {
    const value = part[name];
    if (value instanceof tf.Variable) value.trainable = !value.trainable;
    else if (value instanceof tf.Tensor && value.dtype === "float32") {
      part[name] = value.reshape([[6], [6, 1], [3, 2], [2, 3]][n % 4] ?? [6]);
    } else if (value instanceof tf.Tensor && value.dtype === "string") part[name] = tf.tensor(["a".repeat(n % 3), "b"]);
    else if (typeof value === "number") part[name] = -value;
    else if (Array.isArray(value)) part[name] = n % 2 === 0 ? value.slice(1) : [...value, n];
  },
  (part, name, n) => part[name] = makers[n % makers.length]?.(n),
  (part, name, n) => part[`${name}${n % 3}`] = makers[n % makers.length]?.(n),
  (part, name) => delete part[name],
  // To the end of the record, and under another name in its place.
  (part, name) => {
    const value = part[name];
    delete part[name];
    part[name] = value;
  },
  (part, name, n) => {
    const entries = Object.entries(part).map(([key, value]) => [key === name ? `r${n % 4}` : key, value] as const);
    for (const key of Object.keys(part)) delete part[key];
    Object.assign(part, Object.fromEntries(entries));
  },
  // Two of them change places, or are one.
  (part, name, n) => {
    const other = Object.keys(part)[n % Object.keys(part).length] ?? name;
    [part[name], part[other]] = [part[other], part[name]];
  },
  (part, name, n) => part[Object.keys(part)[n % Object.keys(part).length] ?? name] = part[name],
];

interface Trained {
  readonly model: tf.Sequential;
  readonly weight: tf.Variable;
  readonly optimizer: tf.Optimizer;
}

/** A model, whose weights have names of their own, and an optimizer. */
function untrained(): Trained {
  const model = tf.sequential({
    layers: [tf.layers.dense({ name: "one", units: 2, inputShape: [3] }), tf.layers.dense({ name: "two", units: 1 })],
  });
  return { model, weight: tf.variable(tf.scalar(1)), optimizer: tf.train.adam(0.1) };
}

function train({ model, weight, optimizer }: Trained): void {
  optimizer.minimize(() => weight.square() as tf.Scalar, false, [weight]);
  model.setWeights(model.getWeights().map((value) => value.add(1)));
}

/** Most of what happens is of the first sorts. */
const edited = fc.tuple(fc.nat(2), fc.nat(), fc.oneof(fc.nat(1), fc.nat(edits.length - 1)), fc.nat(99));

test("save: writes, byte for byte, what a first save of the state writes", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(makers.length - 1), { maxLength: 5 }), { minLength: 2, maxLength: 2 }),
      fc.array(fc.array(edited, { maxLength: 3 }), { minLength: 1, maxLength: 12 }),
      async (made, saves) => {
        const store = memory();
        const trained = untrained();
        const parts = made.map((which) =>
          Object.fromEntries(which.map((k, i): [string, unknown] => [`v${i}`, makers[k]?.(i)]))
        );
        for (const [step, changes] of saves.entries()) {
          for (const [which, at, edit, n] of changes) {
            const part = parts[which];
            const names = Object.keys(part ?? {});
            const name = names[at % Math.max(1, names.length)];
            const layer = trained.model.layers[n];
            if (part !== undefined && name !== undefined) edits[edit]?.(part, name, n);
            else if (layer !== undefined) layer.trainable = !layer.trainable;
            else train(trained);
          }
          const state = { ...trained, a: parts[0]!, b: parts[1]!, step };
          await runOrThrow(saveState(store)(state));
          const first = memory();
          await runOrThrow(saveState(first)(state));
          assert.deepEqual(await written(store), await written(first));
          using live = captureState(state);
          using saved = await runOrThrow(readSnapshot(store));
          assert.deepEqual(await diff(live, saved)(), []);
        }
        tf.disposeVariables();
      },
    ),
    { numRuns: 30 * torture },
  ));

test("save: a tensor whose shape array was changed is saved in its present shape", async () => {
  const [store, w] = [memory(), tf.zeros([2, 3])];
  for (let step = 0; step < 3; step++) {
    await runOrThrow(saveState(store)({ w }));
    using live = captureState({ w });
    using saved = await runOrThrow(readSnapshot(store));
    assert.deepEqual(await diff(live, saved)(), []);
    w.shape.reverse();
  }
});

/** What a system takes for the same name, or does not take at all, by Microsoft's "Naming Files, Paths, and Namespaces" and Apple's on APFS. */
const folded = (name: string): string => name.normalize("NFD").toUpperCase().toLowerCase();
const refused = /[<>:"\\|?*\p{Cc}]|[. ](\/|$)|(^|\/)(aux|con|nul|prn|com[\d¹²³]|lpt[\d¹²³])(\.|\/|$)/iu;

test("files: any components have files that no system confuses or refuses, and each comes back", async () => {
  const hostile = [
    "aux",
    "AUX",
    "con.txt",
    "nul",
    "Com1",
    "lpt9",
    "com¹",
    "A",
    "a",
    "é",
    "e\u0301",
    "x.",
    "x ",
    "a:b",
    "..",
    "a/b",
    "=61ux",
    "ß",
    "SS",
  ];
  const name = fc.oneof(fc.constantFrom(...hostile), fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 }));
  const names = fc.uniqueArray(name.filter((text) => text.isWellFormed() && text !== "__proto__"), {
    minLength: 1,
    maxLength: 8,
  });
  const check = async (given: readonly string[]): Promise<void> => {
    const store = memory();
    const state = Object.fromEntries(given.map((text, i) => [text, Float32Array.of(i)]));
    await saveState(store)(state);
    const summary = decodeSummary(await runOrThrow(store.manifest(0)));
    assert.ok(summary._tag === "Right");
    const files = summary.right.files.map(({ name }) => name);
    assert.equal(new Set(files.map(folded)).size, files.length, files.join(" "));
    assert.deepEqual(files.filter((file) => refused.test(file) || file.length > 160), []);
    assert.deepEqual(await loadState(store)(state), state);
  };
  await check(hostile);
  await fc.assert(fc.asyncProperty(names, check), { numRuns: 50 * torture });
});

test("files: 0.1.0 gave components with reserved names files of these names, which are still theirs", () => {
  for (const name of ["aux", "com1"]) {
    const isFile = isFileOf([name]);
    assert.ok(isFile(`state/${name}.safetensors`) && isFile(`state/${name}.00001-of-00002.safetensors`));
    assert.ok(!isFileOf(["other"])(`state/${name}.safetensors`));
  }
});
