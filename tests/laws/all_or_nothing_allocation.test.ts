/**
 * Room that is not there: claimed by a file, or refused by the engine at any allocation, it is an error value, and nothing is half done.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { crc32 } from "node:zlib";
import {
  type captureState,
  directory,
  type DogearError,
  explain,
  list,
  loadState,
  memory,
  readSnapshot,
  restoreInto,
  restoreState,
  resume,
  runOrThrow,
  saver,
  saveState,
  type Store,
  writeSnapshot,
} from "../../mod.ts";
import type { Either } from "fp-ts/lib/Either.js";
import { verifyCheckpoint } from "../../lib/checkpoint/verify.ts";
import { left, observed, right } from "../support/laws.ts";
import { torture } from "../support/torture.ts";

let folder = "";
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "dogear-room-"));
  await tf.setBackend("cpu");
});
after(() => rmSync(folder, { recursive: true, force: true }));

// --- files that claim more than there is

/** A checkpoint of components that are one tensor each, whose files are sparse: they have their length, and take no room. */
function sparse(name: string, tensors: Readonly<Record<string, readonly number[]>>): string {
  const root = join(folder, name);
  const checkpoint = join(root, "checkpoints", "checkpoint_0");
  mkdirSync(join(checkpoint, "state"), { recursive: true });
  const parts = Object.entries(tensors).map(([component, shape], i) => {
    const bytes = shape.reduce((a, b) => a * b, 4);
    const text = JSON.stringify({ [component]: { dtype: "F32", shape, data_offsets: [0, bytes] } });
    const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const file = `state/${component}.safetensors`;
    writeFileSync(join(checkpoint, file), Buffer.concat([length, header]));
    truncateSync(join(checkpoint, file), 8 + header.length + bytes);
    return {
      file: [file, 8 + header.length + bytes, "00000000", null],
      component: [component, { array: ["float32", shape, i, component] }],
    };
  });
  const manifest = JSON.stringify({
    run: "r",
    step: 1,
    metrics: [],
    time: 1,
    parent: null,
    environment: { dogear: "0.1.0", tfjs: "4.22.0", runtime: "x", backend: "cpu" },
    id: null,
    files: parts.map(({ file }) => file),
    order: [],
    components: parts.map(({ component }) => component),
  });
  const digest = (crc32(manifest) >>> 0).toString(16).padStart(8, "0");
  writeFileSync(
    join(checkpoint, "snapshot.json"),
    `{"format":"dogear/1","crc32":"${digest}","manifest":${manifest}}\n`,
  );
  return root;
}

/** A store in which every read of a part's data is counted, and fails the test where that is asked for. */
function counting(store: Store): { readonly store: Store; readonly reads: () => number } {
  let reads = 0;
  const open: Store["open"] = (checkpoint, name) => async () => {
    const part = await store.open(checkpoint, name)();
    if (part._tag === "Left") return part;
    const read: typeof part.right.read = (into, position) => {
      reads++;
      return part.right.read(into, position);
    };
    return { _tag: "Right", right: { ...part.right, read } };
  };
  return { store: { ...store, open }, reads: () => reads };
}

const gibi = 2 ** 28;

for (
  const [name, tensors] of [
    ["one tensor of 100 GiB", { a: [100 * gibi] }],
    ["a hundred tensors of 1 GiB", Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`a${i}`, [gibi]]))],
  ] as const
) {
  test(`nothing silent: a sparse file that claims ${name} is an error value`, async () => {
    const { store, reads } = counting(directory(sparse(name, tensors)));
    const live = Object.fromEntries(Object.keys(tensors).map((component) => [component, tf.tensor([1, 2, 3, 4])]));
    for (const task of [readSnapshot(store), loadState(store)({}), resume(store)({})]) {
      const error = left(await task());
      assert.deepEqual([error._tag, error._tag === "StoreFailed" && error.code], ["StoreFailed", "ENOMEM"]);
      assert.match(explain(error), /tensors take \d+ bytes, and this machine has \d+.*memory/);
    }
    const error = left(await loadState(store)(live)());
    assert.equal(error._tag, "Mismatch");
    assert.deepEqual(
      error._tag === "Mismatch" && error.problems.slice(0, 1).map(({ kind, path }) => [kind, path]),
      [["shape", Object.keys(tensors)[0]]],
    );
    assert.equal(error._tag === "Mismatch" && error.problems.length, Object.keys(tensors).length);
    assert.equal(reads(), 0);
    tf.dispose(live);
  });
}

