import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import {
  captureState,
  explain,
  fit,
  fitDataset,
  memory,
  release,
  restoreInto,
  restoreState,
  Rng,
  runOrThrow,
  setLearningRate,
  type Store,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import {
  allOrNothing,
  backInto,
  canonical,
  idOf,
  immutable,
  left,
  noTrace,
  right,
  roundTrip,
  type Subject,
  throughStore,
} from "../support/laws.ts";
import {
  AdamW,
  DecayingSGD,
  type Gradients,
  LionByPosition,
  LionOfTensors,
  Lookahead,
  optimizers,
} from "../support/optimizer_classes.ts";
import { triedHere } from "../support/torture.ts";

before(async () => void await tf.setBackend("cpu"));

test("layouts: those of tfjs's seven optimizers name every field, so that none is captured as one that the script added", () => {
  const { sgd, momentum, adagrad, adadelta, adam, adamax, rmsprop } = tf.train;
  for (
    const optimizer of [
      sgd(0.1),
      momentum(0.1, 0.9),
      adagrad(0.1),
      adadelta(),
      adam(),
      adamax(),
      rmsprop(0.1, 0.9, 0.5),
    ]
  ) {
    const weight = tf.variable(tf.ones([2]));
    optimizer.minimize(() => weight.square().sum().asScalar(), false, [weight]);
    const text = JSON.stringify(
      captureState({ optimizer }).encoded.components,
      (key, value) => key === "held" ? 0 : value,
    );
    assert.ok(!text.includes('"fields"'), `${optimizer.getClassName()}: ${text}`);
  }
});

// --- the training

interface State {
  readonly optimizer: tf.Optimizer;
  readonly a: tf.Variable;
  readonly b: tf.Variable;
}

/** Two unnamed variables, after an optimizer that refers to them. */
function bare(make: () => tf.Optimizer): () => State {
  return () => ({
    optimizer: make(),
    a: tf.variable(tf.tensor1d([1, -2, 3])),
    b: tf.variable(tf.tensor2d([[0.5], [2]])),
  });
}

function step({ optimizer, a, b }: State): void {
  optimizer.minimize(() => a.square().sum().add(b.sub(0.25).square().sum().mul(2)).asScalar(), false, [a, b]);
}

interface Compiled {
  readonly model: tf.LayersModel;
}

function compiled(make: () => tf.Optimizer): () => Compiled {
  return () => {
    const [model] = Rng.withRandom(Rng.make(5))(() =>
      tf.sequential({
        layers: [
          tf.layers.dense({ units: 3, activation: "tanh", inputShape: [2] }),
          tf.layers.batchNormalization(),
          tf.layers.dense({ units: 1, name: "head" }),
        ],
      })
    );
    model.compile({ optimizer: make(), loss: "meanSquaredError" });
    return { model };
  };
}

const x = (): tf.Tensor => tf.tensor2d([[0, 1], [1, 0.5], [-1, 2], [0.3, 0.2]]);
const y = (): tf.Tensor => tf.tensor2d([[1], [-1], [0.5], [2]]);

async function epoch({ model }: Compiled): Promise<void> {
  const [xs, ys] = [x(), y()];
  await model.trainOnBatch(xs, ys);
  tf.dispose([xs, ys]);
}

/** The bits of every variable as 32-bit words. */
function bits(state: State | Compiled): string {
  const tensors = "model" in state ? state.model.getWeights() : [state.a, state.b];
  return tensors.map((tensor) => [...new Uint32Array(tensor.dataSync().slice().buffer)].join()).join(";");
}

// --- laws

/** Saves at every step and resumes afresh, into a new optimizer and into a trained one: each run must end like the uninterrupted one. */
async function sameBits<S extends State | Compiled>(
  make: () => S,
  train: (state: S) => unknown,
  steps: number,
): Promise<void> {
  const whole = make();
  for (let i = 0; i < steps; i++) await train(whole);
  const expected = bits(whole);
  const run = make();
  for (let i = 0; i <= steps; i++) {
    using snapshot = captureState(run);
    const warm = make();
    for (let k = 0; k < 2; k++) await train(warm);
    for (const resumed of [restoreState(snapshot), restoreInto(make())(snapshot)(), restoreInto(warm)(snapshot)()]) {
      const state = right(resumed) as S;
      for (let k = i; k < steps; k++) await train(state);
      assert.equal(bits(state), expected, `resumed at step ${i}`);
    }
    await train(run);
  }
}

for (const [name, make] of triedHere(Object.entries(optimizers))) {
  describe(`user-defined optimizers: ${name}`, () => {
    const cases: Readonly<Record<string, Subject>> = {
      "with bare variables": { make: bare(make), train: step, probe: (state: State) => [step(state), bits(state)] },
      "in a compiled model": { make: compiled(make), train: epoch },
    };
    for (const [where, subject] of Object.entries(cases)) {
      test(`same bits at every step, ${where}`, () =>
        sameBits(subject.make as () => State, subject.train as (state: State) => unknown, 4));
      test(`round trip, ${where}`, () => roundTrip(subject));
      test(`round trip into an optimizer that has trained on, ${where}`, () => backInto(subject));
      test(`no trace, ${where}`, () => noTrace(subject));
      test(`immutable, ${where}`, () => immutable(subject));
      test(`canonical, ${where}`, async () => {
        const make = (): object => {
          const made = subject.make();
          for (let i = 0; i < 2; i++) subject.train?.(made);
          return made;
        };
        if (where === "with bare variables") await canonical({ ...subject, make });
      });
      test(`round trip through a store, ${where}`, () => throughStore(memory(), subject));
    }
  });
}

/** A subclass that counts its steps and trains with the count. */
function counting(Base: new (...args: never[]) => tf.Optimizer, ...args: readonly unknown[]): () => tf.Optimizer {
  class Counting extends (Base as new (...args: unknown[]) => tf.AdamOptimizer) {
    steps: { of: number }[] = [];
    override applyGradients(gradients: Gradients): void {
      this.steps.push({ of: this.steps.length });
      setLearningRate(this, 0.1 / this.steps.length)();
      super.applyGradients(gradients as never);
    }
  }
  return () => new Counting(...args);
}

const seven: Readonly<Record<string, () => tf.Optimizer>> = {
  SGD: counting(tf.SGDOptimizer, 0.1),
  Momentum: counting(tf.MomentumOptimizer, 0.1, 0.9, true),
  Adagrad: counting(tf.AdagradOptimizer, 0.1, 0.1),
  Adadelta: counting(tf.AdadeltaOptimizer, 0.1, 0.9, 1e-7),
  Adam: counting(tf.AdamOptimizer, 0.1, 0.9, 0.999, 1e-7),
  Adamax: counting(tf.AdamaxOptimizer, 0.1, 0.9, 0.999, 1e-7, 0.1),
  RMSProp: counting(tf.RMSPropOptimizer, 0.1, 0.9, 0.5, 1e-7, true),
};
for (const [name, make] of triedHere(Object.entries(seven))) {
  test(`same bits: an unregistered subclass of ${name}, restored into live optimizers at every step`, async () => {
    const subject = { make: bare(make), train: step };
    const whole = subject.make();
    for (let i = 0; i < 4; i++) step(whole);
    const run = subject.make();
    for (let i = 0; i <= 4; i++) {
      using snapshot = captureState(run);
      const [cold, warm] = [subject.make(), subject.make()];
      step(warm);
      for (const live of [cold, warm]) {
        right(restoreInto(live)(snapshot)());
        for (let k = i; k < 4; k++) step(live);
        assert.equal(await idOf(live), await idOf(whole), `resumed at step ${i}`);
      }
      step(run);
    }
    await backInto(subject);
  });
}

// --- under fit

for (const name of ["AdamW", "LionByMap", "Lookahead of AdamW"]) {
  const make = optimizers[name] as () => tf.Optimizer;
  test(`same bits: fit and fitDataset with ${name}, killed at every batch and resumed in a new model`, async () => {
    const [xs, ys] = [x(), y()];
    const rows = tf.data.zip({
      xs: tf.data.array([[0, 1], [1, 0.5], [-1, 2], [0.3, 0.2]]),
      ys: tf.data.array([[1], [-1], [0.5], [2]]),
    });
    const crashing = (at: number) => {
      let count = 0;
      return { onBatchEnd: () => void (++count === at && assert.fail("crash")) };
    };
    const runs = {
      fit: async (to: Store, at: number): Promise<string> => {
        const state = compiled(make)();
        const args = { epochs: 2, batchSize: 2, verbose: 0 as const, callbacks: crashing(at) };
        await runOrThrow(fit({ to, every: 1, seed: 1 })(state.model, xs, ys, args));
        return bits(state);
      },
      fitDataset: async (to: Store, at: number): Promise<string> => {
        const state = compiled(make)();
        const args = { epochs: 2, verbose: 0 as const, callbacks: crashing(at) };
        await runOrThrow(fitDataset({ to, every: 1 })(state.model, rows.batch(2), args));
        return bits(state);
      },
    };
    for (const run of Object.values(runs)) {
      const expected = await run(memory(), Infinity);
      const to = memory();
      // Kill the resumed run again, one batch later.
      for (let at = 0; at < 3; at++) await run(to, at === 0 ? 1 : 2).catch(() => {});
      assert.equal(await run(to, Infinity), expected);
    }
    tf.dispose([xs, ys]);
  });
}

// --- classes

class Unregistered extends tf.AdamOptimizer {
  steps = 0;
  constructor() {
    super(0.1, 0.9, 0.999);
  }
}

/** A class with the name of one of tfjs's. */
class Named extends tf.Optimizer {
  static readonly className: string = "Adam";
  applyGradients(): void {}
  getConfig(): tf.serialization.ConfigDict {
    return {};
  }
}

class NoConfig extends Named {
  static override readonly className: string = "NoConfig";
  override getConfig(): tf.serialization.ConfigDict {
    throw new Error("not written");
  }
}
tf.serialization.registerClass(NoConfig as never);

class Elsewhere extends Named {
  static override readonly className: string = "Elsewhere";
  static override fromConfig(): never {
    return new NoConfig() as never;
  }
}
tf.serialization.registerClass(Elsewhere as never);

class Scheduled extends Named {
  static override readonly className: string = "Scheduled";
  options: { readonly rate?: (step: number) => number; readonly past: number[] };
  constructor(rate?: (step: number) => number) {
    super();
    this.options = rate === undefined ? { past: [] } : { rate, past: [] };
  }
}
tf.serialization.registerClass(Scheduled as never);

/** The problems of a restore as text: path, kind, expected, found. */
function problems(result: ReturnType<typeof restoreState>): string {
  return explain(left(result));
}

test("optimizer classes: a fresh restore of an unregistered class is an error with the class and the remedy", () => {
  using snapshot = captureState({ optimizer: new Unregistered() });
  assert.match(
    problems(restoreState(snapshot)),
    /optimizer: expected a registered class, found Unregistered, a subclass of Adam\nCall .*registerClass\(Unregistered\) first, or load into/,
  );
  const live = { optimizer: new Unregistered() };
  live.optimizer.steps = 7;
  right(restoreInto(live)(snapshot)());
  assert.equal(live.optimizer.steps, 0);
});

test("optimizer classes: no class restores into another one, whatever their names", async () => {
  const makes = [
    () => tf.train.adam(),
    () => new Unregistered(),
    () => new AdamW(),
    () => new Named() as tf.Optimizer,
    () => new NoConfig(),
  ];
  for (const saved of makes) {
    for (const live of makes) {
      using snapshot = captureState({ optimizer: saved() });
      const components = { optimizer: live() };
      if (saved === live) right(restoreInto(components)(snapshot)());
      else {
        const error = await allOrNothing(components, () => restoreInto(components)(snapshot)());
        assert.match(explain(error), /optimizer: .* in the snapshot, .* in your script/);
      }
    }
  }
});

test("optimizer classes: registering another class under a tfjs name does not affect tfjs's class", () => {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const [sgd, adam] = [classNameMap["SGD"], classNameMap["Adam"]];
  tf.serialization.registerClass(DecayingSGD as never);
  tf.serialization.registerClass(Named as never);
  try {
    const state = { sgd: tf.train.sgd(0.1), own: new DecayingSGD(0.5), adam: tf.train.adam(), named: new Named() };
    const w = tf.variable(tf.scalar(1));
    for (const optimizer of [state.sgd, state.own]) optimizer.minimize(() => w.square().asScalar(), false, [w]);
    using snapshot = captureState(state);
    const fresh = right(restoreState(snapshot)) as typeof state;
    for (const name of ["sgd", "own", "adam", "named"] as const) {
      assert.equal(Object.getPrototypeOf(fresh[name]), Object.getPrototypeOf(state[name]));
    }
    assert.equal(fresh.own.getConfig()["learningRate"], 0.45);
  } finally {
    Object.assign(classNameMap, { SGD: sgd, Adam: adam });
  }
});

test("optimizer classes: a fresh restore without a usable getConfig or fromConfig says which one to write", () => {
  for (
    const [optimizer, expected] of [
      [new NoConfig(), /found NoConfig.*\nWrite getConfig and fromConfig, or load into an optimizer of this class/],
      [new Elsewhere(), /fromConfig makes an instance of it, not of NoConfig.*found Elsewhere/],
    ] as const
  ) {
    using snapshot = captureState({ optimizer });
    assert.match(problems(restoreState(snapshot)), expected);
    right(restoreInto({ optimizer: Object.create(Object.getPrototypeOf(optimizer)) as tf.Optimizer })(snapshot)());
  }
});

test("optimizer fields: a restore keeps live functions and reports missing ones", () => {
  const rate = (step: number): number => 1 / step;
  const saved = new Scheduled(() => 1);
  saved.options.past.push(1, 2);
  using snapshot = captureState({ optimizer: saved });
  const live = new Scheduled(rate);
  right(restoreInto({ optimizer: live })(snapshot)());
  assert.deepEqual(live.options, { rate, past: [1, 2] });
  assert.match(problems(restoreState(snapshot)), /optimizer\/fields\/options\/rate: expected a function/);
});

test("optimizer fields: fields that a script adds to a tfjs optimizer are state", () => {
  const adam = Object.assign(tf.train.adam(), { seen: new Map([["a", [1]]]) });
  using snapshot = captureState({ adam });
  assert.deepEqual((right(restoreState(snapshot)) as { adam: typeof adam }).adam.seen, adam.seen);
});

test("optimizer fields: fields that cannot be read or stored are refused with their path", () => {
  class Private extends Named {
    static override readonly className: string = "Private";
    #count = 0;
    override applyGradients(): void {
      this.#count++;
    }
  }
  class Methods extends Named {
    static override readonly className: string = "Methods";
    // Neither a private method nor #count in a string is state.
    #text(): string {
      return "this.#count = 1;";
    }
    text(): string {
      return this.#text();
    }
  }
  release(captureState({ o: new Methods() }))();
  const adam = (): tf.Optimizer => new AdamW();
  const hole: unknown[] = [1];
  hole[2] = 1;
  const cases: readonly (readonly [tf.Optimizer, RegExp])[] = [
    [new Private(), /o: expected .*Private with the field #count/],
    [Object.assign(adam(), { of: new WeakMap() }), /o\/fields\/of: .*WeakMap/],
    [Object.assign(adam(), { of: [new Date(0)] }), /o\/fields\/of\/0: .*Date/],
    [Object.assign(adam(), { of: hole }), /o\/fields\/of\/1: .*hole/],
    [Object.defineProperty(adam(), "of", { get: () => 1, enumerable: true }), /o\/fields\/of: .*accessor/],
    [Object.defineProperty(adam(), "of", { value: 1 }), /o\/fields\/of: .*enumerable/],
    [Object.assign(adam(), { [Symbol("of")]: 1 }), /o\/fields: .*Symbol\(of\)/],
  ];
  const before = tf.memory().numTensors;
  for (const [o, expected] of cases) assert.throws(() => captureState({ o }), expected);
  assert.equal(tf.memory().numTensors, before);
});

test("optimizer fields: state keyed by the name of a variable outside the components is refused", () => {
  const state = bare(optimizers["LionByName"] as () => tf.Optimizer)();
  step(state);
  assert.throws(() => captureState({ optimizer: state.optimizer }), /optimizer\/fields\/m: .*tfjs generated/);
});

// --- in place

test("optimizer fields: variables of other components stay shared and are not disposed, in either order", () => {
  for (const order of [["optimizer", "model"], ["model", "optimizer"]]) {
    const make = (): Compiled & { optimizer: Lookahead } => {
      const { model } = compiled(() => tf.train.sgd(0.1))();
      const state = { model, optimizer: new Lookahead() };
      return Object.fromEntries(order.map((name) => [name, state[name as "model"]])) as unknown as typeof state;
    };
    const train = ({ model, optimizer }: ReturnType<typeof make>): void => {
      const [xs, ys] = [x(), y()];
      optimizer.minimize(() => tf.losses.meanSquaredError(ys, model.predict(xs) as tf.Tensor).asScalar());
      tf.dispose([xs, ys]);
    };
    const saved = make();
    train(saved);
    using early = captureState(make());
    using late = captureState(saved);
    const [live, slots] = [make(), [] as tf.Variable[]];
    for (const snapshot of [late, late, early, late]) {
      right(restoreInto(live)(snapshot)());
      assert.ok(live.model.getWeights().every((weight) => !weight.isDisposed));
      const weights = new Set(live.model.trainableWeights.map((weight) => weight.read()));
      assert.ok(live.optimizer.trained.every((variable) => weights.has(variable)));
      // Variables in both are assigned; variables in the live one only are disposed.
      const { slow } = live.optimizer;
      slots.push(...slow);
      assert.ok(slots.every((slot) => slot.isDisposed !== slow.includes(slot)));
    }
    assert.equal(live.optimizer.trained.length, 6);
    assert.equal(new Set(slots).size, 12);
  }
});

test("optimizer fields: the model, its list of weights, and an optimizer that is another component stay shared", () => {
  class Holding extends Named {
    static override readonly className: string = "Holding";
    model: tf.LayersModel | undefined;
    weights: unknown[] = [];
    inner: tf.Optimizer | undefined;
  }
  tf.serialization.registerClass(Holding as never);
  const make = () => {
    const optimizer = new Holding();
    const { model } = compiled(() => optimizer)();
    return { first: optimizer, inner: tf.train.adam(), model, last: new Holding() };
  };
  const saved = make();
  Object.assign(saved.first, { model: saved.model, weights: saved.model.weights, inner: saved.inner });
  Object.assign(saved.last, { inner: saved.first });
  using snapshot = captureState(saved);
  for (const restored of [restoreState(snapshot), restoreInto(make())(snapshot)()]) {
    const { first, inner, model, last } = right(restored) as typeof saved;
    assert.equal(first.model, model);
    assert.equal(model.optimizer, first);
    assert.deepEqual(first.weights.map((weight, i) => weight === model.weights[i]), model.weights.map(() => true));
    assert.equal(first.inner, inner);
    assert.equal(last.inner, first);
  }
});

test("optimizer fields: live containers are refilled, so that closures see the restored content", () => {
  const make = () => {
    const held = {
      list: [1],
      record: { a: 1 } as Record<string, number>,
      map: new Map([["a", 1]]),
      set: new Set([1]),
      array: new Float32Array(2),
    };
    return { held, optimizer: Object.assign(new AdamW(), held) };
  };
  const saved = make();
  saved.held.list.push(2);
  saved.held.record["b"] = 2;
  saved.held.map.set("b", 2);
  saved.held.set.add(2);
  saved.held.array[1] = 2;
  using snapshot = captureState({ optimizer: saved.optimizer });
  const live = make();
  right(restoreInto({ optimizer: live.optimizer })(snapshot)());
  assert.deepEqual(live.held, saved.held);
  for (const [name, held] of Object.entries(live.held)) {
    assert.equal((live.optimizer as unknown as Record<string, unknown>)[name], held);
  }
});

test("all or nothing: a difference in a field leaves every live object unchanged", async () => {
  const saved = bare(() => new LionByPosition())();
  step(saved);
  using snapshot = captureState(saved);
  const live = { ...bare(() => new LionByPosition())(), a: tf.variable(tf.zeros([4])) };
  live.optimizer.minimize(() => live.a.sum().add(live.b.sum()).asScalar(), false, [live.a, live.b]);
  const error = await allOrNothing(live, () => restoreInto(live)(snapshot)());
  assert.match(explain(error), /a: shape .*\n.*optimizer\/fields\/m\/0: shape/);
});

// --- partial restores and rates

test("partial restore: the rate, a variable or the optimizer can be kept or restored alone, with state keyed by variables", async () => {
  for (const [name, make] of Object.entries(optimizers)) {
    // Adam's slots belong to variables by position, so those of two components cannot be kept separately.
    if (name === "AdamW") continue;
    const saved = bare(make)();
    for (let i = 0; i < 2; i++) step(saved);
    using snapshot = captureState(saved);
    for (const selection of [{ keep: ["a", "b"] }, { only: ["optimizer"] }, { keep: ["optimizer"] }]) {
      const [live, expected] = [bare(make)(), bare(make)()];
      right(restoreInto(expected)(snapshot)());
      const kept = "keep" in selection && selection.keep[0] === "optimizer";
      if (!kept) { for (const part of ["a", "b"] as const) expected[part].assign(live[part]); }
      right(restoreInto(live, selection)(snapshot)());
      if (kept) assert.equal(bits(live), bits(saved));
      else {
        step(live);
        step(expected);
        assert.equal(await idOf(live), await idOf(expected), `${name} ${JSON.stringify(selection)}`);
      }
    }
  }
  const optimizer = new LionByPosition(0.5);
  using snapshot = captureState({ optimizer: Object.assign(new LionByPosition(0.1), { count: 3 }) });
  right(restoreInto({ optimizer }, { keep: ["optimizer/learningRate"] })(snapshot)());
  assert.deepEqual([optimizer.count, optimizer.getConfig()["learningRate"]], [3, 0.5]);
});

test("setLearningRate: uses a method, a field, a variable or the inner optimizer, and otherwise throws a TypeError", () => {
  const rateOf = (optimizer: unknown): unknown => (optimizer as { readonly learningRate: unknown }).learningRate;
  for (const optimizer of [new LionByPosition(), new LionOfTensors(), new DecayingSGD(1), new Lookahead().inner]) {
    setLearningRate(optimizer, 0.25)();
    assert.equal(rateOf(optimizer), 0.25);
  }
  const lookahead = new Lookahead(new Lookahead(tf.train.sgd(1)));
  setLearningRate(lookahead, 0.25)();
  const w = tf.variable(tf.scalar(1));
  lookahead.minimize(() => w.asScalar(), false, [w]);
  assert.equal(w.dataSync()[0], 0.75);
  const variable = Object.assign(new Named(), { learningRate: tf.variable(tf.scalar(1)) });
  setLearningRate(variable, 0.25)();
  assert.equal(variable.learningRate.dataSync()[0], 0.25);
  assert.throws(
    () => setLearningRate(new Named(), 0.25)(),
    /TypeError|Expected an optimizer with a method setLearningRate .* Adam/,
  );
});
