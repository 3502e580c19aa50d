/**
 * The state of callbacks and the components of `with`: after a kill at any batch, they are as in an uninterrupted training.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import {
  explain,
  fit,
  fitDataset,
  type FitOptions,
  Loader,
  memory,
  pipe,
  Rng,
  runOrThrow,
  Scaler,
  Schedule,
} from "../../mod.ts";
import { torture } from "../support/torture.ts";

await tf.setBackend("cpu");

// --- trainings

const [x, y] = [tf.tensor2d([[1], [2], [3], [4]]), tf.tensor2d([[3], [5], [7], [9]])];
const [epochs, batches] = [4, 8];

function build(): tf.Sequential {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1], kernelInitializer: "ones" })] });
  model.compile({ optimizer: tf.train.sgd(0.01), loss: "meanSquaredError" });
  return model;
}

/** The class of tfjs's callbacks, typed without its private members. */
type Fields = Record<string, unknown>;
const Callback = (tf as unknown as { Callback: new () => object }).Callback as new () => { model: tf.LayersModel };

/** A callback that throws after so many batches. */
class Crash extends (Callback as new () => object) {
  #left: number;
  constructor(after: number) {
    super();
    this.#left = after;
  }
  onBatchEnd(): void {
    if (--this.#left === 0) throw new Error("crash");
  }
}

type Given = object | readonly object[];

/** Trains once, and returns what `see` reads from the callbacks. */
async function once<A>(
  to: FitOptions["to"],
  make: () => { readonly callbacks: Given; readonly with?: object; readonly see: () => A },
  crash?: object,
): Promise<readonly [A, number | undefined]> {
  const { callbacks, with: own = {}, see } = make();
  const model = build();
  await runOrThrow(
    fit({ to, every: 1, with: own })(model, x, y, {
      epochs,
      batchSize: 2,
      verbose: 0,
      shuffle: false,
      callbacks: [...[callbacks].flat(), crash ?? {}] as tf.CustomCallbackArgs[],
    }),
  );
  return [see(), model.getWeights()[0]?.dataSync()[0]];
}

/** Checks that trainings killed at these batches end like an uninterrupted one. */
async function sameWhenKilled<A>(
  make: () => { readonly callbacks: Given; readonly with?: object; readonly see: () => A },
  at: readonly number[] = [3, 8],
): Promise<A> {
  const { callbacks } = make();
  const plain = Object.getPrototypeOf([callbacks].flat()[0]) === Object.prototype;
  const crash = (after: number): object => {
    let left = after;
    return plain ? { onBatchEnd: () => void (--left === 0 && assert.fail("crash")) } : new Crash(after);
  };
  const straight = await once(memory(), make, crash(-1));
  for (const batch of at) {
    const to = memory();
    await assert.rejects(once(to, make, crash(batch)), /crash/);
    assert.deepEqual(await once(to, make, crash(-1)), straight, `killed at batch ${batch}`);
  }
  return straight[0];
}

// --- callbacks

test("same bits: fields of subclasses of Callback, CustomCallback and EarlyStopping", async () => {
  class Counting extends (tf.CustomCallback as unknown as new (args: object) => object) {
    batches = 0;
    constructor() {
      super({ onBatchEnd: () => void this.batches++ });
    }
  }
  class Stopping extends tf.EarlyStopping {
    seen: number[] = [];
    constructor() {
      super({ monitor: "loss", patience: 100 });
    }
    override async onEpochEnd(epoch: number, logs?: object): Promise<void> {
      this.seen.push(epoch);
      await super.onEpochEnd(epoch, logs as never);
      if (this.seen.length === 3) (this as unknown as { model: { stopTraining: boolean } }).model.stopTraining = true;
    }
  }
  class Bare extends Callback {
    batches = 0;
    onBatchEnd(): void {
      this.batches++;
    }
  }
  const seen = <C extends object>(callback: C, see: (callback: C) => unknown) => ({
    callbacks: callback,
    see: () => see(callback),
  });
  assert.equal(await sameWhenKilled(() => seen(new Counting(), (c) => c.batches)), batches);
  assert.equal(await sameWhenKilled(() => seen(new Bare(), (c) => c.batches)), batches);
  assert.deepEqual(await sameWhenKilled(() => seen(new Stopping(), (c) => c.seen), [1, 5]), [0, 1, 2]);
});

test("same bits: fields of plain objects, through this and directly", async () => {
  const make = () => {
    const object = {
      sum: 0,
      last: undefined as unknown,
      onBatchEnd(this: Fields): void {
        this["batches"] = Number(this["batches"] ?? 0) + 1;
        object.last = this["batches"];
        object.sum += Number(this["batches"]);
      },
    };
    return { callbacks: object, see: () => [object.last, object.sum] };
  };
  assert.deepEqual(await sameWhenKilled(make), [8, 36]);
});

test("same bits: fields that became undefined, and fields that were deleted", async () => {
  class Once extends Callback {
    todo: string | undefined = "halve";
    gone?: number = 1;
    rates: unknown[] = [];
    onEpochEnd(): void {
      const { optimizer } = this.model as unknown as { optimizer: tf.SGDOptimizer & { learningRate: number } };
      if (this.todo === "halve") optimizer.setLearningRate(optimizer.learningRate / 2);
      this.todo = undefined;
      delete this.gone;
      this.rates.push(optimizer.learningRate, "gone" in this, Object.hasOwn(this, "todo"));
    }
  }
  const rates = await sameWhenKilled(() => {
    const once = new Once();
    return { callbacks: once, see: () => once.rates };
  });
  assert.deepEqual(rates, Array.from({ length: epochs }, () => [0.005, false, true]).flat());
});

test("same bits: fields of any kind, fields that change their kind, shared fields, and the model or its optimizer as fields", async () => {
  const make = () => {
    const log: unknown[] = [];
    class Everything extends Callback {
      best: unknown = null;
      map = new Map<string, unknown>();
      set = new Set<unknown>([1]);
      log = log;
      buffer = new Float32Array(3);
      kept: tf.Tensor | undefined;
      average = tf.variable(tf.scalar(0));
      mine: unknown;
      optimizer: unknown;
      hook = (): number => 1;
      onBatchEnd(batch: number, logs: Fields): void {
        this.best = this.best === null ? "none" : typeof this.best === "string" ? { at: [batch] } : this.best;
        this.map.set(`${this.map.size}`, [batch, tf.scalar(batch)]);
        this.set.add({ batch });
        this.buffer[batch]! += 1;
        log.push(batch, logs["size"]);
        const kept = this.kept;
        this.kept = kept === undefined ? tf.tensor1d([batch]) : kept.concat(tf.tensor1d([batch]));
        this.average.assign(tf.scalar(this.map.size));
        this.mine ??= this.model;
        this.optimizer ??= this.model.optimizer;
      }
    }
    const all = new Everything();
    return {
      callbacks: all,
      see: () => [
        all.best,
        [...all.map].map((
          [name, pair],
        ) => [name, ...(pair as [number, tf.Tensor]).map((one) => one instanceof tf.Tensor ? one.arraySync() : one)]),
        [...all.set],
        log.slice(),
        all.log === log,
        [...all.buffer],
        all.kept?.arraySync(),
        all.average.dataSync()[0],
        (all.mine as tf.LayersModel).optimizer === all.model.optimizer && all.optimizer === all.model.optimizer,
        all.hook(),
      ],
    };
  };
  await sameWhenKilled(make);
});

test("same bits: the arguments of EarlyStopping come from the script, unless the training has changed them", async () => {
  class Patient extends tf.EarlyStopping {
    override async onEpochEnd(epoch: number, logs?: object): Promise<void> {
      (this as unknown as Fields)["patience"] = epoch + 2;
      await super.onEpochEnd(epoch, logs as never);
    }
  }
  const patience = (callback: object): unknown => (callback as Fields)["patience"];
  const make = (Class: typeof tf.EarlyStopping, given: number) => () => {
    const stopping = new Class({ monitor: "loss", patience: given });
    return { callbacks: stopping, see: () => patience(stopping) };
  };
  assert.equal(await sameWhenKilled(make(Patient, 1)), epochs + 1);
  const to = memory();
  await assert.rejects(once(to, make(tf.EarlyStopping, 1), new Crash(5)), /crash/);
  assert.deepEqual((await once(to, make(tf.EarlyStopping, 7), new Crash(-1)))[0], 7);
});

test("nothing silent: a field that cannot be captured is an error with its path, before the training", async () => {
  class Holding extends Callback {
    constructor(fields: object) {
      super();
      Object.assign(this, fields);
    }
  }
  const loop = new Map<string, unknown>();
  loop.set("loop", loop);
  const cases: readonly (readonly [object, RegExp])[] = [
    [
      { state: { deep: [{ gone: undefined }] } },
      /Cannot capture callbacks\/0\/state\/deep\/0\/gone: expected .*null instead of undefined/,
    ],
    [{ stream: new WeakMap() }, /Cannot capture callbacks\/0\/stream/],
    [
      { seen: [new (class Counter extends Map {})()] },
      /Cannot capture callbacks\/0\/seen\/0: expected a Map, or plain data, found an instance of Counter, which extends Map/,
    ],
    [
      { seen: Object.assign(new Set([1]), { most: 1 }) },
      /Cannot capture callbacks\/0\/seen: expected a Set of items alone, found one with names beside its items: most/,
    ],
    [
      { seen: new Map([[1, { itself: loop }]]) },
      /Cannot capture callbacks\/0\/seen\/items\/0\/1\/itself\/items\/0\/1: expected data without a cycle/,
    ],
    [
      { state: [{ _tag: "dogear/Map", items: [] }] },
      /Cannot capture callbacks\/0\/state\/0: expected another _tag, found dogear\/Map/,
    ],
    [
      { [Symbol("hidden")]: 1 },
      /Cannot capture callbacks\/0: expected fields whose names are strings, found Symbol\(hidden\)/,
    ],
  ];
  for (const [fields, message] of cases) {
    let called = 0;
    const to = memory();
    const given = [new Holding(fields), new tf.CustomCallback({ onTrainBegin: () => void called++ })];
    await assert.rejects(fit({ to })(build(), x, y, { epochs: 1, callbacks: given as never })(), message);
    assert.equal(called, 0);
    assert.deepEqual(await runOrThrow(to.list), []);
  }
});

test("nothing silent: a callback whose fields are saved, left out when the training is resumed, is an error with its fields", async () => {
  const to = memory();
  const counting = (last: number) => {
    const object = {
      batches: 0,
      best: Infinity,
      onBatchEnd: () => void object.batches++,
      onEpochEnd: (epoch: number) => assert.ok(epoch < last, "crash"),
    };
    return object;
  };
  const train = (callbacks: object | undefined) =>
    fit({ to })(build(), x, y, { epochs: 3, batchSize: 2, verbose: 0, ...(callbacks && { callbacks }) })();
  assert.equal((await train(counting(1)))._tag, "Left");
  for (const given of [undefined, {}, [{}]]) {
    const found = await train(given);
    assert.ok(found._tag === "Left" && found.left._tag === "Mismatch");
    assert.match(
      explain(found.left),
      /^ {2}callbacks: an object with batches, best in the checkpoint, none in this call\nCall it with the same callbacks as before/m,
    );
  }
  const resumed = counting(Infinity);
  assert.equal((await train(resumed))._tag, "Right");
  assert.equal(resumed.batches, 6);
});

test("StepFailed: names the callback that threw, and the batches before it", async () => {
  for (
    const [name, text] of [
      [
        "onTrainBegin",
        /The callback onTrainBegin threw in epoch 0 \(counted from 0\), after 0 batches in all: Error: mine/,
      ],
      [
        "onBatchEnd",
        /The callback onBatchEnd threw in epoch 0 \(counted from 0\), after 0 batches in all: Error: mine/,
      ],
      ["onEpochEnd", /The callback onEpochEnd threw in epoch 0 \(counted from 0\), after 1 batch in all: Error: mine/],
      ["onTrainEnd", /The callback onTrainEnd threw after the last epoch, after 1 batch in all: Error: mine/],
    ] as const
  ) {
    const callbacks = {
      [name]: () => {
        throw new Error("mine");
      },
    };
    const result = await fit({ to: memory() })(build(), x, y, { epochs: 1, verbose: 0, callbacks })();
    assert.ok(result._tag === "Left" && result.left._tag === "StepFailed");
    assert.equal(result.left.by, name);
    assert.match(explain(result.left), text);
  }
  for (const name of ["setParams", "setModel"] as const) {
    const callback = Object.assign(new Callback(), { [name]: () => assert.fail("mine") });
    const result = await fit({ to: memory() })(build(), x, y, {
      epochs: 1,
      verbose: 0,
      callbacks: callback as never,
    })();
    assert.ok(result._tag === "Left" && result.left._tag === "StepFailed");
    assert.match(explain(result.left), new RegExp(`The callback ${name} threw in epoch 0 .*mine`));
  }
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
  model.compile({ optimizer: "sgd", loss: () => assert.fail("no loss") });
  const result = await fit({ to: memory() })(model, x, y, { epochs: 1, verbose: 0 })();
  assert.ok(result._tag === "Left");
  assert.match(
    explain(result.left),
    /Training on a batch failed in epoch 0 \(counted from 0\), after 0 batches in all: .*no loss/,
  );
});

// --- with

test("same bits: arrays, records, typed arrays, Maps and Sets in with are refilled in place, with their contents", async () => {
  const make = () => {
    const [log, counts, floats, ints] = [[] as unknown[], {} as Fields, new Float64Array(4), new Int32Array(8)];
    const [map, set, best] = [new Map<unknown, unknown>([["m", []]]), new Set<unknown>(), { w: null as unknown }];
    const shadow = tf.sequential({
      layers: [tf.layers.dense({ units: 1, inputShape: [1], kernelInitializer: "zeros" })],
    });
    const inside = { list: [[0]], variable: tf.variable(tf.scalar(0)), models: [shadow] };
    const nested = { inner: inside, frozen: Object.freeze({ log: inside.list }) };
    let count = 0;
    const inner = map.get("m") as unknown[];
    const own = {
      log,
      counts,
      floats,
      ints,
      map,
      set,
      best,
      nested,
      get count() {
        return count;
      },
      set count(value) {
        count = value;
      },
    };
    const onBatchEnd = (batch: number): void => {
      count++;
      log.push({ count, tensor: tf.scalar(count) });
      counts[`b${count % 3}`] = Number(counts[`b${count % 3}`] ?? 0) + 1;
      if (count === 4) delete counts["b1"];
      floats[batch]! += count / 3;
      ints[count % 8] = count;
      inner.push(count);
      map.set(count, { tensor: tf.tensor1d([count, batch]) });
      if (count > 2) map.delete(count - 2);
      set.add(`s${count}`);
      if (count > 3) set.delete(`s${count - 3}`);
      best.w = tf.scalar(count);
      nested.inner.list.push([count]);
      nested.inner.variable.assign(tf.scalar(count));
      shadow.setWeights([tf.tensor2d([[count]]), tf.tensor1d([batch])]);
    };
    const number = (tensor: unknown): unknown => (tensor as tf.Tensor).arraySync();
    return {
      callbacks: { onBatchEnd },
      with: own,
      see: () => [
        count,
        log.map((entry) => [(entry as Fields)["count"], number((entry as Fields)["tensor"])]),
        Object.entries(counts),
        [...floats],
        [...ints],
        inner.slice(),
        map.get("m") === inner,
        [...map].map(([key, value]) => [key, Array.isArray(value) || number((value as Fields)["tensor"])]),
        [...set],
        number(best.w),
        nested.inner.list,
        nested.frozen.log === nested.inner.list,
        number(nested.inner.variable),
        shadow.getWeights().map(number),
      ],
    };
  };
  await sameWhenKilled(make, [2, 5]);
});

test("same bits: an array that callbacks push to, with more epochs and in a complete training", async () => {
  const to = memory();
  const train = async (epochs: number): Promise<unknown[]> => {
    const seen: unknown[] = [];
    const callbacks = { onEpochEnd: (epoch: number) => void seen.push(epoch) };
    await runOrThrow(fit({ to, with: { seen } })(build(), x, y, { epochs, verbose: 0, callbacks }));
    return seen;
  };
  assert.deepEqual(await train(3), [0, 1, 2]);
  assert.deepEqual(await train(5), [0, 1, 2, 3, 4]);
  assert.deepEqual(await train(5), [0, 1, 2, 3, 4]);
});

test("same bits: objects and variables that are keys of a Map in with are the ones that functions refer to", async () => {
  const make = () => {
    const [key, variable, shadow] = [{ seen: 0 }, tf.variable(tf.scalar(0)), build()];
    const weight = shadow.trainableWeights[0]?.read() as tf.Variable;
    const map = new Map<unknown, number>([["name", 0], [key, 0], [variable, 0], [weight, 0]]);
    const onBatchEnd = (): void => {
      key.seen++;
      variable.assign(tf.add(variable, 1));
      weight.assign(tf.add(weight, 2));
      for (const one of ["name", key, variable, weight]) map.set(one, (map.get(one) ?? NaN) + 1);
    };
    const values = (): readonly unknown[] => ["name", key, variable, weight].map((one) => map.get(one));
    const see = () => [map.size, ...values(), key.seen, variable.dataSync()[0], weight.dataSync()[0]];
    return { callbacks: { onBatchEnd }, with: { shadow, map, key }, see };
  };
  assert.deepEqual(await sameWhenKilled(make), [4, batches, batches, batches, batches, batches, batches, 17]);
});

test("same bits: several models of one shape in one component of with, with the same layer names", async () => {
  const make = () => {
    const named = (): tf.LayersModel =>
      tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1], name: "head" })] });
    const models = { list: [named(), named()], by: new Map([["third", named()]]) };
    const all = [...models.list, ...models.by.values()];
    all.forEach((model, i) => model.setWeights([tf.tensor2d([[i]]), tf.tensor1d([0])]));
    const onBatchEnd = (): void =>
      all.forEach((model, i) => model.setWeights(model.getWeights().map((weight) => tf.add(weight, i + 1))));
    const see = () => all.map((model) => model.getWeights().map((weight) => weight.dataSync()[0]));
    return { callbacks: { onBatchEnd }, with: { models }, see };
  };
  assert.deepEqual(await sameWhenKilled(make), [[8, 8], [17, 16], [26, 24]]);
});

