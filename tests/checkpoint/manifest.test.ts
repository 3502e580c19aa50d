import {
  loadState,
  memory,
  readSnapshot,
  restoreState,
  Rng,
  runOrThrow,
  saveState,
  Scaler,
  type Store,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { before, test } from "node:test";
import { crc32 } from "node:zlib";
import { filePlans } from "../../lib/checkpoint/file_plan.ts";
import { nameTensors } from "../../lib/checkpoint/tensor_names.ts";
import { decodeManifest, encodeManifest, type Manifest, type ManifestSummary } from "../../lib/checkpoint/manifest.ts";
import { componentText } from "../../lib/checkpoint/manifest_tree.ts";
import { decodeHeader } from "../../lib/checkpoint/safetensors.ts";
import { isBranch, type Named, type Node } from "../../lib/state/tree.ts";
import { mostManifestBytes } from "../../lib/store/store.ts";
import { type Element, type Held, heldBytes } from "../../lib/state/array.ts";
import { moveCounters, observed, right } from "../support/laws.ts";
import { componentNames, trainModels } from "../support/samples.ts";
import { torture } from "../support/torture.ts";

before(async () => void await tf.setBackend("cpu"));

// --- round trip

const elements: readonly Element[] = [
  "float32",
  "int32",
  "bool",
  "complex64",
  "string",
  "Float64Array",
  "BigInt64Array",
];

const scalars = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.double(),
  fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 5e-324, 1e21),
  fc.bigInt(),
  fc.string({ unit: "binary" }),
  fc.constantFrom("\ud800", "\u2028", "\0", '"', "\\"),
);

const entryNames = fc.oneof(fc.constantFrom("__proto__", "", "a/b", "~", "10", "\ud800", "record"), fc.string());

const held: fc.Arbitrary<Held> = fc.tuple(
  fc.constantFrom(...elements),
  fc.array(fc.nat(3), { maxLength: 3 }),
  fc.uint8Array({ maxLength: 8 }),
).map(([element, shape, bytes]) => heldBytes(element, shape, bytes));

const node: fc.Arbitrary<Node> = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalars,
    held.map((held): Node => ({ is: "array", held })),
    fc.string().map((path): Node => ({ is: "shared", path })),
    fc.array(tie("node"), { maxLength: 4 }),
    fc.uniqueArray(fc.tuple(entryNames, tie("node")), { maxLength: 4, selector: ([name]) => name })
      .map((entries): Node => ({ is: "record", entries })),
    fc.tuple(fc.string(), tie("node")).map(([kind, state]): Node => ({ is: "kind", kind, state })),
    tie("node").map((state): Node => ({ is: "aside", state })),
  ),
})).node;

const components: fc.Arbitrary<readonly Named[]> = fc.uniqueArray(fc.tuple(componentNames, node), {
  maxLength: 4,
  selector: ([name]) => name,
});

/** A node as text that tells every two apart; arrays by the very object that is held. */
function textOf(node: Node, heldNumber: (held: Held) => number): string {
  const below = (child: Node): string => textOf(child, heldNumber);
  if (typeof node === "bigint") return `${node}n`;
  if (typeof node === "number") return Object.is(node, -0) ? "-0" : String(node);
  if (typeof node !== "object" || node === null) return JSON.stringify(node);
  if (!isBranch(node)) return `[${node.map(below).join()}]`;
  switch (node.is) {
    case "record":
      return `{${node.entries.map(([name, child]) => `${JSON.stringify(name)}:${below(child)}`).join()}}`;
    case "array":
      return `array ${heldNumber(node.held)}`;
    case "kind":
      return `${JSON.stringify(node.kind)}(${below(node.state)})`;
    case "shared":
      return `=${JSON.stringify(node.path)}`;
    case "aside":
      return `aside ${below(node.state)}`;
  }
}

const hex = (digits: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(..."0123456789abcdef"), { minLength: digits, maxLength: digits }).map((d) => d.join(""));

