/**
 * `readTensor`: one tensor of a checkpoint, or some of its rows, without the rest.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";
import {
  explain,
  type LoadError,
  memory,
  readTensor,
  runOrThrow,
  saveState,
  type Store,
  type TensorData,
} from "../../mod.ts";
import { modelFile } from "../../lib/checkpoint/tensor_names.ts";
import type { TypedArray } from "../../lib/state/array.ts";
import { type OpenPart, storeFailed } from "../../lib/store/store.ts";
import { torture } from "../support/torture.ts";

await tf.setBackend("cpu");

async function left(task: TE.TaskEither<LoadError, unknown>): Promise<LoadError> {
  const result = await task();
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

/** The state that most tests read: a model of two layers, tensors of every dtype, every class of typed array, nested data. */
function state() {
  const model = tf.sequential({
    layers: [tf.layers.dense({ units: 3, inputShape: [2] }), tf.layers.dense({ units: 1, name: "head" })],
  });
  const v = tf.variable(tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]));
  return {
    model,
    v,
    dtypes: {
      float32: tf.tensor2d([0.5, -0, NaN, Infinity], [2, 2]),
      int32: tf.tensor1d([1, -2, 3], "int32"),
      bool: tf.tensor1d([true, false, true], "bool"),
      complex64: tf.complex([1, 2], [3, 4]),
      string: tf.tensor2d(["a", "", "é", "long text"], [2, 2]),
    },
    "a/b": { "~": [1, Float64Array.of(0.1, 0.2)] },
    alias: v,
    scalar: tf.scalar(7),
    none: tf.zeros([0, 3]),
    step: 1,
  };
}

const store = memory();
const saved = state();
await runOrThrow(saveState(store)(saved));
const read = (path: string, more = {}): Promise<TensorData> => runOrThrow(readTensor(store, { path, ...more }));

/** A store that records which parts are opened, and how many bytes of each are read. */
function watched(inner: Store): { readonly store: Store; readonly bytes: Map<string, number> } {
  const bytes = new Map<string, number>();
  const watch = (name: string) => (part: OpenPart): OpenPart => {
    bytes.set(name, 0);
    return {
      ...part,
      read: (into, position) => {
        bytes.set(name, bytes.get(name)! + into.byteLength);
        return part.read(into, position);
      },
    };
  };
  return { store: { ...inner, open: (n, name) => TE.map(watch(name))(inner.open(n, name)) }, bytes };
}

/** The bytes of a part of the first checkpoint. */
async function partOf(store: Store, name: string): Promise<Buffer> {
  const part = await runOrThrow(store.open(0, name));
  const bytes = Buffer.alloc(part.bytes);
  await runOrThrow(part.read(bytes, 0));
  return bytes;
}

/** A store in which a byte of a part is flipped, counted from the end. */
function flipped(inner: Store, name: string, back: number): Store {
  return {
    ...inner,
    open: (n, part) =>
      TE.map((open: OpenPart): OpenPart => ({
        ...open,
        read: (into, position) =>
          TE.map(() => {
            const at = open.bytes - back - position;
            if (part === name && at >= 0 && at < into.byteLength) into[at]! ^= 1;
          })(open.read(into, position)),
      }))(inner.open(n, part)),
  };
}