test("same bits: a component of with may change its kind, and so may what it holds", async () => {
  const kinds =
    (): readonly unknown[] => ["a", null, [1], { a: 1 }, new Map([[1, 2]]), tf.scalar(3), tf.ones([2]), true];
  for (const isHeld of [true, false]) {
    const make = () => {
      const batches = { count: 0 };
      const mine = { best: (isHeld ? null : { a: 0 }) as unknown };
      const own = isHeld ? { mine, batches } : Object.assign(mine, { batches });
      const onBatchEnd = (): void => void (mine.best = kinds()[batches.count++]);
      return { callbacks: { onBatchEnd }, with: own, see: () => [mine.best, batches.count] };
    };
    await sameWhenKilled(make, isHeld ? [2, 3, 4, 5, 8] : [6, 7]);
  }
});

test("same bits: objects inside a frozen one in with are the ones that functions refer to", async () => {
  const make = () => {
    const [inner, list] = [{ count: 0 }, [] as number[]];
    const mine = { pair: Object.freeze({ inner, deep: Object.freeze([list]) }) };
    const onBatchEnd = (batch: number): void => {
      inner.count++;
      list.push(batch);
    };
    const see = () => [inner.count, list.length, mine.pair.inner === inner, mine.pair.deep[0] === list];
    return { callbacks: { onBatchEnd }, with: { mine }, see };
  };
  assert.deepEqual(await sameWhenKilled(make), [batches, batches, true, true]);
});

