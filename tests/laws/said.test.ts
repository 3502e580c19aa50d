/**
 * Law *said*: the report of a load lists exactly the values of the script that saved values replaced.
 *
 * @module
 */
import {
  captureState,
  directory,
  fit,
  Loader,
  loadState,
  memory,
  type Overridden,
  readSnapshot,
  restoreInto,
  type RestoreOptions,
  resume,
  Rng,
  runOrThrow,
  saveState,
  Scaler,
  Schedule,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import * as t from "io-ts";
import assert from "node:assert/strict";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { right } from "../support/laws.ts";
import { torture } from "../support/torture.ts";

before(async () => void await tf.setBackend("cpu"));

/** What a restore reports as overridden. */
function overridden(saved: object, live: object, options: RestoreOptions = {}): readonly Overridden[] {
  const reports: (readonly Overridden[])[] = [];
  using snapshot = captureState(saved, options.codecs === undefined ? {} : { codecs: options.codecs });
  const onReport: RestoreOptions["onReport"] = (report) => reports.push(report.overridden);
  right(restoreInto(live as never, { ...options, onReport } as RestoreOptions)(snapshot)());
  assert.equal(reports.length, 1);
  return reports[0] as readonly Overridden[];
}

function stepped(schedule: Schedule.Schedule, steps: number): Schedule.Schedule {
  return Array.from({ length: steps }).reduce<Schedule.Schedule>((s) => Schedule.next(s, 1), schedule);
}

// --- plain data

/** Plain records of scalars, arrays and records, in which nothing is undefined. */
const plain = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(0, -0, 1, NaN, true, null, "a", 3n),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("a", "b", "c/d", "__proto__"), tie("value"), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;

/** A value with what was overridden put in: by paths, as errors name them. */
function overriding(value: unknown, path: readonly string[], saved: unknown): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return saved;
  if (Array.isArray(value)) {
    return value.map((item, i) => String(i) === name ? overriding(item, rest, saved) : item);
  }
  const names = Object.entries(value as object);
  const there = names.some(([key]) => key === name) ? names : [...names, [name, undefined] as const];
  return Object.fromEntries(
    there.map(([key, part]) => [key, key === name ? overriding(part, rest, saved) : part])
      .filter(([, part]) => part !== undefined),
  );
}

test("said: the report lists each difference of plain data once, and applying all of them to the live data gives the saved data", () =>
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom("x", "y"), plain, { noNullPrototype: true }),
      fc.dictionary(fc.constantFrom("x", "y"), plain, { noNullPrototype: true }),
      (a, b) => {
        const [saved, live] = [{ all: a, same: 1 }, { all: b, same: 1 }];
        let found: readonly Overridden[] = [];
        using snapshot = captureState(saved);
        const restored = restoreInto(live, { onReport: (report) => found = report.overridden })(snapshot)();
        // Data of other kinds is no difference that is restored.
        if (restored._tag === "Left") return;
        const paths = found.map(({ path }) => path);
        assert.equal(new Set(paths).size, paths.length);
        const end = found.reduce<unknown>((value, one) => {
          const steps = one.path.split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
          return overriding(value, steps, one.saved);
        }, live);
        assert.deepEqual(end, saved);
      },
    ),
    { numRuns: 300 * torture },
  ));

test("said: records are compared by name, lists of records by index, other lists and typed arrays as a whole", () => {
  const saved = {
    config: { batchSize: 32, layers: [64, 64], names: ["a"], gone: null as unknown },
    runs: [{ rate: 1, tags: ["x"] }, { rate: 2, tags: [] }],
    history: [0.5, 0.25],
    order: Int32Array.of(1, 2),
    same: Float64Array.of(NaN, -0),
    best: 0.25 as number | null,
    seen: null as unknown,
  };
  const live = {
    config: { batchSize: 64, layers: [64, 128], names: ["a"], more: true },
    runs: [{ rate: 1, tags: ["x"] }, { rate: 3, tags: ["y"] }],
    history: [],
    order: Int32Array.of(2, 1),
    same: Float64Array.of(NaN, -0),
    best: null,
    seen: { 1: "a" },
  };
  assert.deepEqual(overridden(saved, live), [
    { path: "config/batchSize", live: 64, saved: 32 },
    { path: "config/layers", live: [64, 128], saved: [64, 64] },
    { path: "config/gone", live: undefined, saved: null },
    { path: "config/more", live: true, saved: undefined },
    { path: "runs/1/rate", live: 3, saved: 2 },
    { path: "runs/1/tags", live: ["y"], saved: [] },
    { path: "history", live: [], saved: [0.5, 0.25] },
    { path: "order", live: Int32Array.of(2, 1), saved: Int32Array.of(1, 2) },
    { path: "best", live: null, saved: 0.25 },
    { path: "seen", live: { 1: "a" }, saved: null },
  ]);
  assert.deepEqual(overridden(saved, saved), []);
});