test("nothing silent: shapes that differ are said with all else that does, before a byte of tensors is read", async () => {
  const inner = memory();
  const make = (units: number): { readonly model: tf.LayersModel; readonly w: tf.Variable; readonly step: number } => ({
    model: tf.sequential({ layers: [tf.layers.dense({ units, inputShape: [3] })] }),
    w: tf.variable(tf.ones([units])),
    step: 3,
  });
  await runOrThrow(saveState(inner)({ ...make(2), other: 1 }));
  const { store, reads } = counting(inner);
  const live = { ...make(4), more: 1 };
  const error = left(await loadState(store)(live)());
  assert.equal(reads(), 0);
  // As a restore lists them that has the bytes.
  using snapshot = await runOrThrow(readSnapshot(store));
  const whole = left(restoreInto(live as object)(snapshot)());
  assert.ok(error._tag === "Mismatch" && whole._tag === "Mismatch");
  assert.deepEqual([error.problems, error.checkpoint], [whole.problems, 0]);
  assert.ok(error.problems.length >= 4, explain(error));
  // What is left out may differ.
  const partly = await runOrThrow(loadState(store, { only: ["step"] })(live));
  assert.equal(partly.step, 3);
  tf.disposeVariables();
});

// --- allocations that fail

const arrays = ["Uint8Array", "Float32Array", "Int32Array", "Uint32Array", "Float64Array", "ArrayBuffer"] as const;

/** Runs with the n-th allocation of typed memory refused, by the engine's own error: whether there were so many. */
async function without<A>(nth: number, run: () => A | Promise<A>): Promise<readonly [result: A, refused: boolean]> {
  const scope = globalThis as unknown as Record<string, new (...args: readonly unknown[]) => object>;
  const own = arrays.map((name) => [name, scope[name]!] as const);
  let count = 0;
  const refuse = (bytes: unknown): void => {
    if (typeof bytes === "number" && bytes > 0 && ++count === nth) {
      throw new RangeError("Array buffer allocation failed");
    }
  };
  const prototype = Object.getPrototypeOf(Uint8Array.prototype) as { slice: (...args: unknown[]) => object };
  const { slice } = prototype;
  prototype.slice = function (this: { readonly length: number }, ...args) {
    refuse(this.length);
    return slice.apply(this, args as []);
  };
  for (const [name, Class] of own) {
    scope[name] = new Proxy(Class, {
      construct: (target, args, newTarget) => {
        refuse(args[0]);
        return Reflect.construct(target, args, newTarget === scope[name] ? target : newTarget);
      },
    });
  }
  try {
    return [await run(), count >= nth];
  } finally {
    prototype.slice = slice;
    for (const [name, Class] of own) scope[name] = Class;
  }
}

type Snapshot = ReturnType<typeof captureState>;

interface Live {
  readonly model: tf.LayersModel;
  readonly optimizer: tf.Optimizer;
  readonly w: tf.Variable;
  readonly average: tf.Tensor;
  readonly order: Int32Array;
  readonly step: number;
}

function make(scale: number): Live {
  const layers = [tf.layers.dense({ units: 2, inputShape: [2], kernelInitializer: "ones" })];
  const w = tf.variable(tf.fill([3], scale));
  const optimizer = tf.train.adam(0.1);
  tf.tidy(() => void optimizer.minimize(() => w.square().sum().asScalar(), false, [w]));
  const order = Int32Array.from([scale, 2, 3]);
  return { model: tf.sequential({ layers }), optimizer, w, average: tf.tensor([scale, 2]), order, step: scale };
}

/** What is done with a store that has two checkpoints, live components and the older one as a snapshot. */
type Act = (store: Store, live: Live, snapshot: Snapshot) => Promise<Either<DogearError, unknown>>;

const acts: Readonly<Record<string, Act>> = {
  saveState: (store, live) => saveState(store, { id: true })(live)(),
  writeSnapshot: (store, _, snapshot) => writeSnapshot(store)(snapshot)(),
  saver: async (store, live) => {
    const { save, drain } = saver(store);
    const [saved, drained] = [await save(live)(), await drain()];
    return saved._tag === "Left" ? saved : drained;
  },
  loadState: (store, live) => loadState(store)(live)(),
  resume: (store, live) => resume(store)(live)(),
  "loadState of a part": (store, live) => loadState(store, { only: ["w", "order"] })(live)(),
  readSnapshot: (store) => readSnapshot(store)(),
  list: (store) => list(store)(),
  verify: (store) => verifyCheckpoint(store, 1)(),
  restoreState: (_, _live, snapshot) => Promise.resolve(restoreState(snapshot)),
  restoreInto: (_, live, snapshot) => Promise.resolve(restoreInto(live as object)(snapshot)()),
};