test("immutable: a generator in with that is not frozen keeps its value when the training is resumed", async () => {
  const to = memory();
  const [, begin] = Rng.float(Rng.make(1));
  const before = JSON.stringify(begin);
  for (const last of [1, Infinity]) {
    const mine = { rng: begin };
    const onEpochEnd = (epoch: number): void => {
      assert.ok(epoch < last, "crash");
      mine.rng = Rng.float(mine.rng)[1];
    };
    await fit({ to, with: { mine } })(build(), x, y, { epochs: 3, verbose: 0, callbacks: { onEpochEnd } })();
    assert.equal(JSON.stringify(begin), before);
    if (last === Infinity) assert.deepEqual(Rng.float(mine.rng), Rng.float(Rng.skip(8)(Rng.make(1))));
  }
});

test("same bits: values that never change, in an object of with", async () => {
  const make = () => {
    const mine = {
      schedule: Schedule.exponential({ base: 0.1, factor: 0.5 }),
      rng: Rng.make(1),
      pair: Object.freeze([0, 1]),
    };
    const onBatchEnd = (): void => {
      const { schedule, rng, pair: [a = NaN, b = NaN] } = mine;
      Object.assign(mine, {
        schedule: Schedule.next(schedule),
        rng: Rng.float(rng)[1],
        pair: Object.freeze([b, a + b]),
      });
    };
    const see = () => [Schedule.rate(mine.schedule), Rng.float(mine.rng)[0], [...mine.pair]];
    return { callbacks: { onBatchEnd }, with: { mine }, see };
  };
  const [rate, , pair] = await sameWhenKilled(make);
  assert.deepEqual([rate, pair], [Math.fround(0.1 / 2 ** batches), [21, 34]]);
});