test("said: plain data next to tensors at any depth, and shared plain data", () => {
  const both = { rate: 1 };
  const saved = { run: { w: tf.variable(tf.scalar(1)), tag: "a", list: [tf.scalar(1), 2, 3] }, one: both, two: both };
  const live = {
    run: { w: tf.variable(tf.scalar(2)), tag: "b", list: [tf.scalar(2), 5], own: 1 },
    one: { rate: 1 },
    two: { rate: 2 },
  };
  assert.deepEqual(overridden(saved, live), [
    { path: "run/tag", live: "b", saved: "a" },
    { path: "run/list/1", live: 5, saved: 2 },
    { path: "run/list/2", live: undefined, saved: 3 },
    { path: "run/own", live: 1, saved: undefined },
    { path: "two/rate", live: 2, saved: 1 },
  ]);
});

test("said: plain data that a user's codec encodes", () => {
  class Vocabulary {
    constructor(readonly words: readonly string[]) {}
  }
  const codec = new t.Type<Vocabulary, readonly string[]>(
    "Vocabulary",
    (u): u is Vocabulary => u instanceof Vocabulary,
    (u) => t.success(new Vocabulary(u as readonly string[])),
    ({ words }) => words,
  );
  const make = (...words: readonly string[]): object => ({ vocabulary: new Vocabulary(words) });
  const options = { codecs: { vocabulary: codec } } as object;
  assert.deepEqual(overridden(make("a", "b"), make("a"), options), [
    { path: "vocabulary", live: ["a"], saved: ["a", "b"] },
  ]);
});

// --- what is no plain data

test("said: rates, betas and every other setting of each optimizer, not its step count", () => {
  const optimizers:
    readonly (readonly [tf.Optimizer, tf.Optimizer, Readonly<Record<string, readonly [number, number]>>])[] = [
      [tf.train.sgd(1), tf.train.sgd(2), { learningRate: [2, 1] }],
      [tf.train.momentum(1, 0.5), tf.train.momentum(2, 0.25), { learningRate: [2, 1], momentum: [0.25, 0.5] }],
      [tf.train.adagrad(1, 0.5), tf.train.adagrad(2, 0.25), {
        learningRate: [2, 1],
        initialAccumulatorValue: [0.25, 0.5],
      }],
      [tf.train.adadelta(1, 0.5, 1), tf.train.adadelta(2, 0.25, 2), {
        learningRate: [2, 1],
        rho: [0.25, 0.5],
        epsilon: [2, 1],
      }],
      [tf.train.adam(1, 0.5, 0.75, 1), tf.train.adam(1, 0.25, 0.75, 2), { beta1: [0.25, 0.5], epsilon: [2, 1] }],
      [tf.train.adamax(1, 0.5, 0.75, 1, 0), tf.train.adamax(1, 0.5, 0.5, 1, 0.5), {
        beta2: [0.5, 0.75],
        decay: [0.5, 0],
      }],
      [tf.train.rmsprop(1, 0.5, 0, 1), tf.train.rmsprop(2, 0.5, 0.5, 1), { learningRate: [2, 1], momentum: [0.5, 0] }],
    ];
  for (const [saved, live, numbers] of optimizers) {
    const w = tf.variable(tf.scalar(1));
    saved.minimize(() => w.square().asScalar());
    assert.deepEqual(
      overridden({ optimizer: saved }, { optimizer: live }),
      Object.entries(numbers).map(([name, [mine, theirs]]) => ({
        path: `optimizer/config/${name}`,
        live: mine,
        saved: theirs,
      })),
    );
    // They are the saved ones now.
    assert.deepEqual(overridden({ optimizer: saved }, { optimizer: live }), []);
  }
});