for (
  const [kind, storeOf] of [["memory", () => memory()], [
    "directory",
    () => directory(mkdtempSync(join(folder, "run-"))),
  ]] as const
) {
  for (const [name, act] of Object.entries(acts)) {
    test(`old or new, all or nothing: ${name} in a ${kind} with any allocation refused`, async () => {
      const store = storeOf();
      const first = make(1);
      await runOrThrow(saveState(store)(first));
      await runOrThrow(saveState(store)(first));
      using snapshot = await runOrThrow(readSnapshot(store, { checkpoint: 0 }));
      let failures = 0;
      for (let nth = 1; nth <= (kind === "memory" ? 40 * torture : Math.ceil(16 * Math.sqrt(torture))); nth++) {
        const live = make(2);
        const seen = await observed(live);
        const [result, refused] = await without(nth, () => act(store, live, snapshot as Snapshot));
        if (result._tag === "Left") {
          failures++;
          assert.ok(["StoreFailed", "Mismatch", "Damaged"].includes(result.left._tag), explain(result.left));
          assert.deepEqual(await observed(live), seen, `allocation ${nth}: ${explain(result.left)}`);
        }
        tf.disposeVariables();
        if (!refused) break;
      }
      // What was listed before is known without a read.
      if (name !== "list") assert.ok(failures > 0, "none was refused");
      // The store is whole: all that it lists verifies.
      const numbers = right(await store.list());
      assert.deepEqual(numbers.slice(0, 2), [0, 1]);
      for (const number of numbers) right(await verifyCheckpoint(store, number)());
      if (kind === "directory") assert.ok(existsSync(store.location));
      tf.disposeVariables();
    });
  }
}

// --- stores that throw

/** A store whose n-th answer, of whatever sort, is an exception: thrown, or a promise that rejects. */
function throwing(store: Store, nth: number): { readonly store: Store; readonly thrown: () => boolean } {
  let count = 0;
  const next = (): void => {
    if (++count === nth) throw new RangeError("Array buffer allocation failed");
  };
  const wrapped = (value: unknown): unknown => {
    if (typeof value === "function") {
      return (...args: readonly unknown[]): unknown => {
        next();
        return wrapped((value as (...args: readonly unknown[]) => unknown)(...args));
      };
    }
    if (value instanceof Promise) {
      return value.then((result) => {
        next();
        return wrapped(result);
      });
    }
    const { _tag, right } = Object(value) as { readonly _tag?: string; readonly right?: object };
    if (_tag !== "Right" || typeof right !== "object" || ArrayBuffer.isView(right) || Array.isArray(right)) {
      return value;
    }
    return { _tag, right: Object.fromEntries(Object.entries(right).map(([name, part]) => [name, wrapped(part)])) };
  };
  const names = ["list", "begin", "manifest", "open", "status", "remove", "candidates"] as const;
  const methods = names.flatMap((name) => store[name] === undefined ? [] : [[name, wrapped(store[name])] as const]);
  return { store: { ...store, ...Object.fromEntries(methods) }, thrown: () => count >= nth };
}

for (const name of Object.keys(acts).filter((name) => !/^restore|^verify$/.test(name))) {
  test(`old or new, all or nothing: ${name} with any answer of the store an exception`, async () => {
    const store = memory();
    await runOrThrow(saveState(store)(make(1)));
    using snapshot = await runOrThrow(readSnapshot(store));
    let lefts = 0;
    for (let nth = 1; nth <= 60; nth++) {
      const live = make(2);
      const seen = await observed(live);
      const faulty = throwing(store, nth);
      const result = await acts[name]!(faulty.store, live, snapshot as Snapshot);
      if (result._tag === "Left") {
        lefts++;
        assert.deepEqual(await observed(live), seen, `answer ${nth}: ${explain(result.left)}`);
      }
      tf.disposeVariables();
      if (!faulty.thrown()) break;
    }
    assert.ok(lefts > 0, "none was thrown");
    for (const number of right(await store.list())) right(await verifyCheckpoint(store, number)());
  });
}