test("nothing silent: a value directly in with that never changes is a TypeError that says to put it into an object", () => {
  const cursor = Loader.start(Loader.fromArray([1]));
  const values: readonly (readonly [unknown, string])[] = [
    [Schedule.constant({ base: 1 }), "a Schedule"],
    [pipe(Schedule.cosine({ base: 0.1, steps: 40 }), Schedule.warmup(10)), "a Schedule"],
    [Rng.make(1), "an Rng"],
    // A draw returns a generator that is not frozen.
    [Rng.float(Rng.make(1))[1], "an Rng"],
    [Scaler.make(), "a Scaler"],
    [cursor, "a Cursor"],
    [{ ...cursor }, "a Cursor"],
    [Object.freeze({ best: 0 }), "an object that is frozen"],
    [Object.freeze([1, 2]), "an array of 2 that is frozen"],
    [null, "null"],
    [1n, "1n, a bigint"],
    [false, "false, a boolean"],
  ];
  for (const [value, found] of values) {
    const message = `Expected with.seen to be an object, found ${found}, which cannot be refilled: ` +
      "pass an object that holds it, such as with: { mine } where mine.seen is changed";
    for (const call of [fit, fitDataset] as ((options: unknown) => unknown)[]) {
      assert.throws(() => call({ to: memory(), with: { other: {}, seen: value } }), { name: "TypeError", message });
      call({ to: memory(), with: { mine: { seen: value } } });
    }
  }
});

