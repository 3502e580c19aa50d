import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  captureState,
  type Codecs,
  directory,
  id,
  Loader,
  memory,
  release,
  restoreInto,
  restoreState,
  Rng,
  Scaler,
  Schedule,
  setLearningRate,
  type StateTree,
  type Store,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import * as t from "io-ts";
import {
  backInto,
  canonical,
  exact,
  idOf,
  immutable,
  left,
  moveCounters,
  noTrace,
  right,
  roundTrip,
  type Subject,
  throughStore,
} from "./support/laws.ts";
import {
  componentNames,
  plainData,
  tensorOf,
  tensors,
  type TensorSpec,
  typedArrays,
  variableOf,
} from "./support/samples.ts";
import { torture } from "./support/torture.ts";

let scratch = "";
before(async () => {
  await tf.setBackend("cpu");
  scratch = await mkdtemp(join(tmpdir(), "dogear-snapshot-"));
});
after(() => rm(scratch, { recursive: true, force: true }));

let folders = 0;
const stores: Readonly<Record<string, () => Store>> = {
  memory,
  "a folder": () => directory(join(scratch, String(folders++))),
};

/** One test for each law, with generated subjects. */
function laws(subjects: fc.Arbitrary<Subject>, runs: number): void {
  const each = (law: (subject: Subject) => Promise<void>, times: number) => () =>
    fc.assert(fc.asyncProperty(subjects, law), { numRuns: Math.max(2, times * torture) });
  test("round trip", each(roundTrip, runs));
  test("no trace", each(noTrace, runs));
  test("immutable", each(immutable, runs));
  test("canonical", each(canonical, runs));
  for (const [name, store] of Object.entries(stores)) {
    test(`round trip through ${name}`, each((subject) => throughStore(store(), subject), Math.ceil(runs / 10)));
  }
}

/** One test for each law, with one subject. */
function lawsOf(subject: Subject): void {
  laws(fc.constant(subject), 1);
}

// --- plain data

/** Changes plain data everywhere. */
function scramble(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    bytes.forEach((byte, i) => bytes[i] = byte ^ 0x55);
    return;
  }
  Object.values(value).forEach(scramble);
  if (Array.isArray(value)) value.push(0);
  else Object.assign(value, { scrambled: Object.keys(value).length });
}

function copied(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copied);
  if (ArrayBuffer.isView(value)) return (value as Uint8Array).slice();
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, copied(part)]));
}

/** A subject of generated plain data. */
function dataSubject(components: object): Subject {
  return { make: () => copied(components) as object };
}

describe("plain data", () => {
  const components = fc.array(fc.tuple(componentNames, plainData), { maxLength: 6 }).map(Object.fromEntries);
  laws(components.map(dataSubject), 30);

  test("immutable: later writes to plain data change neither the snapshot nor another restore", () =>
    fc.assert(
      fc.asyncProperty(components, (data) => immutable({ ...dataSubject(data), train: scramble })),
      { numRuns: 30 * torture },
    ));

  test("round trip: null may be replaced by any plain data", () =>
    fc.assert(
      fc.property(plainData, (value) => {
        using snapshot = captureState({ value });
        assert.equal(exact(right(restoreInto({ value: null })(snapshot)())), exact({ value }));
      }),
      { numRuns: 30 * torture },
    ));
});

test("nothing silent: plain data is restored over other plain data, or every difference in kind is listed", () =>
  fc.assert(
    fc.property(plainData, plainData, (saved, live) => {
      using snapshot = captureState({ value: saved });
      const before = exact(live);
      const result = restoreInto({ value: live })(snapshot)();
      assert.equal(exact(live), before);
      if (result._tag === "Right") assert.equal(exact(result.right), exact({ value: saved }));
      else assert.ok(result.left._tag === "Mismatch" && result.left.problems.every(({ kind }) => kind === "kind"));
    }),
    { numRuns: 100 * torture },
  ));