const summaries: fc.Arbitrary<Omit<ManifestSummary, "files">> = fc.record({
  run: fc.string(),
  step: fc.option(scalars.filter((s): s is number => typeof s === "number")),
  metrics: fc.dictionary(fc.string(), fc.double(), { noNullPrototype: true }),
  time: fc.nat(),
  parent: fc.option(fc.nat()),
  environment: fc.record(
    { dogear: fc.string(), tfjs: fc.string(), runtime: fc.string(), backend: fc.string() },
    { noNullPrototype: true },
  ),
  id: hex(64),
  training: fc.string(),
  note: fc.oneof(
    fc.string(),
    fc.dictionary(fc.string(), scalars.filter((s) => typeof s !== "bigint"), { noNullPrototype: true }),
  ),
}, { requiredKeys: ["run", "step", "metrics", "time", "parent", "environment"], noNullPrototype: true });

function decoded(bytes: Uint8Array): Manifest {
  const manifest = decodeManifest(bytes);
  return manifest._tag === "Right" ? manifest.right : assert.fail(JSON.stringify(manifest.left));
}

test("manifest: round trip of any tree and any summary, bit for bit", () =>
  fc.assert(
    fc.property(components, summaries, hex(8), (named, summary, crc) => {
      const order = [["Variable", named.map(([name]) => name)]] as const;
      const plans = filePlans(nameTensors({ components: named }));
      const files = plans.map(({ name }, i) => ({
        name,
        bytes: i,
        crc32: crc,
        ...(i === 1 ? { sha256: crc.repeat(8) } : {}),
      }));
      const texts = named.map(([name, node]) =>
        componentText(
          [name, node],
          plans.flatMap(({ component, tensors }, i) => component === name ? [[i, tensors]] : []),
        )
      );
      const bytes = encodeManifest({ ...summary, files }, order, texts);
      const { state, arrays, bytes: length, ...rest } = decoded(bytes);
      assert.deepEqual(rest, { ...summary, files });
      assert.equal(length, bytes.byteLength);

      const all = plans.flatMap(({ tensors }) => tensors.map(({ node }) => node.held));
      const number = (held: Held): number => all.indexOf(held);
      const places = new Set(arrays.map(({ file, tensor }) => `${file} ${tensor}`));
      assert.equal(places.size, all.length);
      const again = state((stored) => {
        const tensor = plans[stored.file]?.tensors.find(({ spec }) => spec.name === stored.tensor);
        assert.ok(tensor !== undefined);
        assert.deepEqual([stored.element, stored.shape], [tensor.node.held.element, tensor.node.held.shape]);
        return tensor.node.held;
      });
      assert.deepEqual(again.order, order);
      assert.deepEqual(
        again.components.map(([name, node]) => [name, textOf(node, number)]),
        named.map(([name, node]) => [name, textOf(node, number)]),
      );
    }),
    { numRuns: 100 * torture },
  ));

// --- what is damaged

/** A small state of every sort of node. */
function small(): object {
  const v = tf.variable(tf.scalar(1));
  return { v, again: v, ["a/b"]: [1, -0, 2n, "é", null, true], bytes: new Uint8Array(2), rng: Rng.make(1) };
}

async function manifestOf(store: Store): Promise<Uint8Array> {
  return right(await store.manifest(0)());
}

test("manifest: nothing silent: each flipped bit and each truncation is an error", async () => {
  const store = memory({ digest: "sha256" });
  await runOrThrow(saveState(store, { metrics: { loss: 0.5 }, note: { lr: 0.1 }, id: true })(small()));
  const bytes = await manifestOf(store);
  assert.equal(decodeManifest(bytes)._tag, "Right");
  for (let i = 0; i < bytes.length; i++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Uint8Array.from(bytes);
      flipped[i] = (flipped[i] ?? 0) ^ (1 << bit);
      assert.equal(decodeManifest(flipped)._tag, "Left", `bit ${bit} of byte ${i}`);
    }
    assert.equal(decodeManifest(bytes.subarray(0, i))._tag, "Left", `cut to ${i}`);
  }
  for (const more of [[0], [10], [32], [...bytes]]) {
    assert.equal(decodeManifest(Uint8Array.from([...bytes, ...more]))._tag, "Left");
  }
});