// --- random classes

/** Values of fields. */
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2, depthSize: "small" },
    fc.constantFrom(undefined, null, true, NaN, -0, Infinity, 10n, "text", ""),
    fc.double(),
    fc.constant("tensor"),
    fc.array(tie("value").filter((part) => part !== undefined), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("a", "b", "__proto__", "_tag"), tie("value").filter((part) => part !== undefined), {
      maxKeys: 3,
    }),
    fc.array(fc.tuple(fc.constantFrom("k", 1, null, "l"), tie("value").filter((part) => part !== undefined)), {
      maxLength: 3,
    }).map((entries) => new Map(entries)),
    fc.array(fc.constantFrom<unknown>("k", 1, null, "l"), { maxLength: 3 }).map((items) => new Set(items)),
    fc.array(fc.integer({ min: -9, max: 9 }), { maxLength: 3 }).map((items) => Int16Array.from(items)),
  ),
}));

/** A copy of a value, with a tensor in place of the word for it. */
function made(of: unknown): unknown {
  if (of === "tensor") return tf.tensor1d([1, 2]);
  if (of instanceof Map) return new Map([...of].map(([key, part]) => [key, made(part)]));
  if (of instanceof Set) return new Set(of);
  if (Array.isArray(of)) return of.map(made);
  if (ArrayBuffer.isView(of)) return (of as Int16Array).slice();
  if (typeof of !== "object" || of === null) return of;
  return Object.fromEntries(Object.entries(of).map(([name, part]) => [name, made(part)]));
}