describe("typed arrays", () => {
  laws(fc.array(typedArrays, { minLength: 1, maxLength: 6 }).map((arrays) => dataSubject({ arrays })), 40);
});

test("canonical: digests are the same in every runtime, process and version", async () => {
  const kernel = tf.tensor([[1, -0], [NaN, 5e-324]], [2, 2]);
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [2], useBias: false })] });
  model.weights.map(variableOf).forEach((variable) => variable.assign(kernel));
  model.compile({ optimizer: tf.train.momentum(0.1, 0.9), loss: "meanSquaredError" });
  const list = [1, "two", 3n];
  const states: Readonly<Record<string, object>> = {
    scalars: { a: -0, b: NaN, c: 5e-324, d: -(10n ** 30n), e: "\ud800\u00e9", f: null, g: true, h: 1e21 },
    data: { one: list, two: list, bytes: new Uint16Array([1, 65535]), ["__proto__"]: { "": [] } },
    tensors: { kernel, flag: tf.scalar(true), words: tf.tensor(["a", "é"]), z: tf.complex([1, 2], [3, -0]) },
    values: { rng: Rng.make(42), schedule: Schedule.linear({ base: 1, steps: 3 }), scaler: Scaler.make() },
    model: { model, optimizer: model.optimizer },
  };
  const digests = await Promise.all(Object.entries(states).map(async ([name, state]) => [name, await idOf(state)]));
  assert.deepEqual(Object.fromEntries(digests), {
    scalars: "ce59b2db45d6508472938bb7b7b92704d0ab9ac2c41da96fc6b73606d9f9a017",
    data: "626b0c3cc7e96f80e980d10b7c586add32f431a44b567177e6c1a5a3be6984d5",
    tensors: "a1e067a96ba5845532f1d20bea5b75212a91a50f06bfb2b296cc7380eb5f2401",
    values: "e52efea8c8545e3f1d2de0985a8589bdf17f0427e16a253f3ecf23e09ad1fefd",
    model: "897286606ed6a838d94fd9f3c6c5eac8a7d893112d2ae5d5bf11c737a35fd552",
  });
});

test("canonical: states that differ in one bit, class, name or kind have different digests", async () => {
  const shared = tf.variable(tf.scalar(1));
  const nan = (bits: number): tf.Tensor => tf.tensor(new Float32Array(new Uint32Array([bits]).buffer));
  const states: readonly object[] = [
    {},
    { a: 0 },
    { a: -0 },
    { a: 0n },
    { a: "0" },
    { a: null },
    { a: false },
    { a: [] },
    { a: {} },
    { a: [0] },
    { a: { 0: 0 } },
    { a: [[0], 0] },
    { a: [[0, 0]] },
    { b: 0 },
    { a: 0, b: 0 },
    { a: new Uint8Array(2) },
    { a: new Int8Array(2) },
    { a: new Uint16Array(1) },
    { a: nan(0x7fc00000) },
    { a: nan(0x7fc00001) },
    { a: tf.zeros([2]) },
    { a: tf.zeros([2, 1]) },
    { a: tf.zeros([2], "int32") },
    { a: tf.variable(tf.zeros([2])) },
    { a: tf.variable(tf.zeros([2]), false) },
    { a: tf.variable(tf.zeros([2]), true, "mine") },
    { a: shared, b: shared },
    { a: tf.variable(tf.scalar(1)), b: tf.variable(tf.scalar(1)) },
    { a: Rng.make(1) },
    { a: { ...Rng.make(1), _tag: "rng" } },
  ];
  const digests = await Promise.all(states.map((state) => idOf(state)));
  assert.equal(new Set(digests).size, states.length);
});

// --- tensors and variables

/** A record of the arrays that specs describe. */
function madeOf(specs: readonly TensorSpec[], make: (spec: TensorSpec) => unknown): () => object {
  return () => ({ list: specs.map(make), nested: { first: specs.slice(0, 1).map(make) } });
}