test("manifest: nothing silent: arbitrary bytes are an error", () =>
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
        fc.string().map((text) => Buffer.from(text)),
      ),
      (bytes) => assert.equal(decodeManifest(bytes)._tag, "Left"),
    ),
    { numRuns: 100 * torture },
  ));

// --- what is hostile

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A manifest of this body, its digest right. */
function sealed(body: string): Uint8Array {
  const digest = crc32(Buffer.from(body)).toString(16).padStart(8, "0");
  return Buffer.from(`{"format":"dogear/1","crc32":"${digest}","manifest":${body}}\n`);
}

function bodyOf(manifest: Uint8Array): string {
  const text = Buffer.from(manifest).toString();
  return text.slice(text.indexOf('"manifest":') + '"manifest":'.length, -2);
}

/** Words that mean something to a manifest, to tfjs, or to JavaScript. */
const words = fc.oneof(
  fc.constantFrom("__proto__", "constructor", "prototype", "toString", "then", "../../x", "/etc/passwd", "\ud800"),
  fc.constantFrom("v", "model", "model/layers/0", "class", "name", "value", "trainable", "config", "weights", "slots"),
  fc.constantFrom("Adam", "Adagrad", "Dense", "Sequential", "Model", "Flatten", "float32", "state/v.safetensors"),
  fc.string({ maxLength: 3 }),
);
const kinds = fc.oneof(
  fc.constantFrom(
    "Variable",
    "Tensor",
    "LayersModel",
    "Layer",
    "Optimizer",
    "Rng",
    "Cursor",
    "Schedule",
    "Scaler",
    "codec:x",
  ),
  words,
);

/** Anything that JSON can say, and much that looks like a node. */
const hostile: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, false, 0, 1, -1, 0.5, 3, 100),
    words,
    fc.array(tie("json"), { maxLength: 4 }),
    fc.array(fc.tuple(words, tie("json")), { maxLength: 3 }).map((pairs): Json => Object.fromEntries(pairs)),
    fc.tuple(words, fc.array(fc.nat(3), { maxLength: 3 }), fc.nat(4), words).map((array): Json => ({ array })),
    fc.tuple(kinds, tie("json"), words).map(([kind, state, more]): Json => ({ kind, state, [more]: 1 })),
  ),
})).json;

/** A well-formed node of any kind, of whatever state. */
const wild: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, false, 0, 1, -1, 0.5, 3, { number: "NaN" }, { number: "-0" }, { bigint: "7" }),
    words,
    fc.array(tie("json"), { maxLength: 3 }),
    fc.uniqueArray(fc.tuple(words, tie("json")), { maxLength: 4, selector: ([name]) => name })
      .map((pairs): Json => ({ record: pairs })),
    fc.tuple(kinds, tie("json")).map(([kind, state]): Json => ({ kind, state })),
    words.map((shared): Json => ({ shared })),
    tie("json").map((aside): Json => ({ aside })),
  ),
})).json;

/** The paths of all parts of a JSON value. */
function pathsIn(json: Json, path: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof json !== "object" || json === null) return [path];
  return [path, ...Object.entries(json).flatMap(([key, part]) => pathsIn(part, [...path, key]))];
}

/** The part of a JSON value at a path, if there is one. */
function partAt(json: Json | undefined, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>(
    (part, key) => typeof part === "object" && part !== null ? (part as Record<string, Json>)[key] : undefined,
    json,
  );
}

/** A JSON value with the part at a path replaced, or removed. */
function replaced(json: Json, [key, ...rest]: readonly string[], by: Json | undefined): Json {
  if (key === undefined || typeof json !== "object" || json === null) return key === undefined ? by ?? null : json;
  const entries = Object.entries(json).flatMap(([name, part]): [string, Json][] => {
    if (name !== key) return [[name, part]];
    if (rest.length > 0) return [[name, replaced(part, rest, by)]];
    return by === undefined ? [] : [[name, by]];
  });
  return Array.isArray(json) ? entries.map(([, part]) => part) : Object.fromEntries(entries);
}