function shown(of: unknown): unknown {
  if (of instanceof tf.Tensor) return { dtype: of.dtype, values: of.arraySync() };
  if (of instanceof Map) return { map: [...of].map(([key, part]) => [key, shown(part)]) };
  if (Array.isArray(of)) return of.map(shown);
  if (typeof of !== "object" || of === null || of instanceof Set || ArrayBuffer.isView(of)) return of;
  return Object.entries(of).map(([name, part]) => [name, shown(part)]);
}

const names = ["p", "q", "r", "s"] as const;
const change = fc.oneof(
  { weight: 4, arbitrary: fc.record({ name: fc.constantFrom(...names), value }) },
  { weight: 1, arbitrary: fc.record({ name: fc.constantFrom(...names), remove: fc.constant(true) }) },
);

test("same bits: random classes of callbacks with random changes of random fields, killed at any batch", async () => {
  const any = fc.record({
    base: fc.constantFrom("Callback", "CustomCallback", "EarlyStopping", "object", "with"),
    first: fc.dictionary(fc.constantFrom(...names), value),
    changes: fc.array(fc.array(change, { maxLength: 3 }), { minLength: batches, maxLength: batches }),
    at: fc.integer({ min: 1, max: batches }),
  });
  await fc.assert(
    fc.asyncProperty(any, async ({ base, first, changes, at }) => {
      const make = () => {
        let count = 0;
        const own = { bag: {} as Fields, calls: { count: 0 } };
        const step = (target: Fields): void => {
          count = own.calls.count++;
          for (const { name, ...one } of changes[count] ?? []) {
            if (base === "with" && (one as { value?: unknown }).value === undefined) delete target[name];
            else if ("value" in one) target[name] = made(one.value);
            else delete target[name];
          }
        };
        const clean = Object.entries(first).filter(([, part]) => base !== "with" || part !== undefined);
        const fields = (): Fields => Object.fromEntries(clean.map(([name, part]) => [name, made(part)]));
        const see = (target: Fields) => () => names.map((name) => [Object.hasOwn(target, name), shown(target[name])]);
        if (base === "with") {
          Object.assign(own.bag, fields());
          return { callbacks: { onBatchEnd: () => step(own.bag) }, with: own, see: see(own.bag) };
        }
        if (base === "object") {
          const object: Fields = { ...fields(), onBatchEnd: () => step(object) };
          return { callbacks: object, with: own, see: see(object) };
        }
        const Base = (base === "Callback"
          ? Callback
          : base === "EarlyStopping"
          ? tf.EarlyStopping
          : tf.CustomCallback) as unknown as new (args: object) => object;
        class Any extends Base {
          constructor() {
            super({ monitor: "loss", patience: 100 });
            Object.assign(this, fields());
          }
          onBatchEnd(): void {
            step(this as unknown as Fields);
          }
        }
        const callback = new Any();
        return { callbacks: callback, with: own, see: see(callback as unknown as Fields) };
      };
      await sameWhenKilled(make, [at]);
    }),
    { numRuns: 10 * torture },
  );
});