const anySpecs = fc.array(tensors, { maxLength: 5 });

for (const backend of ["cpu", "wasm"]) {
  describe(`tensors on ${backend}`, () => {
    before(async () => {
      if (backend === "wasm") await import("@tensorflow/tfjs-backend-wasm");
      await tf.setBackend(backend);
    });
    after(() => tf.setBackend("cpu"));
    // The wasm backend has no complex64.
    const specs = anySpecs.map((all) => all.filter(({ dtype }) => backend === "cpu" || dtype !== "complex64"));
    laws(specs.map((all) => ({ make: madeOf(all, tensorOf) })), 30);

    test("immutable: later writes to a tensor's shape are not in the snapshot", async () => {
      const w = tf.zeros([2, 3]);
      using snapshot = captureState({ w });
      const before = await id(snapshot)();
      w.shape.reverse();
      assert.equal(await id(snapshot)(), before);
    });

    test("no trace: a snapshot keeps the data of its tensors until it is released, and no other data", () => {
      const before = tf.memory().numDataBuffers;
      const buffers = (): number => tf.memory().numDataBuffers - before;
      const zeros = (): tf.Variable => tf.tidy(() => tf.variable(tf.zeros([9])));
      const state = { tensor: tf.ones([9]), variable: zeros(), other: tf.ones([9]) };
      const { tensor, variable } = state;
      const [first, second] = [captureState({ tensor, variable }), captureState({ tensor, variable })];
      assert.equal(buffers(), 3);
      tf.tidy(() => variable.assign(variable.add(1)));
      assert.equal(buffers(), 4, "the variable's old value is held");
      tf.dispose(state);
      assert.equal(buffers(), 2, "all else is free");
      release(first)();
      release(first)();
      assert.equal(buffers(), 2, "the other snapshot holds the same");
      const restored = right(restoreState(second));
      restored.tensor.dispose();
      second[Symbol.dispose]();
      assert.equal(buffers(), 1, "what was restored has the rest");
      restored.variable.dispose();
      assert.equal(buffers(), 0);
    });
  });
}

describe("variables", () => {
  const numeric = tensors.filter(({ dtype }) => dtype !== "string" && dtype !== "complex64");
  const flagged = fc.array(fc.tuple(numeric, fc.boolean()), { minLength: 1, maxLength: 4 });
  laws(
    flagged.map((all) => ({
      make: () => ({ list: all.map(([spec, trainable]) => tf.variable(tensorOf(spec), trainable)) }),
    })),
    30,
  );

  const names = fc.uniqueArray(fc.constantFrom("w", "w_1", "moving mean", "é/~", "layer/kernel"), { minLength: 1 });
  test("round trip: variable names are restored, with another registered name while the name is in use", () =>
    fc.assert(
      fc.asyncProperty(names, async (given) => {
        const make = (): Record<string, tf.Variable> =>
          Object.fromEntries(given.map((name, i) => [`v${i}`, tf.variable(tf.scalar(i), true, name)]));
        const namesOf = (state: Readonly<Record<string, tf.Variable>>): readonly string[] =>
          Object.values(state).map(({ name }) => name);
        const state = make();
        using snapshot = captureState(state);
        const beside = right(restoreState(snapshot));
        assert.equal(await idOf(beside), await id(snapshot)());
        assert.equal(new Set([...namesOf(state), ...namesOf(beside)]).size, 2 * given.length);
        const again = right(restoreState(captureState(beside)));
        assert.equal(await idOf(again), await id(snapshot)());
        tf.dispose([state, beside, again]);
        const alone = right(restoreState(snapshot));
        assert.deepEqual(namesOf(alone), given);
        tf.dispose(alone);
        const live = make();
        assert.equal(await idOf(right(restoreInto(live)(snapshot)())), await id(snapshot)());
        tf.dispose(live);
      }),
      { numRuns: 20 * torture },
    ));

  test("immutable: training", () => {
    const train = ({ v }: { v: tf.Variable }): void => tf.tidy(() => v.assign(v.add(1)));
    return immutable({ make: () => ({ v: tf.variable(tf.tensor([1, 2])) }), train });
  });

  test("canonical: variable names generated by tfjs are not state, names that a user gave are", async () => {
    const make = (name?: string): object => ({ v: tf.variable(tf.scalar(1), true, name) });
    const unnamed = await idOf(make());
    moveCounters();
    assert.equal(await idOf(make()), unnamed);
    const [alpha, beta] = [await idOf(make("alpha")), await idOf(make("beta"))];
    assert.equal(new Set([unnamed, alpha, beta]).size, 3);
  });

  test("no trace: a snapshot stays usable after all variables are disposed of", async () => {
    const state = { v: tf.variable(tf.tensor([1, 2, 3])), adam: tf.train.adam(0.1) };
    state.adam.minimize(() => state.v.square().sum().asScalar(), false, [state.v]);
    const snapshot = captureState(state);
    const digest = await id(snapshot)();
    tf.disposeVariables();
    assert.equal(await id(snapshot)(), digest);
    const again = right(restoreState(snapshot));
    assert.equal(await idOf(again), digest);
    release(snapshot)();
    assert.deepEqual(left(restoreState(snapshot)), { _tag: "Released" });
    tf.disposeVariables();
  });
});