test("readTensor: every dtype and its values, by path or by name in the file, verified or not", async () => {
  for (const more of [{}, { verify: false }]) {
    for (const dtype of ["float32", "int32", "bool"] as const) {
      const tensor = saved.dtypes[dtype];
      const found = await read(`dtypes/${dtype}`, more);
      assert.deepEqual([found.dtype, found.shape], [dtype, tensor.shape]);
      assert.deepEqual(found.values, tensor.dataSync());
    }
    assert.deepEqual(await read("dtypes/complex64", more), {
      dtype: "complex64",
      shape: [2],
      values: Float32Array.of(1, 3, 2, 4),
    });
    const { shape, values } = await read("dtypes/string", more);
    assert.deepEqual(shape, [2, 2]);
    assert.deepEqual((values as readonly Uint8Array[]).map((one) => new TextDecoder().decode(one)), [
      "a",
      "",
      "é",
      "long text",
    ]);
    const kernel = await read("model/head/kernel", more);
    assert.deepEqual(kernel, await read("model/layers/1/weights/kernel/value", more));
    assert.deepEqual([kernel.shape, kernel.values], [[3, 1], saved.model.layers[1]!.getWeights()[0]!.dataSync()]);
    assert.deepEqual((await read("model/dense_Dense1/kernel", more)).shape, [2, 3]);
    assert.deepEqual(await read("a~1b/~0/1", more), {
      dtype: "Float64Array",
      shape: [2],
      values: Float64Array.of(0.1, 0.2),
    });
    // A path with one tensor below it is that tensor, and a shared object is what it is shared with.
    for (const path of ["v", "v/value", "alias"]) {
      assert.deepEqual((await read(path, more)).values, Float32Array.of(1, 2, 3, 4, 5, 6));
    }
    assert.deepEqual(await read("scalar", more), { dtype: "float32", shape: [], values: Float32Array.of(7) });
    assert.deepEqual(await read("none", more), { dtype: "float32", shape: [0, 3], values: new Float32Array() });
  }
});

test("readTensor: rows are those of slice, verified or not, for any typed array or tensor of any shape", () => {
  const shape = fc.tuple(fc.nat(5), fc.nat(3), fc.integer({ min: 1, max: 3 }));
  const array = fc.oneof(
    ...[Float64Array, Int8Array, Uint16Array, BigInt64Array].map((type) =>
      fc.nat(9).map((n): TypedArray =>
        (type as Float64ArrayConstructor).from(
          Array.from({ length: n }, (_, i) => (type.name.startsWith("Big") ? BigInt(i + 1) : i + 1) as number),
        )
      )
    ),
  );
  const value = fc.oneof(
    array,
    fc.tuple(shape, fc.constantFrom("float32" as const, "int32" as const, "string" as const)).map(
      ([[n, m, k], dtype]) => {
        const values = Array.from({ length: n * m * k }, (_, i) => dtype === "string" ? "x".repeat(i % 5) : i + 1);
        return tf.tensor3d(values as number[], [n, m, k], dtype);
      },
    ),
  );
  const bytesOf = (values: TensorData["values"]): readonly unknown[] =>
    Array.from(values as ArrayLike<unknown>, (one) => one);
  return fc.assert(
    fc.asyncProperty(value, fc.nat(9), fc.nat(9), fc.boolean(), async (value, a, b, verify) => {
      const own = memory();
      await runOrThrow(saveState(own)({ before: tf.scalar(1), value }));
      const whole = await runOrThrow(readTensor(own, { path: "value", verify }));
      const [count = 0, ...row] = whole.shape;
      const [from, to] = [Math.min(a, b, count), Math.min(Math.max(a, b), count)];
      const size = row.reduce((product, n) => product * n, 1);
      const some = await runOrThrow(readTensor(own, { path: "value", rows: [from, to], verify }));
      assert.deepEqual([some.dtype, some.shape], [whole.dtype, [to - from, ...row]]);
      assert.deepEqual(bytesOf(some.values), bytesOf(whole.values).slice(from * size, to * size));
      if (value instanceof tf.Tensor) value.dispose();
    }),
    { numRuns: 60 * torture },
  );
});

test("readTensor: opens the tensor's file alone; without verify it reads the header and the rows alone", async () => {
  const whole = watched(store);
  await runOrThrow(readTensor(whole.store, { path: "v" }));
  assert.deepEqual([...whole.bytes.keys()], ["state/v.safetensors"]);
  const large = memory();
  await runOrThrow(saveState(large)({ big: tf.zeros([1000, 100]) }));
  for (const [verify, most] of [[true, Infinity], [false, 2 * 400 + 500]] as const) {
    const { store: seen, bytes } = watched(large);
    await runOrThrow(readTensor(seen, { path: "big", rows: [998, 1000], verify }));
    const [count = 0] = bytes.values();
    assert.ok(verify ? count > 400_000 : count <= most, `${count} bytes`);
  }
});