/** The paths of the nodes in a manifest's trees. */
function nodesIn(json: Json, path: readonly string[]): readonly (readonly string[])[] {
  if (typeof json !== "object" || json === null) return [path];
  const below = (keys: readonly string[]): readonly (readonly string[])[] =>
    nodesIn(partAt(json, keys) ?? null, [...path, ...keys]);
  if (Array.isArray(json)) return [path, ...json.flatMap((_, i) => below([String(i)]))];
  const { record } = json as { readonly record?: readonly Json[] };
  if (record !== undefined) return [path, ...record.flatMap((_, i) => below(["record", String(i), "1"]))];
  return [
    path,
    ...Object.keys(json).filter((key) => key === "state" || key === "aside").flatMap((key) => below([key])),
  ];
}

/** A store whose newest checkpoint has the parts of another's, under a manifest of this body. */
async function forged(from: Store, body: string): Promise<Store> {
  const store = memory();
  const { files } = decoded(await manifestOf(from));
  const saving = right(await store.begin());
  for (const { name } of files) {
    const part = right(await from.open(0, name)());
    const bytes = new Uint8Array(part.bytes);
    right(await part.read(bytes, 0)());
    right(await saving.put(name, [bytes])());
  }
  right(await saving.commit(sealed(body))());
  return store;
}

const pristine = [Object.prototype, Array.prototype, Function.prototype, String.prototype].map((prototype) =>
  [prototype, Reflect.ownKeys(prototype).length] as const
);

/** Nothing of the process has been changed that no restore may change. */
function assertUnharmed(): void {
  for (const [prototype, count] of pristine) assert.equal(Reflect.ownKeys(prototype).length, count);
  const { registeredVariables } = tf.engine() as unknown as { readonly registeredVariables: Record<string, unknown> };
  assert.equal(Object.getPrototypeOf(registeredVariables), Object.prototype);
  for (const [name, variable] of Object.entries(registeredVariables)) {
    assert.ok(variable instanceof tf.Variable && variable.name === name && !variable.isDisposed, name);
  }
}

async function rich(): Promise<object> {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [1], name: "head" })] });
  model.compile({ optimizer: "adam", loss: "meanSquaredError" });
  const state = {
    ...small(),
    model,
    optimizer: tf.train.sgd(0.1),
    scaler: Scaler.make(),
    nested: { list: [tf.variable(tf.scalar(2)), tf.scalar(3)] },
  };
  await trainModels(state);
  return state;
}

interface Body {
  readonly components: readonly (readonly [string, Json])[];
  readonly order: readonly (readonly [string, readonly string[]])[];
  readonly [name: string]: Json;
}

/** What became of forged checkpoints. */
interface Tally {
  damaged: number;
  refused: number;
  restored: number;
}

/** Loads a forged checkpoint in both ways: neither throws, hangs nor harms, and what fails changes nothing. */
async function assertHarmless(store: Store, live: object, tally: Tally): Promise<void> {
  const before = await observed(live);
  const into = await loadState(store)(live)();
  if (into._tag === "Left") assert.deepEqual(await observed(live), before);
  assertUnharmed();
  const read = await readSnapshot(store)();
  if (read._tag === "Left") return void tally.damaged++;
  const memory = tf.memory();
  const known = new Set(Object.values(tf.engine().registeredVariables));
  const fresh = restoreState(read.right);
  tally[fresh._tag === "Left" ? "refused" : "restored"]++;
  if (fresh._tag === "Left") assert.deepEqual(tf.memory(), memory);
  assertUnharmed();
  for (const variable of Object.values(tf.engine().registeredVariables)) if (!known.has(variable)) variable.dispose();
}