// --- the toolkit's own values

const seeds = fc.oneof(fc.integer(), fc.bigInt(), fc.string());

describe("Rng", () => {
  const algorithms = ["xoroshiro128plus", "xorshift128plus", "congruential32"] as const;
  const subjects = fc.tuple(seeds, fc.constantFrom(...algorithms), fc.nat(9)).map(([seed, algorithm, n]): Subject => ({
    make: () => ({ rng: Rng.skip(n)(Rng.make(seed, algorithm)) }),
    probe: ({ rng }: { rng: Rng.Rng }) => [Rng.floats(5)(rng), Rng.int(1, 6)(rng), Rng.fork("x")(rng)],
  }));
  laws(subjects, 20);
});

describe("Cursor", () => {
  const subjects = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.nat(20), fc.nat(5)).map(
    ([size, seen, seed]): Subject => {
      const loader = Loader.batch(2)(Loader.shuffle(seed)(Loader.fromArray(Array.from({ length: size }, (_, i) => i))));
      const endless = Loader.repeat()(loader);
      return {
        make: () => ({ cursor: Loader.start(Loader.skip(seen)(endless)), list: [Loader.start(endless)] }),
        probe: async ({ cursor }: { cursor: Loader.Cursor }) => {
          const items: unknown[] = [];
          for await (const item of Loader.from(cursor)(endless)) if (items.push(item) === 3) break;
          return items;
        },
      };
    },
  );
  laws(subjects, 20);
});

const schedules: Readonly<Record<string, Schedule.Schedule>> = {
  constant: Schedule.constant({ base: 0.1 }),
  step: Schedule.step({ base: 0.1, every: 2, factor: 0.5 }),
  multiStep: Schedule.multiStep({ base: 0.1, milestones: [2, 5], factor: 0.5 }),
  exponential: Schedule.exponential({ base: 0.1, factor: 0.9 }),
  cosine: Schedule.cosine({ base: 0.1, steps: 9 }),
  linear: Schedule.linear({ base: 0.1, steps: 9 }),
  polynomial: Schedule.polynomial({ base: 0.1, steps: 9, power: 0.5 }),
  oneCycle: Schedule.oneCycle({ peak: 0.1, steps: 9 }),
  threePhases: Schedule.oneCycle({ peak: 0.1, steps: 9, anneal: "linear", threePhase: true }),
  plateau: Schedule.plateau({ base: 0.1, factor: 0.5, patience: 1 }),
  absolute: Schedule.plateau({ base: 0.1, factor: 0.5, patience: 1, thresholdMode: "abs" }),
  product: Schedule.product([Schedule.linear({ base: 0.1, steps: 9 }), Schedule.exponential({ base: 1, factor: 0.9 })]),
  warmup: Schedule.warmup(4)(Schedule.cosine({ base: 0.1, steps: 9 })),
  sequence: Schedule.sequence([[Schedule.constant({ base: 1 }), 2], [
    Schedule.plateau({ base: 0.1, factor: 0.5, patience: 0 }),
    9,
  ]]),
};