test("readTensor: rows do not hold the memory of the whole tensor", async () => {
  for (const verify of [true, false]) {
    const { values } = await read("v", { rows: [1, 2], verify });
    assert.deepEqual(values, Float32Array.of(3, 4));
    assert.equal((values as Float32Array).buffer.byteLength, 8);
  }
});

test("readTensor: takes the newest checkpoint, or the one that is asked for; others are NoCheckpoint", async () => {
  const own = memory();
  const none = await left(readTensor(own, { path: "w" }));
  assert.deepEqual(none, { _tag: "NoCheckpoint", location: own.location, available: [] });
  for (const value of [1, 2]) await runOrThrow(saveState(own)({ w: Float32Array.of(value) }));
  const of = async (more: object): Promise<TensorData["values"]> =>
    (await runOrThrow(readTensor(own, { path: "w", ...more }))).values;
  assert.deepEqual([await of({}), await of({ checkpoint: 0 })], [Float32Array.of(2), Float32Array.of(1)]);
  const seven = await left(readTensor(own, { path: "w", checkpoint: 7 }));
  assert.deepEqual(seven, { _tag: "NoCheckpoint", location: own.location, checkpoint: 7, available: [0, 1] });
});

test("readTensor: if retention removes the newest checkpoint meanwhile, the newer one is read", async () => {
  const inner = memory();
  for (const value of [1, 2]) await runOrThrow(saveState(inner)({ w: Float32Array.of(value) }));
  let first = true;
  const own: Store = {
    ...inner,
    manifest: (n) => async () => {
      if (first) {
        first = false;
        await runOrThrow(saveState(inner)({ w: Float32Array.of(3) }));
        await runOrThrow(inner.remove(n));
      }
      return await inner.manifest(n)();
    },
  };
  assert.deepEqual((await runOrThrow(readTensor(own, { path: "w" }))).values, Float32Array.of(3));
});

test("readTensor: nothing silent: damage of the file is found, also behind the rows; without verify what is checked is", async () => {
  const name = "state/v.safetensors";
  for (const rows of [undefined, [0, 1] as const]) {
    const error = await left(readTensor(flipped(store, name, 1), { path: "v", ...(rows && { rows }) }));
    assert.ok(error._tag === "Damaged" && error.problems[0]?.path === name && error.problems[0].kind === "digest");
  }
  assert.equal((await readTensor(flipped(store, modelFile, 1), { path: "v" })())._tag, "Right");
  // The header is checked in any case: a tensor of another name, a file of another length, and no file.
  const unverified = { path: "v", verify: false };
  const header: Store = {
    ...store,
    open: (n) => store.open(n, "state/scalar.safetensors"),
  };
  const short: Store = {
    ...store,
    open: (n, part) => TE.map((open: OpenPart) => ({ ...open, bytes: open.bytes - 1 }))(store.open(n, part)),
  };
  const bytes = await partOf(store, name);
  const renamed = flipped(store, name, bytes.length - bytes.indexOf("value"));
  const lost: Store = { ...store, open: (_, part) => TE.left(storeFailed("open", part, "ENOENT", "none")) };
  for (const [what, bad] of Object.entries({ header, short, renamed, lost })) {
    for (const verify of [true, false]) {
      const error = await left(readTensor(bad, { ...unverified, verify }));
      assert.ok(error._tag === "Damaged", `${what}: ${JSON.stringify(error)}`);
    }
  }
  const failed: Store = { ...store, open: (_, part) => TE.left(storeFailed("open", part, "EIO", "broken")) };
  assert.equal((await left(readTensor(failed, unverified)))._tag, "StoreFailed");
  // So is that strings are strings: this makes the first one longer than the file.
  const packed = await partOf(store, "state/dtypes.safetensors");
  const first = packed.indexOf(Uint8Array.of(1, 0, 0, 0, 97));
  const strings = flipped(store, "state/dtypes.safetensors", packed.length - first - 3);
  assert.equal((await left(readTensor(strings, { path: "dtypes/string", verify: false })))._tag, "Damaged");
  // The bytes of the values are not.
  assert.equal((await readTensor(flipped(store, name, 1), unverified)())._tag, "Right");
});

