import {
  captureState,
  directory,
  id,
  list,
  Loader,
  loadState,
  memory,
  type NoCodecs,
  readSnapshot,
  restoreInto,
  restoreState,
  resume,
  Retention,
  runOrThrow,
  saver,
  saveState,
  skip,
  type StateTree,
  train,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import * as t from "io-ts";
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { maxDepth } from "../../lib/state/tree.ts";

let folder = "";
before(async () => {
  await tf.setBackend("cpu");
  folder = await mkdtemp(join(tmpdir(), "dogear-input-"));
});
after(() => rm(folder, { recursive: true, force: true }));

class Counter {
  n = 1;
}

function cyclic(): object {
  const data: Record<string, unknown> = { list: [] };
  (data["list"] as unknown[]).push(data);
  return data;
}

function disposed(make: () => tf.Tensor): tf.Tensor {
  const tensor = make();
  tensor.dispose();
  return tensor;
}

function disposedOptimizer(optimizer: tf.Optimizer): tf.Optimizer {
  optimizer.dispose();
  return optimizer;
}

function nested(depth: number): unknown {
  let data: unknown = 1;
  for (let i = 0; i < depth; i++) data = [data];
  return data;
}

type Uncapturable = readonly [what: string, components: () => object, path: RegExp];

function items(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

function named<A extends object>(value: A, name: PropertyKey): A {
  return Object.assign(value, { [name]: 1 });
}

const uncapturable: readonly Uncapturable[] = [
  ["a function", () => ({ a: { f: () => 1 } }), /a\/f:.*a function/],
  ["a symbol", () => ({ s: [Symbol("x")] }), /s\/0:.*Symbol/],
  ["undefined", () => ({ a: [1, undefined] }), /a\/1:.*found undefined: write null instead of undefined/],
  ["a hole in an array", () => ({ a: [1, , 3] }), /a\/1:/],
  ["a class instance", () => ({ a: { c: new Counter() } }), /a\/c:.*an instance of Counter: .*codecOf/],
  ["a Map", () => ({ m: new Map() }), /m:.*an instance of Map/],
  ["a Date", () => ({ d: new Date(0) }), /d:.*an instance of Date/],
  ["a promise", () => ({ p: Promise.resolve(1) }), /p:.*found a promise: await it$/],
  ["a cycle", () => ({ c: cyclic() }), /c\/list\/0:.*without a cycle/],
  ["the components in themselves", () => {
    const components: Record<string, unknown> = {};
    components["self"] = components;
    return components;
  }, /self:.*without a cycle/],
  ["a symbol as a name", () => ({ a: { [Symbol("x")]: 1 } }), /a:.*a symbol as a name/],
  ["data that is too deep", () => ({ a: nested(maxDepth + 2) }), /nested at most 1000 deep/],
  ["data that is deeper than any stack", () => ({ a: nested(200_000) }), /nested at most 1000 deep/],
  ["an array without a class", () => ({ a: Object.setPrototypeOf([1], null) }), /a:.*an array of no class/],
  ["a typed array whose buffer was transferred", () => {
    const a = new Uint8Array(8);
    structuredClone(a.buffer, { transfer: [a.buffer] });
    return { a: [a] };
  }, /a\/0:.*a Uint8Array whose buffer was transferred/],
  [
    "a record that inherits from another",
    () => ({ a: Object.create({ x: 1 }) }),
    /a:.*an object that inherits from another/,
  ],
  ["an array of a class", () => ({ a: new (class Ring extends Array {})() }), /a:.*class Ring/],
  ["an array with a name", () => ({ a: [Object.assign([1], { x: 2 })] }), /a\/0:.*names beside its items/],
  ["an array with a symbol", () => ({ a: Object.assign([1], { [Symbol("x")]: 2 }) }), /a:.*names beside its items/],
  ...[1, 64, 65, 256, 257, 1001, 100_000].flatMap((length): readonly Uncapturable[] => [
    [`a name beside ${length} items`, () => ({ a: [named(items(length), "x")] }), /a\/0:.*names beside its items: x/],
    [
      `a name that is not enumerable beside ${length} items`,
      () => ({ a: Object.defineProperty(items(length), "x", { value: 1 }) }),
      /a:.*names beside its items: x/,
    ],
    [`a symbol beside ${length} items`, () => ({ a: named(items(length), Symbol("x")) }), /a:.*Symbol\(x\)/],
    [`a name beside ${length} numbers`, () => ({ a: named(new Float32Array(length), "x") }), /a:.*its items: x/],
    [`a symbol beside ${length} numbers`, () => ({ a: named(new Int8Array(length), Symbol("x")) }), /a:.*Symbol\(x\)/],
  ]),
  ["a name that is a negative number beside items", () => ({ a: named([1], "-1") }), /a:.*names beside its items: -1/],
  ["an item that is computed", () => ({ a: Object.defineProperty([1, 2], 1, { get: () => 3 }) }), /a:.*its items: 1/],
  [
    "a property that is not enumerable",
    () => ({ a: Object.defineProperty({}, "x", { value: 1 }) }),
    /a\/x:.*enumerable/,
  ],
  ["an accessor", () => ({
    a: {
      get x() {
        return 1;
      },
    },
  }), /a\/x:.*an accessor/],
  ["a component that is not enumerable", () => Object.defineProperty({}, "x", { value: 1 }), /x:.*not enumerable/],
  ["two views of one buffer", () => {
    const buffer = new ArrayBuffer(8);
    return { v: { a: new Uint8Array(buffer), b: [new Float32Array(buffer)] } };
  }, /v\/b\/0:.*v\/a/],
  ["views that overlap in part, and others that do not", () => {
    const view = (from: number, length: number): Float32Array => new Float32Array(buffer, from, length);
    const buffer = new ArrayBuffer(64);
    return { a: view(40, 2), b: view(0, 2), c: view(12, 8), d: view(60, 1) };
  }, /c:.*of the bytes of a/],
  ["two views of a shared buffer", () => {
    const buffer = new SharedArrayBuffer(8);
    return { a: new Uint8Array(buffer), b: new Uint8Array(buffer, 7) };
  }, /b:.*of the bytes of a/],
  ["bytes of a class", () => ({ a: new (class Bytes extends Uint8Array {})(1) }), /a:.*an instance of Bytes/],
  ["a buffer without a type", () => ({ a: new ArrayBuffer(1) }), /a:.*an instance of ArrayBuffer/],
  ["an object with a prototype", () => ({ a: Object.create({ b: 1 }) }), /a:.*codec/],
  ["a disposed optimizer", () => ({ o: disposedOptimizer(tf.train.adam()) }), /o:.*a disposed Adam/],
  ["a disposed tensor", () => ({ t: { x: disposed(() => tf.scalar(1)) } }), /t\/x:.*disposed/],
  ["a disposed variable", () => ({ v: disposed(() => tf.variable(tf.scalar(1))) }), /v:.*disposed/],
  ["a malformed value of the toolkit", () => ({ r: { _tag: "Rng", state: [0] } }), /r:.*a malformed Rng/],
  ["an empty name", () => ({ "": 1 }), /"":.*not empty/],
  ["a name with a lone surrogate", () => ({ "\ud800": 1 }), /ud800.*lone surrogate/],
  ["an array as the components", () => [1], /the components:.*a record/],
  ["a tensor as the components", () => tf.scalar(1), /the components:.*a record/],
];

for (const [what, components, message] of uncapturable) {
  test(`bad input: ${what} is a TypeError that names its path, and nothing stays held`, async () => {
    const bad = { ...(Array.isArray(components()) ? {} : { first: tf.scalar(2) }) };
    const given = components();
    const whole: object = Array.isArray(given) || given instanceof tf.Tensor ? given : Object.assign(given, bad);
    const tensors = tf.memory();
    assert.throws(() => captureState(whole), (error) => error instanceof TypeError && message.test(error.message));
    assert.deepEqual(tf.memory(), tensors);
    // A saving task rejects with the same, when it is run and not when it is built.
    const task = saveState(memory())(whole);
    await assert.rejects(task, TypeError);
    tf.dispose(bad);
  });
}

test("plain data: views of one buffer that share no bytes, and one array in two places, come back", () => {
  const buffer = new ArrayBuffer(64);
  const both = new Uint8Array(buffer, 32, 8);
  const state = {
    a: new Float32Array(buffer, 0, 4),
    b: new Int16Array(buffer, 16, 8),
    both: [both, both],
    none: new Uint8Array(buffer, 32, 0),
  };
  using snapshot = captureState(state);
  const restored = restoreState(snapshot);
  assert.deepEqual(restored, { _tag: "Right", right: state });
  assert(restored._tag === "Right" && restored.right.both[0] === restored.right.both[1]);
});

test("plain data: what a codec encodes may be views of one buffer", () => {
  const codec = new t.Type<Uint8Array, StateTree>(
    "whole and half",
    (u): u is Uint8Array => u instanceof Uint8Array,
    (u) => t.success((u as readonly Uint8Array[])[0] as Uint8Array),
    (bytes) => [bytes.subarray(0), bytes.subarray(1)],
  );
  using snapshot = captureState({ bytes: new Uint8Array([1, 2]) }, { codecs: { bytes: codec } });
  assert.equal(restoreState(snapshot, { codecs: { bytes: codec } })._tag, "Right");
});

test("bad input: codecs and live components that do not fit are named", () => {
  const codecs = { best: t.number };
  const given = { last: 1 } as unknown as { best: number };
  assert.throws(() => captureState(given, { codecs }), /best: expected a component for the codec of this name/);
  const wrong = { best: "1" } as unknown as { best: number };
  assert.throws(() => captureState(wrong, { codecs }), /best: expected a value of its codec number, found "1"/);
  for (const live of [[1], tf.scalar(1), new Map(), null, "state", () => 1] as object[]) {
    assert.throws(() => restoreInto(live), (error) => error instanceof TypeError && /a record/.test(error.message));
  }
  const snapshot = captureState({ last: 1 });
  const restored = restoreState(snapshot, { codecs } as unknown as { readonly codecs: NoCodecs });
  assert.ok(restored._tag === "Left" && restored.left._tag === "Mismatch");
  assert.deepEqual(restored.left.problems.map(({ path, kind }) => [path, kind]), [["best", "missing"]]);
});

test("bad input: invalid numbers for a loader are a TypeError at once", () => {
  const data = Loader.fromArray([1, 2, 3]);
  for (const bad of [-1, 1.5, NaN, Infinity, "2" as unknown as number]) {
    assert.throws(() => skip(bad), TypeError, `skip(${bad})`);
    assert.throws(() => Loader.take(bad), TypeError, `take(${bad})`);
    assert.throws(() => Loader.batch(bad), TypeError, `batch(${bad})`);
  }
  assert.throws(() => Loader.batch(0), TypeError);
  assert.throws(() => Loader.shard({ rank: 2, world: 2 }), TypeError);
  assert.throws(() => skip(1)(null as unknown as number[]), TypeError);
  assert.equal(Loader.length(data), 3);
});

test("bad input: an empty data set gives no item and ends, also with repeat()", async () => {
  const loader = Loader.repeat()(Loader.fromArray<number>([]));
  const store = memory();
  const state = { cursor: Loader.start(loader), n: 0 };
  const done = await runOrThrow(
    train({ loader, step: (s: typeof state) => ({ ...s, n: s.n + 1 }), save: { to: store } })(state),
  );
  assert.equal(done.n, 0);
});

test("bad input: a state without a cursor, and options that make no sense, are a TypeError", async () => {
  const loader = Loader.fromArray([1]);
  await assert.rejects(train({ loader, step: (s: object) => s })({} as never), /Loader\.start/);
  assert.throws(() => train({ loader, step: (s: object) => s, save: { to: memory(), every: 0 } }), TypeError);
  assert.throws(() => directory(""), TypeError);
});

test("bad input: a store path that is a file, or under one, is an error that names it", async () => {
  const file = join(folder, "file");
  await writeFile(file, "not a folder");
  for (const path of [file, join(file, "below")]) {
    for (const result of [await saveState(directory(path))({ a: 1 })(), await resume(directory(path))({ a: 1 })()]) {
      assert.ok(result._tag === "Left" && result.left._tag === "StoreFailed");
      assert.ok(result.left.path.startsWith(file));
    }
  }
});

test("names: whatever a component is called, it comes back as it was and stays in the folder", async () => {
  const names = [
    "../x",
    "__proto__",
    "constructor",
    "a/b",
    "a",
    "x".repeat(300),
    "x".repeat(299) + "y",
    "Model",
    "model",
    "MODEL",
    "~",
    "~1",
    "%",
    "é",
    "𝄞",
    "a\0b",
    "CON",
    " ",
    "snapshot.json",
    "0",
    "10",
    "2",
    "__metadata__",
  ];
  const build = (value: number): Record<string, tf.Variable> =>
    Object.fromEntries(names.map((name, i) => [name, tf.variable(tf.tensor([value * i]))]));
  const [saved, live] = [build(1), build(-1)];
  const path = join(folder, "names");
  await runOrThrow(saveState(directory(path))(saved));
  const loaded = await runOrThrow(loadState(directory(path))(live));
  assert.deepEqual(Object.keys(loaded), Object.keys(saved));
  for (const [i, name] of names.entries()) {
    const own = Object.getOwnPropertyDescriptor(loaded, name)?.value as tf.Variable;
    assert.equal(own.dataSync()[0], i, name);
  }
  assert.equal(await id(captureState(loaded))(), await id(captureState(saved))());
  const files = await readdir(path, { recursive: true, withFileTypes: true });
  const plain = files.filter((entry) => entry.isFile()).map((entry) =>
    relative(path, join(entry.parentPath, entry.name))
  );
  assert.equal(new Set(plain.map((file) => file.toLowerCase())).size, names.length + 1);
  assert.deepEqual(await readdir(folder).then((entries) => entries.filter((name) => name.startsWith("x"))), []);
});

test("names: records keep names of any form, in their order", async () => {
  const data = JSON.parse('{"": 1, "__proto__": {"a": 2}, "b/c": 3, "~": 4, "10": 5, "2": 6, "toString": 7}');
  const store = memory();
  await runOrThrow(saveState(store)({ data }));
  const { data: loaded } = await runOrThrow(loadState(store)({ data: {} }));
  assert.equal(JSON.stringify(loaded), JSON.stringify(data));
  assert.equal(Object.getPrototypeOf(loaded), Object.prototype);
});

/** Wrong calls from code that no compiler checks. */
// deno-lint-ignore no-explicit-any -- to call it as a script without types would
const unchecked = { directory, memory, saveState, saver, resume, loadState, list, readSnapshot, train } as any;
const loader = Loader.fromArray([1]);
const step = (state: object): object => state;

const misused: readonly (readonly [what: string, call: () => unknown, found: RegExp])[] = [
  ["a path that is no string", () => unchecked.directory(5), /path on this machine, found 5: write it as a string/],
  ["no options", () => unchecked.directory("x", null), /record of options, found null/],
  [
    "a misspelt option",
    () => unchecked.directory("x", { retain: Retention.latest(1) }),
    /an option of a store: keep, digest, found `retain`/,
  ],
  ["a policy that is none", () => unchecked.memory({ keep: 3 }), /keep to be a policy.*found 3/],
  ["a digest that is none", () => unchecked.directory("x", { digest: "md5" }), /"crc32" or "sha256", found "md5"/],
  ["a path for a store, to save to", () => unchecked.saveState("x"), /store.*found "x"/],
  ["a path for a store, to save beside", () => unchecked.saver("x"), /store.*found "x"/],
  ["a path for a store, to load from", () => unchecked.loadState("x")({})(), /store.*found "x"/],
  ["a path for a store, to read from", () => unchecked.readSnapshot("x")(), /store.*found "x"/],
  ["another way to be busy", () => unchecked.saver(memory(), { whenBusy: "nope" }), /whenBusy to be.*found "nope"/],
  ["a policy without a store", () => unchecked.train({ loader, step, save: { every: 1 } }), /store.*found undefined/],
  ["a signal that nobody sends", () => unchecked.train({ loader, step, stopOn: ["SIGFOO"] }), /signal.*found "SIGFOO"/],
  ["a task without its state", () => runOrThrow(unchecked.saveState(memory())), /nothing was done/],
];

for (const [what, call, found] of misused) {
  test(`bad input: ${what} is a TypeError at once`, () =>
    assert.rejects(async () => await call(), (error) => error instanceof TypeError && found.test(error.message)));
}