describe("Schedule", () => {
  const onwards = (schedule: Schedule.Schedule, steps: number): readonly Schedule.Schedule[] =>
    Array.from({ length: steps }).reduce<readonly Schedule.Schedule[]>(
      (all, _, i) => [...all, Schedule.next(all.at(-1) ?? schedule, 1 / (1 + (i % 3)))],
      [schedule],
    );
  const subjects = fc.tuple(fc.constantFrom(...Object.values(schedules)), fc.nat(12)).map(([first, n]): Subject => ({
    make: () => ({ schedule: onwards(first, n).at(-1) }),
    probe: ({ schedule }: { schedule: Schedule.Schedule }) => onwards(schedule, 6).map(Schedule.rate),
  }));
  laws(subjects, 40);
});

describe("Scaler", () => {
  const subjects = fc.array(fc.boolean(), { maxLength: 8 }).map((overflows): Subject => ({
    make: () => ({
      scaler: overflows.reduce((s, overflow) => Scaler.update(overflow)(s), Scaler.make({ growthInterval: 3 })),
    }),
  }));
  laws(subjects, 10);
});

test("nothing silent: a malformed value of the toolkit is an error, not plain data", () => {
  const values = [Rng.make(1), Loader.start(Loader.fromArray([1])), Schedule.constant({ base: 1 }), Scaler.make()];
  for (const value of values) {
    for (const field of Object.keys(value).filter((name) => name !== "_tag")) {
      const malformed = { ...value, [field]: { malformed: true } };
      assert.throws(() => captureState({ at: [malformed] }), new RegExp(`at/0: .*malformed ${value._tag}`));
    }
  }
});

// --- codecs

/** Moving averages of weights: a user's class. */
class Averages {
  readonly decay: number;
  readonly shadows: readonly tf.Tensor[];
  readonly counts: Float64Array;
  constructor(decay: number, shadows: readonly tf.Tensor[], counts: Float64Array) {
    this.decay = decay;
    this.shadows = shadows;
    this.counts = counts;
  }
}

const Encoded = t.type({ decay: t.number, shadows: t.array(t.unknown), counts: t.unknown });

/** Its codec. With `copies`, it keeps copies of the decoded tensors. */
function averagesCodec(copies: boolean): t.Type<Averages, StateTree> {
  return new t.Type<Averages, StateTree>(
    "Averages",
    (u): u is Averages => u instanceof Averages,
    (u, context) => {
      if (!Encoded.is(u) || !(u.counts instanceof Float64Array)) return t.failure(u, context);
      const shadows = u.shadows as readonly tf.Tensor[];
      return t.success(new Averages(u.decay, copies ? shadows.map((s) => s.clone()) : shadows, u.counts));
    },
    ({ decay, shadows, counts }) => ({ decay, shadows, counts }),
  );
}

/** A codec that encodes a value as itself, or as a part of it. */
function codecOf<A>(
  is: (u: unknown) => u is A,
  encode: (value: A) => StateTree,
  decode: (u: unknown) => A,
): t.Type<A, StateTree> {
  return new t.Type<A, StateTree>("own", is, (u) => t.success(decode(u)), encode);
}