test("manifest: no code: one with any parts replaced neither throws nor hangs, and a failed load changes nothing", async () => {
  const store = memory();
  await runOrThrow(saveState(store, { note: { lr: -0, name: "x" } })(await rich()));
  const body: Body = JSON.parse(bodyOf(await manifestOf(store)));
  const anywhere = pathsIn(body);
  const nodes = body.components.flatMap(([, tree], i) => nodesIn(tree, ["components", String(i), "1"]));
  const at = (paths: readonly (readonly string[])[]): fc.Arbitrary<readonly string[]> =>
    fc.nat(paths.length - 1).map((i) => paths[i] ?? []);
  const change = fc.oneof(
    fc.tuple(at(anywhere), fc.option(hostile, { nil: undefined })),
    fc.tuple(at(nodes), wild),
    fc.tuple(at(nodes), at(nodes).map((path) => partAt(body, path))),
    fc.tuple(at(nodes), at(nodes).map((path) => partAt(body, path))),
  );
  const live = await rich();
  const tally: Tally = { damaged: 0, refused: 0, restored: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 2 }), async (changes) => {
      const changed = changes.reduce<Json>((json, [path, by]) => replaced(json, path, by), body);
      await assertHarmless(await forged(store, JSON.stringify(changed)), live, tally);
    }),
    { numRuns: 100 * torture },
  );
  // All three ways must have been tried often, or this test shows nothing.
  assert.ok(Math.min(tally.damaged, tally.refused, tally.restored) >= 10, JSON.stringify(tally));
});

test("manifest: all or nothing: a configuration with an optimizer in place of an initializer leaves no tensor", async () => {
  const store = memory();
  await runOrThrow(saveState(store)(await rich()));
  const body: Body = JSON.parse(bodyOf(await manifestOf(store)));
  const text = JSON.stringify(body);
  const tally: Tally = { damaged: 0, refused: 0, restored: 0 };
  for (const optimizer of ["SGD", "Momentum", "Adagrad", "Adadelta", "Adam", "Adamax", "RMSProp"]) {
    const changed = text.replaceAll(/"(VarianceScaling|GlorotNormal)"/g, JSON.stringify(optimizer));
    assert.notEqual(changed, text);
    await assertHarmless(await forged(store, changed), await rich(), tally);
  }
  // Some do as initializers for weights that are overwritten anyway; the others must have been refused with nothing left.
  assert.ok(tally.refused >= 3 && tally.damaged === 0, JSON.stringify(tally));
});

test("manifest: no code: trees and orders of any well-formed parts neither throw nor hang", async () => {
  const store = memory();
  await runOrThrow(saveState(store)(await rich()));
  const body: Body = JSON.parse(bodyOf(await manifestOf(store)));
  const [names, paths] = [body.components.map(([name]) => name), body.order.flatMap(([, paths]) => paths)];
  const orders = fc.array(
    fc.tuple(kinds, fc.array(fc.oneof(fc.constantFrom(...names, ...paths), words), { maxLength: 4 })),
    {
      maxLength: 4,
    },
  );
  const trees = fc.uniqueArray(fc.tuple(words.filter((name) => name.isWellFormed() && name !== ""), wild), {
    maxLength: 3,
    selector: ([name]) => name,
  });
  const tally: Tally = { damaged: 0, refused: 0, restored: 0 };
  await fc.assert(
    fc.asyncProperty(trees, orders, fc.boolean(), async (more, order, alone) => {
      const own = new Set(more.map(([name]) => name));
      const components = [...alone ? [] : body.components.filter(([name]) => !own.has(name)), ...more];
      const files = alone ? [] : body["files"];
      const changed = JSON.stringify({ ...body, components, files, order: order as unknown as Json });
      await assertHarmless(await forged(store, changed), { more: 1 }, tally);
    }),
    { numRuns: 100 * torture },
  );
  assert.ok(Math.min(tally.refused, tally.restored) >= 10, JSON.stringify(tally));
});