test("readTensor: every file that it opens is closed, whatever fails", async () => {
  let open = 0;
  const counting = (inner: Store): Store => ({
    ...inner,
    open: (n, name) =>
      TE.map((part: OpenPart): OpenPart => {
        open++;
        return { ...part, close: () => (open--, part.close()) };
      })(inner.open(n, name)),
  });
  const failing: Store = {
    ...store,
    open: (n, name) =>
      TE.map((part: OpenPart): OpenPart => ({
        ...part,
        read: (into, position) =>
          position > 8 ? TE.left(storeFailed("read", name, "EIO", "broken")) : part.read(into, position),
      }))(store.open(n, name)),
  };
  for (const inner of [store, failing, flipped(store, "state/v.safetensors", 25)]) {
    for (const verify of [true, false]) await readTensor(counting(inner), { path: "v", verify })();
  }
  assert.equal(open, 0);
});

test("readTensor: a path that is not there names near ones; a part with several tensors names them; rows are in range", async () => {
  const message = async (path: string, more = {}): Promise<string> => {
    const error = await left(readTensor(store, { path, ...more }));
    assert.equal(error._tag, "Mismatch");
    return explain(error).replace(`This cannot be read from checkpoint 0 of ${store.location}.\n  `, "");
  };
  const missing = "expected a tensor or a typed array, found none";
  assert.equal(await message("model/haed/kernel"), `model/haed/kernel: ${missing}\nDid you mean model/head/kernel?`);
  assert.equal(
    await message("kernel"),
    `kernel: ${missing}\nDid you mean model/dense_Dense1/kernel, model/head/kernel?`,
  );
  assert.equal(await message("dtypes/bol"), `dtypes/bol: ${missing}\nDid you mean dtypes/bool?`);
  assert.match(
    await message("x".repeat(1000)),
    /found none\nIts tensors are model\/dense_Dense1\/kernel, .* and \d+ more$/,
  );
  assert.equal(await message("step"), "step: expected a tensor or a typed array, found number");
  assert.match(
    await message("dtypes"),
    /^dtypes: expected .*, found record with the tensors dtypes\/float32, dtypes\/int32, .*\/string$/,
  );
  assert.equal(await message("v", { rows: [2, 4] }), "v: expected rows from 0 to 3, found rows 2 to 4");
  assert.equal(
    await message("scalar", { rows: [0, 1] }),
    "scalar: expected no rows, since it is a scalar, found rows 0 to 1",
  );
  for (const rows of [[2, 1], [0.5, 1], [1]]) {
    const expected = "two integers from 0 in ascending order, the first row and the one after the last";
    assert.throws(() => read("v", { rows: rows as never }), {
      message: `Expected rows to be ${expected}, found [${rows.join(", ")}]`,
    });
  }
  const bare = memory();
  await runOrThrow(saveState(bare)({ step: 1 }));
  assert.match(explain(await left(readTensor(bare, { path: "w" }))), /found none\nIt has no tensors$/);
});

test("readTensor: the dtype tells the class of the values", async () => {
  const found = await read("dtypes/int32");
  if (found.dtype === "int32") {
    const values: Int32Array = found.values;
    assert.equal(values[1], -2);
  } else assert.fail(found.dtype);
});