const isTensor = (u: unknown): u is tf.Tensor => u instanceof tf.Tensor;
const codecs: Readonly<Record<string, readonly [codec: Codecs[string], make: () => unknown]>> = {
  "tensors and typed arrays": [
    averagesCodec(false),
    () => new Averages(0.9, [tf.tensor([1, NaN])], new Float64Array(2)),
  ],
  "tensors that it copies": [averagesCodec(true), () => new Averages(0.9, [tf.tensor([1])], new Float64Array([-0]))],
  "a tensor as itself": [codecOf(isTensor, (x) => x, (u) => u as tf.Tensor), () => tf.tensor([1, 2])],
  "a typed array as itself": [
    codecOf((u): u is Int8Array => u instanceof Int8Array, (x) => x, (u) => u as Int8Array),
    () => new Int8Array([1, 2]),
  ],
  "plain data as itself": [t.type({ best: t.union([t.null, t.number]) }), () => ({ best: null })],
  "a scalar": [
    codecOf((u): u is Date => u instanceof Date, (date) => date.getTime(), (u) => new Date(u as number)),
    () => new Date(86_400_000),
  ],
  "null": [t.union([t.null, t.string]), () => null],
};

for (const [name, [codec, make]] of Object.entries(codecs)) {
  describe(`a codec of ${name}`, () => {
    const own: Codecs = { own: codec };
    lawsOf({ make: () => ({ own: make(), tensor: tf.scalar(1) }), codecs: own });
  });
}

test("round trip: a tensor of a codec that is also a component stays one tensor, in any order", async () => {
  for (const order of [["averages", "tensor"], ["tensor", "averages"]]) {
    const tensor = tf.tensor([1, 2, 3]);
    const parts: Record<string, unknown> = { tensor, averages: new Averages(1, [tensor], new Float64Array()) };
    const state = Object.fromEntries(order.map((name) => [name, parts[name]]));
    const own = { codecs: { averages: averagesCodec(false) } } as { readonly codecs: Codecs };
    using snapshot = captureState(state, own);
    const before = tf.memory().numTensors;
    const again = right(restoreState(snapshot, own)) as { tensor: tf.Tensor; averages: Averages };
    assert.equal(tf.memory().numTensors, before + 1);
    assert.equal(again.averages.shadows[0], again.tensor);
    assert.equal(await idOf(again, own.codecs), await idOf(state, own.codecs));
  }
});

// --- optimizers

const optimizers: Readonly<Record<string, () => tf.Optimizer>> = {
  sgd: () => tf.train.sgd(0.1),
  momentum: () => tf.train.momentum(0.1, 0.9),
  nesterov: () => tf.train.momentum(0.1, 0.9, true),
  adagrad: () => tf.train.adagrad(0.1),
  adadelta: () => tf.train.adadelta(0.1),
  adam: () => tf.train.adam(0.1),
  adamax: () => tf.train.adamax(0.1, 0.9, 0.999, 1e-7, 0.01),
  rmsprop: () => tf.train.rmsprop(0.1, 0.9, 0.5),
  "centered rmsprop": () => tf.train.rmsprop(0.1, 0.9, 0, 1e-7, true),
};

interface Training {
  readonly v: tf.Variable;
  readonly w: tf.Variable;
  readonly optimizer: tf.Optimizer;
}

function minimize({ v, w, optimizer }: Training): void {
  optimizer.minimize(() => v.square().sum().add(w.mul(v).mean()).asScalar(), false, [v, w]);
}

for (const [name, make] of Object.entries(optimizers)) {
  describe(name, () => {
    const subject: Subject = {
      make: () => ({ v: tf.variable(tf.tensor([1, -2, 3])), w: tf.variable(tf.scalar(0.3)), optimizer: make() }),
      train: (state: Training) => {
        minimize(state);
        setLearningRate(state.optimizer, 0.07)();
        minimize(state);
      },
      probe: (state: Training) => {
        for (let step = 0; step < 3; step++) minimize(state);
        return [exact(state), state.optimizer.getConfig()];
      },
    };
    lawsOf(subject);
    test("round trip: into an optimizer that has taken more steps", () => backInto(subject));
    describe("before its first step", () => {
      const { make, probe } = subject;
      lawsOf(probe === undefined ? { make } : { make, probe });
    });
  });
}