test("manifest: no code: trees that are too deep, and names that leave the folder, are errors", async () => {
  const store = memory();
  await runOrThrow(saveState(store)({ v: tf.scalar(1) }));
  const body = bodyOf(await manifestOf(store));
  const start = body.indexOf('"components":');
  for (const depth of [4000, 100_000]) {
    for (
      const [open, close] of [["[", "]"], ['{"aside":', "}"], ['{"record":[["x",', "]]}"], [
        '{"kind":"x","state":',
        "}",
      ]]
    ) {
      const deep = `${open?.repeat(depth)}1${close?.repeat(depth)}`;
      const result = decodeManifest(sealed(`${body.slice(0, start)}"components":[["x",${deep}]]}`));
      assert.equal(result._tag, "Left");
    }
  }
  for (const name of ["../v.safetensors", "/etc/passwd", "state/../../v", "snapshot.json", "state/V.safetensors", ""]) {
    const result = decodeManifest(sealed(body.replace("state/v.safetensors", name)));
    assert.equal(result._tag, "Left", name);
  }
  const twice = JSON.parse(body) as { components: Json[] };
  twice.components = [...twice.components, ...twice.components];
  assert.equal(decodeManifest(sealed(JSON.stringify(twice)))._tag, "Left");
});

/** The body of a manifest with these parts, right in all else. */
function bodyWith(parts: Readonly<Record<string, unknown>>): string {
  const environment = { dogear: "0", tfjs: "4", runtime: "x", backend: "cpu" };
  const summary = {
    run: "r",
    step: 1,
    metrics: [],
    time: 1,
    parent: null,
    environment,
    id: null,
    files: [],
    order: [],
  };
  return JSON.stringify({ ...summary, components: [["a", 1]], ...parts });
}

test("manifest: a note that no save writes is damage with its path", () => {
  const notes: readonly Json[] = [
    null,
    1,
    {},
    ["lr"],
    [["lr"]],
    [["lr", 1, 2]],
    [["lr", 1], ["lr", 1]],
    [["lr", [1]]],
    [["lr", { number: "1" }]],
    [["lr", { lr: 1 }]],
    [[1, 1]],
    "x".repeat(4095),
    Array.from({ length: 1000 }, (_, i) => [`name ${i}`, i]),
  ];
  for (const note of notes) {
    const result = decodeManifest(sealed(bodyWith({ note })));
    assert.ok(result._tag === "Left" && "problems" in result.left, JSON.stringify(note).slice(0, 80));
    assert.deepEqual(result.left.problems.map(({ path, expected }) => [path, expected]), [[
      "snapshot.json/note",
      "a note",
    ]]);
  }
  for (const note of ["", [], [["", null]], [["lr", { number: "NaN" }]]]) {
    assert.equal(decodeManifest(sealed(bodyWith({ note })))._tag, "Right");
  }
});

test("manifest: no code: decoding takes time linear in its length, and deep nesting is rejected before recursion", () => {
  const file = (name: string): Json => [name, 1, "00000000", null];
  const numbers = Array.from({ length: 60_000 }, (_, i) => i);
  const arrays = numbers.slice(0, 20_000).map((i) => ({ array: ["float32", [1], 0, `t${i}`] }));
  const long = "n".repeat(2_000_000);
  const manifests: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    files: { files: numbers.map((i) => file(`state/a.${String(i + 1).padStart(5, "0")}-of-99999.safetensors`)) },
    "components with a file each": {
      components: numbers.map((i) => [`c${i}`, 1]),
      files: numbers.map((i) => file(`state/c${i}.safetensors`)),
    },
    "arrays under a long name": {
      components: [["a", { record: [[long, arrays]] }]],
      files: [file("state/a.safetensors")],
    },
    "arrays in a component of a long name": { components: [[long, arrays]], files: [file("model.safetensors")] },
  };
  for (const [name, parts] of Object.entries(manifests)) {
    const bytes = sealed(bodyWith(parts));
    // The process's own time: other work on the machine must not decide.
    const start = process.cpuUsage();
    const decoded = decodeManifest(bytes);
    const { user, system } = process.cpuUsage(start);
    assert.ok(user + system < 4_000_000, `${name}: ${(user + system) / 1000} ms`);
    assert.ok(decoded._tag === "Right");
  }
  for (const [open, close] of [["[", "]"], ['{"aside":', "}"], ['{"record":[["x",', "]]}"]] as const) {
    const deep = `${open.repeat(1e6)}1${close.repeat(1e6)}`;
    const result = decodeManifest(sealed(bodyWith({ components: [["a", "deep"]] }).replace('"deep"', deep)));
    assert.ok(result._tag === "Left" && "problems" in result.left);
    assert.match(result.left.problems[0]!.expected, /^values nested at most \d+ deep$/);
  }
  // Brackets in strings are none.
  assert.equal(decodeManifest(sealed(bodyWith({ components: [["a", `\\"${"[".repeat(20_000)}`]] })))._tag, "Right");
});