test("said: fields of a user-defined optimizer, including those that only the live one has", () => {
  class Own extends tf.Optimizer {
    decay?: number | undefined = 0.5;
    rates = new Map([["a", 1]]);
    frozen = new Set(["a"]);
    applyGradients(): void {}
    getConfig(): tf.serialization.ConfigDict {
      return {};
    }
  }
  const make = (fields: object): { readonly optimizer: tf.Optimizer } => ({
    optimizer: Object.assign(new Own(), fields),
  });
  const live = make({
    decay: 0.25,
    rates: new Map([["a", 2], ["b", 3]]),
    frozen: new Set(["b"]),
    schedule: { warmup: 3 },
    peak: tf.scalar(1),
    log: (): void => {},
  });
  assert.deepEqual(overridden(make({ decay: undefined }), live), [
    { path: "optimizer/fields/decay", live: 0.25, saved: undefined },
    { path: "optimizer/fields/rates/0/1", live: 2, saved: 1 },
    { path: "optimizer/fields/rates/b", live: 3, saved: undefined },
    { path: "optimizer/fields/frozen", live: ["b"], saved: ["a"] },
    { path: "optimizer/fields/schedule", live: { warmup: 3 }, saved: undefined },
  ]);
  assert.deepEqual(overridden(make({ decay: undefined }), live), []);
});

test("said: trainable flags of layers, weights and models, and the rate of a compiled model's own optimizer", () => {
  const make = (rate: number, frozen: boolean): { model: tf.LayersModel } => {
    const model = tf.sequential({
      layers: [tf.layers.dense({ units: 2, inputShape: [2], useBias: false }), tf.layers.dense({ units: 1 })],
    });
    model.compile({ optimizer: tf.train.adam(rate), loss: "meanSquaredError" });
    (model.layers[0] as tf.layers.Layer).trainable = !frozen;
    return { model };
  };
  assert.deepEqual(overridden(make(0.1, false), make(0.01, true)), [
    { path: "model/layers/0/flags/trainable_", live: false, saved: true },
    { path: "model/layers/0/weights/kernel/trainable", live: false, saved: true },
    { path: "model/compile/optimizer/config/learningRate", live: 0.01, saved: 0.1 },
  ]);
  const whole = make(0.1, false);
  whole.model.trainable = false;
  const paths = overridden(make(0.1, false), whole).map(({ path }) => path);
  assert.ok(paths.includes("model/flags/trainable_"), paths.join());
});

test("said: the settings of a schedule at any depth, not its position or the finished parts of a sequence", () => {
  const plateau = (patience: number): Schedule.Schedule => Schedule.plateau({ base: 1, factor: 0.5, patience });
  const cosine = (steps: number): Schedule.Schedule => Schedule.cosine({ base: 1, steps });
  const composed = (steps: number): Schedule.Schedule =>
    Schedule.sequence([[Schedule.warmup(3)(cosine(4)), 5], [cosine(2), 4], [cosine(steps), 100]]);
  const product = (steps: number): Schedule.Schedule =>
    Schedule.product([composed(steps), Schedule.warmup(2)(composed(9))]);
  const found = (saved: Schedule.Schedule, live: Schedule.Schedule): readonly Overridden[] =>
    overridden({ schedule: saved }, { schedule: live });
  // A schedule past its end whose live twin is longer.
  assert.deepEqual(found(stepped(cosine(5), 9), cosine(100)), [{ path: "schedule/steps", live: 100, saved: 5 }]);
  assert.deepEqual(found(stepped(plateau(3), 20), plateau(5)), [{ path: "schedule/patience", live: 5, saved: 3 }]);
  for (const make of [composed, product]) {
    for (let k = 0; k < 15; k++) {
      assert.deepEqual(found(stepped(make(9), k), make(9)), [], `${k}`);
      assert.deepEqual(found(make(9), stepped(make(9), k)), [], `${k}`);
      const other = found(stepped(make(9), k), make(8));
      assert.ok(other.length > 0 && other.every(({ path }) => path.startsWith("schedule/")), `${k}`);
    }
  }
  const twoParts = (steps: number): Schedule.Schedule => Schedule.sequence([[cosine(9), steps], [plateau(1), 9]]);
  assert.deepEqual(found(stepped(twoParts(4), 2), twoParts(5)).map(({ path }) => path), ["schedule/parts/0/steps"]);
  const [kind] = found(cosine(5), Schedule.constant({ base: 1 }));
  assert.deepEqual(kind, { path: "schedule/kind", live: "constant", saved: "cosine" });
});