test("same bits: fields of registered classes, of which each training makes new instances", async () => {
  const made: { batches: number }[] = [];
  let registered = true;
  class Registered extends Callback {
    batches = 0;
    constructor() {
      super();
      if (registered) made.push(this);
    }
    onBatchEnd(): void {
      this.batches++;
    }
  }
  tf.registerCallbackConstructor(0, Registered as never);
  assert.equal(await sameWhenKilled(() => ({ callbacks: {}, see: () => made.at(-1)?.batches })), batches);
  registered = false;
});

test("onReport: lists what the script has set, with its own value", async () => {
  const to = memory();
  let reported: unknown;
  const train = (rate: number, crash: boolean) => {
    const model = build();
    model.compile({ optimizer: tf.train.sgd(rate), loss: "meanSquaredError" });
    const mine = { sums: new Float32Array(2), same: Float32Array.of(1, 2), rate };
    const callbacks = {
      limit: rate,
      seen: new Map([["batches", 0]]),
      onBatchEnd: (batch: number) => {
        callbacks.seen.set("batches", batch);
        mine.sums[0] = 7;
        if (crash && batch === 1) throw new Error("crash");
      },
    };
    const options = { to, every: 1, with: { mine }, onReport: (report: object) => void (reported = report) };
    return fit(options)(model, x, y, { epochs: 1, batchSize: 2, verbose: 0, callbacks })();
  };
  assert.equal((await train(0.01, true))._tag, "Left");
  assert.equal((await train(0.02, false))._tag, "Right");
  const { overridden } = reported as { readonly overridden: readonly { readonly path: string }[] };
  assert.deepEqual(overridden.filter(({ path }) => !/^callbacks\/(0|2\/seen)\//.test(path)), [
    { path: "model/compile/optimizer/config/learningRate", live: 0.02, saved: 0.01 },
    { path: "callbacks/2/limit", live: 0.02, saved: 0.01 },
    { path: "mine/sums", live: new Float32Array(2), saved: Float32Array.of(7, 0) },
    { path: "mine/rate", live: 0.02, saved: 0.01 },
  ]);
});