test("manifest: one above the length limit is neither written nor read", async () => {
  const store = memory();
  const text = "x".repeat(mostManifestBytes + 1);
  const refused = await saveState(store)({ text })();
  assert.ok(refused._tag === "Left" && refused.left._tag === "StoreFailed" && refused.left.code === "EFBIG");
  assert.deepEqual(right(await store.list()), []);
  await runOrThrow(saveState(store)({ step: 1 }));
  const long: Store = { ...store, manifest: () => TE.right(new Uint8Array(mostManifestBytes + 1)) };
  const read = await loadState(long)({ step: 0 })();
  assert.ok(read._tag === "Left" && read.left._tag === "StoreFailed" && read.left.code === "EFBIG");
});

// --- other tools

/** The names of the tensors in a part of a store's checkpoint, and what its header says beside. */
async function headerOf(
  store: Store,
  checkpoint: number,
  name: string,
): Promise<readonly [string[], Map<string, string>]> {
  const part = right(await store.open(checkpoint, name)());
  const bytes = new Uint8Array(part.bytes);
  right(await part.read(bytes, 0)());
  const header = decodeHeader(bytes, bytes.byteLength);
  if (header._tag === "Left") return assert.fail(JSON.stringify(header.left));
  return [header.right.tensors.map(({ name }) => name).sort(), new Map(header.right.metadata)];
}

test("model.safetensors: canonical: it has the names of tfjs, numbered by position, whatever was built before", async () => {
  const { bidirectional, dense, embedding, gru, lstmCell, rnn, timeDistributed } = tf.layers;
  const build = (): tf.Sequential =>
    tf.sequential({
      layers: [
        embedding({ inputDim: 2, outputDim: 2, inputLength: 3 }),
        timeDistributed({ layer: dense({ units: 2 }) }),
        bidirectional({ layer: gru({ units: 1, returnSequences: true }) as tf.RNN }),
        rnn({ cell: [lstmCell({ units: 1 }), lstmCell({ units: 2 })], returnSequences: true }),
        tf.layers.flatten(),
        dense({ units: 2 }),
        tf.sequential({ layers: [dense({ units: 2, inputShape: [2], useBias: false })] }),
        dense({ units: 1, name: "head" }),
      ],
    });
  const store = memory();
  for (let round = 0; round < 2; round++) {
    moveCounters();
    const [other, model] = [build(), build()];
    model.compile({ optimizer: "adam", loss: "meanSquaredError" });
    await trainModels({ model });
    const kernel = (model.layers[5]?.weights[0] as unknown as { readonly val: tf.Variable }).val;
    const state = { other, model, kernel };
    await runOrThrow(saveState(store)(state));
    await runOrThrow(saveState(store)(right(restoreState(await runOrThrow(readSnapshot(store)))) as object));
  }
  const cell = (prefix: string): string[] => ["bias", "kernel", "recurrent_kernel"].map((name) => `${prefix}/${name}`);
  const expected = [
    "embedding_Embedding1/embeddings",
    "time_distributed_TimeDistributed1/bias",
    "time_distributed_TimeDistributed1/kernel",
    ...cell("bidirectional_Bidirectional1/forward_gru_GRU1"),
    ...cell("bidirectional_Bidirectional1/backward_gru_GRU1"),
    ...cell("rnn_RNN1/RNNCell_0"),
    ...cell("rnn_RNN1/RNNCell_1"),
    "dense_Dense1/bias",
    "dense_Dense1/kernel",
    "dense_Dense2/kernel",
    "head/bias",
    "head/kernel",
  ].sort();
  for (let checkpoint = 0; checkpoint < 4; checkpoint++) {
    const [names, metadata] = await headerOf(store, checkpoint, "model.safetensors");
    assert.deepEqual(names, expected);
    assert.equal(metadata.get("format"), "pt");
  }
});