test("said: the settings of a scaler and a generator, not the position of a generator or a cursor", () => {
  const loader = Loader.fromArray([1, 2, 3]);
  const make = (interval: number, rng: Rng.Rng): object => ({
    scaler: Scaler.make({ growthInterval: interval }),
    rng,
    cursor: Loader.start(loader),
    w: tf.variable(tf.scalar(interval)),
  });
  const saved = { ...make(10, Rng.skip(3)(Rng.make(1))) } as { scaler: Scaler.Scaler };
  saved.scaler = Scaler.update(false)(saved.scaler);
  assert.deepEqual(overridden(saved, make(10, Rng.make(2))), []);
  assert.deepEqual(overridden(saved, make(20, Rng.make(1, "xorshift128plus"))), [
    { path: "scaler/growthInterval", live: 20, saved: 10 },
    { path: "rng/algorithm", live: "xorshift128plus", saved: "xoroshiro128plus" },
  ]);
});

// --- options and runners

test("said: kept parts are not reported, and renamed parts are reported under their live name", () => {
  const make = (rate: number): { optimizer: tf.Optimizer; step: number } => ({
    optimizer: tf.train.adam(rate),
    step: rate,
  });
  assert.deepEqual(overridden(make(1), make(2), { keep: ["optimizer/learningRate"] }), [
    { path: "step", live: 2, saved: 1 },
  ]);
  assert.deepEqual(overridden({ a: 1 }, { b: 2 }, { rename: { a: "b" } }), [{ path: "b", live: 2, saved: 1 }]);
  assert.deepEqual(overridden(make(1), make(2), { only: ["optimizer"] }), [
    { path: "optimizer/config/learningRate", live: 2, saved: 1 },
  ]);
});

test("said: the report is a copy that later steps do not change", () => {
  const [saved, live] = [{ config: { list: [1] } }, { config: { list: [2] } }];
  using snapshot = captureState(saved);
  let found: readonly Overridden[] = [];
  const restored = right(restoreInto(live, { onReport: (report) => found = report.overridden })(snapshot)());
  restored.config.list.push(3);
  live.config.list.push(4);
  assert.deepEqual(found, [{ path: "config/list", live: [2], saved: [1] }]);
});

test("said: loadState and resume report overridden values, readSnapshot does not", async () => {
  const store = memory();
  await runOrThrow(saveState(store)({ batchSize: 32, step: 1 }));
  for (const load of [loadState, resume]) {
    let found: readonly Overridden[] | undefined;
    await runOrThrow(load(store, { onReport: (report) => found = report.overridden })({ batchSize: 64, step: 1 }));
    assert.deepEqual(found, [{ path: "batchSize", live: 64, saved: 32 }]);
  }
  let read: readonly Overridden[] | undefined;
  (await runOrThrow(readSnapshot(store, { onReport: (report) => read = report.overridden })))[Symbol.dispose]();
  assert.deepEqual(read, []);
});

test("said: a resumed fit reports overridden values of the model and of `with`, not of its own state", async () => {
  const folder = await mkdtemp(join(tmpdir(), "dogear-overridden-"));
  const train = async (to: string, rate: number, patience: number, epochs: number): Promise<unknown> => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
    model.compile({ optimizer: tf.train.sgd(rate), loss: "meanSquaredError" });
    const [x, y] = [tf.tensor2d([[1], [2]]), tf.tensor2d([[2], [4]])];
    let found: readonly Overridden[] | undefined;
    const onReport = (report: { readonly overridden: readonly Overridden[] }): void => void (found = report.overridden);
    const options = { to: directory(join(folder, to)), with: { mine: { patience } }, onReport };
    await runOrThrow(fit(options)(model, x, y, { epochs, shuffle: false }));
    return found;
  };
  try {
    assert.equal(await train("first", 0.1, 3, 1), undefined);
    // In a separate process it would be the same folder.
    await cp(join(folder, "first"), join(folder, "second"), { recursive: true });
    assert.deepEqual(await train("second", 0.2, 5, 2), [
      { path: "model/compile/optimizer/config/learningRate", live: 0.2, saved: 0.1 },
      { path: "mine/patience", live: 5, saved: 3 },
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
