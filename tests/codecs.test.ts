import {
  captureState,
  type Codec,
  codecOf,
  diff,
  fit,
  id,
  Loader,
  loadState,
  memory,
  pipe,
  readSnapshot,
  type Report,
  restoreInto,
  restoreState,
  resume,
  Rng,
  runOrThrow,
  saveState,
  train,
} from "@dogear/dogear";
import { proveResume } from "@dogear/dogear/prove";
import * as tf from "@tensorflow/tfjs";
import * as t from "io-ts";
import fc from "fast-check";
import assert from "node:assert/strict";
import { before, test } from "node:test";

before(async () => void await tf.setBackend("cpu"));

// --- types

class Vocabulary {
  constructor(readonly words: ReadonlyMap<string, number>) {}
}

class Corpus {
  constructor(readonly vocabulary: Vocabulary, readonly texts: readonly string[]) {}
}

/** An average of weights. */
class Average {
  constructor(readonly weights: tf.Tensor) {}
}

const vocabularyCodec = codecOf(
  "Vocabulary",
  Vocabulary,
  ({ words }) => [...words],
  (words) => new Vocabulary(new Map(words)),
);
const corpusCodec = codecOf(
  "Corpus",
  Corpus,
  ({ vocabulary, texts }) => ({ vocabulary, texts }),
  ({ vocabulary, texts }) => new Corpus(vocabulary, texts),
);
const averageCodec = codecOf("Average", Average, ({ weights }) => ({ weights }), ({ weights }) => new Average(weights));
const dateCodec = codecOf("Date", Date, (date) => date.getTime(), (time) => new Date(time));
const types = [vocabularyCodec, corpusCodec, averageCodec, dateCodec];

const words = (n: number): Vocabulary => new Vocabulary(new Map(Array.from({ length: n }, (_, i) => [`w${i}`, i])));

function right<A>(result: { readonly _tag: "Left"; readonly left: unknown } | { readonly _tag: "Right"; right: A }): A {
  if (result._tag === "Left") assert.fail(JSON.stringify(result.left));
  return result.right;
}

function problemsOf(
  result: unknown,
): readonly { readonly path: string; readonly expected: string; readonly found: string }[] {
  const { left } = result as { left?: { problems?: [] } };
  return left?.problems ?? assert.fail("restored");
}

// --- round trip

/** Plain data with values of two types at any depth. */
const deepData = fc.letrec((tie) => ({
  data: fc.oneof(
    { maxDepth: 4 },
    fc.integer(),
    fc.constant(null),
    fc.nat(3).map(words),
    fc.date({ noInvalidDate: true }),
    fc.array(tie("data"), { maxLength: 3 }),
    fc.dictionary(fc.string({ maxLength: 4 }), tie("data"), { maxKeys: 3, noNullPrototype: true }),
  ),
})).data;

test("types: round trip, canonical: values of the user's types at any depth, fresh, in place and through a store", async () => {
  await fc.assert(
    fc.asyncProperty(deepData, async (data) => {
      const state = { data, corpus: new Corpus(words(2), ["a"]) };
      using snapshot = captureState(state, { types });
      const digest = await id(snapshot);
      const store = memory();
      await saveState(store, { types })(state);
      using read = await readSnapshot(store);
      const live = { data: structuredClone(null), corpus: new Corpus(words(0), []) };
      const restored = [
        right(restoreState(snapshot, { types })),
        right(restoreState(read, { types })),
        right(restoreInto(live, { types })(snapshot)()),
        await loadState(store, { types })(live),
      ];
      for (const one of restored) {
        assert.deepEqual(one, state);
        using again = captureState(one as object, { types });
        assert.equal(await id(again), digest);
      }
    }),
    { numRuns: 40 },
  );
});

test("types: sharing: one object under two names, also inside another's plain form, comes back as one", () => {
  class Tagged {
    readonly _tag = "Tagged";
  }
  const tagged = new Tagged();
  const all = [...types, codecOf("Tagged", Tagged, () => null, () => new Tagged())];
  const vocabulary = words(2);
  const state = {
    ...{ a: vocabulary, list: [{ vocabulary }], corpus: new Corpus(vocabulary, []), other: words(2) },
    tagged: [tagged, tagged],
  };
  using snapshot = captureState(state, { types: all });
  for (const restored of [restoreState(snapshot, { types: all }), restoreInto(state, { types: all })(snapshot)()]) {
    const { a, list, corpus, other, tagged } = right(restored) as typeof state;
    assert.ok(tagged[0] instanceof Tagged && tagged[0] === tagged[1]);
    assert.ok(a instanceof Vocabulary && a !== vocabulary);
    assert.equal(list[0]?.vocabulary, a);
    assert.equal(corpus.vocabulary, a);
    assert.notEqual(other, a);
  }
});

test("types: a live instance is replaced in the result, and stays as it was; what is replaced is reported", async () => {
  const store = memory();
  await saveState(store, { types })({ best: { vocabulary: words(3), at: null as Date | null } });
  const live = { best: { vocabulary: words(1), at: null as Date | null } };
  const { vocabulary } = live.best;
  const replaced: unknown[] = [];
  const onReport = ({ overridden }: { readonly overridden: readonly unknown[] }): void =>
    void replaced.push(...overridden);
  const loaded = await loadState(store, { types, onReport })(live);
  assert.deepEqual(loaded.best.vocabulary, words(3));
  assert.equal(live.best.vocabulary, vocabulary);
  assert.deepEqual(vocabulary, words(1));
  assert.deepEqual((replaced as { path: string }[]).map(({ path }) => path), ["best/vocabulary"]);
});

test("types: no trace, tensors inside: shared ones stay shared, unused ones are disposed of, also in nested types", () => {
  class Pair {
    constructor(readonly first: Average, readonly second: number) {}
  }
  const pairCodec = codecOf(
    "Pair",
    Pair,
    ({ first }) => ({ first, spare: first.weights.mul(2) }),
    ({ first, spare }) => new Pair(first, spare.dataSync()[0] ?? 0),
  );
  const both = [...types, pairCodec];
  const weights = tf.tensor([1, 2]);
  const state = { deep: [new Pair(new Average(weights), 2)], weights };
  const before = tf.memory().numTensors;
  const snapshot = captureState(state, { types: both });
  assert.equal(tf.memory().numTensors, before);
  const { deep: [pair], weights: again } = right(restoreState(snapshot, { types: both })) as typeof state;
  assert.equal(pair?.first.weights, again);
  assert.equal(again.isDisposed, false);
  assert.deepEqual([...again.dataSync()], [1, 2]);
  assert.equal(pair?.second, 2);
  // The encoding makes a new spare each time, so that it does not show which tensors the value holds: the spare is kept.
  assert.ok(tf.memory().numTensors <= before + 2);
  snapshot[Symbol.dispose]();
});

test("types: tensors of a type inside another's plain form stay", () => {
  class Outer {
    constructor(readonly inner: Average) {}
  }
  const outer = codecOf("Outer", Outer, ({ inner }) => ({ inner }), ({ inner }) => new Outer(inner));
  const state = { outer: new Outer(new Average(tf.tensor([1, 2]))) };
  using snapshot = captureState(state, { types: [outer, averageCodec] });
  const { inner: { weights } } = right(restoreState(snapshot, { types: [outer, averageCodec] })).outer;
  assert.equal(weights.isDisposed, false);
  assert.deepEqual([...weights.dataSync()], [1, 2]);
});

test("types: a shape that differs inside a type is found before any tensor is read", async () => {
  const store = memory();
  await saveState(store, { types })({ average: new Average(tf.zeros([2])), v: tf.variable(tf.zeros([2])) });
  let pieces = 0;
  const live = { average: new Average(tf.zeros([2])), v: tf.variable(tf.zeros([3])) };
  const loaded = await loadState(store, { types, onProgress: () => void pieces++ })(live)();
  assert.deepEqual(problemsOf(loaded).map(({ path }) => path), ["v"]);
  assert.equal(pieces, 0);
});

test("types: no trace: a tensor that fromPlain does not keep is disposed of", () => {
  const sum = codecOf("Average", Average, ({ weights }) => ({ weights }), ({ weights }) => new Average(weights.mul(1)));
  const state = { deep: [new Average(tf.tensor([1, 2]))] };
  const before = tf.memory().numTensors;
  using snapshot = captureState(state, { types: [sum] });
  const [average] = right(restoreState(snapshot, { types: [sum] })).deep;
  assert.equal(average?.weights.isDisposed, false);
  assert.equal(tf.memory().numTensors, before + 1);
});

test("types: no tensor of a value is disposed of, and none is leaked unless toPlain gives copies", () => {
  for (const [copiesOut, copiesIn] of [[false, false], [false, true], [true, false], [true, true]] as const) {
    const codec = codecOf(
      "Average",
      Average,
      ({ weights }) => ({ weights: copiesOut ? weights.clone() : weights }),
      ({ weights }) => new Average(copiesIn ? weights.clone() : weights),
    );
    const state = { deep: [new Average(tf.tensor([1, 2]))] };
    const before = tf.memory().numTensors;
    using snapshot = captureState(state, { types: [codec] });
    assert.equal(tf.memory().numTensors, before);
    const [average] = right(restoreState(snapshot, { types: [codec] })).deep;
    assert.deepEqual([...average!.weights.dataSync(), ...state.deep[0]!.weights.dataSync()], [1, 2, 1, 2]);
    assert.equal(tf.memory().numTensors, before + (copiesOut && copiesIn ? 2 : 1));
  }
});

test("types: a codec by component name restores what a type saved, and the other way round", () => {
  const state = { vocabulary: words(2) };
  using byType = captureState(state, { types });
  assert.deepEqual(right(restoreState(byType, { codecs: { vocabulary: vocabularyCodec } })), state);
  using byName = captureState(state, { codecs: { vocabulary: vocabularyCodec } });
  assert.deepEqual(right(restoreState(byName, { types })), state);
});

test("types: any io-ts codec: plain data, symbols and functions that its `is` accepts; the first that accepts wins", () => {
  const point = t.type({ x: t.number, y: t.number }, "Point");
  const activations = { relu: (x: number) => Math.max(0, x), id: (x: number) => x };
  const activation = new t.Type<unknown, string>(
    "Activation",
    (u): u is unknown => typeof u === "function",
    (u, context) => u === "relu" || u === "id" ? t.success(activations[u]) : t.failure(u, context),
    (f) => f === activations.relu ? "relu" : "id",
  );
  const both: readonly Codec[] = [point, t.type({ x: t.number }, "Half"), activation];
  const state = { points: [{ x: 1, y: 2 }, { x: 3 }], layers: [{ activation: activations.relu as unknown }] };
  using snapshot = captureState(state, { types: both });
  assert.match(JSON.stringify(snapshot.encoded), /codec:Point.*codec:Half.*codec:Activation/);
  const restored = right(restoreState(snapshot, { types: both }));
  assert.deepEqual(restored.points, state.points);
  assert.equal(restored.layers[0]?.activation, activations.relu);
});

test("types: in fields of the user's own optimizer and of callbacks, and in `with`", async () => {
  class Own extends tf.SGDOptimizer {
    words: Vocabulary | null = words(2);
  }
  const state = { optimizer: new Own(0.1) };
  using snapshot = captureState(state, { types });
  const live = { optimizer: new Own(0.1) };
  live.optimizer.words = words(1);
  assert.deepEqual(right(restoreInto(live, { types })(snapshot)()).optimizer.words, words(2));

  const store = memory();
  class Seen extends tf.CustomCallback {
    vocabulary = words(0);
    constructor() {
      super({ onEpochEnd: (epoch) => void (this.vocabulary = words(epoch + 1)) });
    }
  }
  const train = async (last: number): Promise<readonly [Seen, { corpus: Corpus }]> => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
    model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
    const [seen, own] = [new Seen(), { corpus: new Corpus(words(1), []) }];
    const others = new tf.CustomCallback({
      onBatchEnd: () => void (own.corpus = new Corpus(own.corpus.vocabulary, [...own.corpus.texts, "x"])),
      onEpochBegin: (epoch) => {
        if (epoch > last) throw new Error("killed");
      },
    });
    const xs = tf.ones([2, 1]);
    const args = { epochs: 3, batchSize: 2, callbacks: [seen, others] };
    const result = await fit({ to: store, with: own, types })(model, xs, xs, args)();
    assert.equal(result._tag, last < 2 ? "Left" : "Right");
    return [seen, own];
  };
  await train(1);
  const [seen, own] = await train(2);
  assert.deepEqual(seen.vocabulary, words(3));
  assert.deepEqual(own.corpus.texts, ["x", "x", "x"]);
});

test("types: said: the report of fit names the objects in `with` that were replaced, and no others", async () => {
  const store = memory();
  const reports: Report[] = [];
  const run = async (killed: boolean) => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
    model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
    const own = {
      words: words(1),
      deep: {
        vocabularies: [words(2)],
        texts: ["a"],
        "a/b": new Map([["c", words(3)]]),
        draws: Rng.make(1),
        best: null,
      },
      mean: tf.scalar(1),
      ema: tf.variable(tf.scalar(1)),
      counts: new Float32Array(2),
    };
    const before = own.deep;
    const callbacks = { onEpochEnd: (epoch: number) => assert.ok(!killed || epoch < 1, "killed") };
    const options = { to: store, with: own, types, onReport: (report: Report) => void reports.push(report) };
    const result = await fit(options)(model, tf.ones([2, 1]), tf.ones([2, 1]), { epochs: 3, verbose: 0, callbacks })();
    assert.equal(result._tag, killed ? "Left" : "Right");
    assert.equal(own.deep, before);
  };
  await run(true);
  await run(false);
  assert.deepEqual(reports.map(({ replaced }) => replaced), [
    ["words", "deep/vocabularies/0", "deep/a~1b/c", "mean"],
  ]);
});

// --- nothing silent

test("types: readers without the codecs still show the tree: id, diff, read", async () => {
  const store = memory();
  await saveState(store, { types })({ deep: [{ vocabulary: words(2) }] });
  using read = await readSnapshot(store);
  using other = captureState({ deep: [{ vocabulary: words(3) }] }, { types });
  assert.deepEqual((await diff(read, other)).map(({ path }) => path), ["deep/0/vocabulary/2"]);
});

test("types: nothing silent: a missing type is an error with its path and the remedy, fresh and in place", () => {
  using snapshot = captureState({ deep: [{ vocabulary: words(2) }], top: words(1) }, { types });
  const live = { deep: [{ vocabulary: words(2) }], top: words(1) };
  for (const result of [restoreState(snapshot), restoreInto(live as object)(snapshot)()]) {
    assert.deepEqual(
      problemsOf(result).map(({ path, expected, found }) => `${path}: ${expected}: ${found}`),
      ["deep/0/vocabulary", "top"].map((path) => `${path}: the codec named "Vocabulary": none`),
    );
  }
});

test("types: nothing silent: a live value of another class, and a saved one of another, are differences", () => {
  using snapshot = captureState({ a: [words(1)], b: [1], c: words(1) }, { types });
  const live = { a: [new Date(0)], b: [words(1)], c: null };
  assert.deepEqual(
    problemsOf(restoreInto(live as object, { types })(snapshot)()).map(({ path, expected, found }) =>
      `${path}: ${expected}: ${found}`
    ),
    ["a/0: a Vocabulary: a Date"],
  );
});

test("types: nothing silent: fromPlain that throws, or returns another class, is a difference at its path", () => {
  const faulty: Readonly<Record<string, () => unknown>> = {
    "no words": () => {
      throw new Error("no words");
    },
    "what fromPlain returned: an instance of Date": () => new Date(0),
    "what fromPlain returned: a promise": () => Promise.resolve(words(1)),
  };
  using snapshot = captureState({ deep: [words(1)] }, { types });
  for (const [found, fromPlain] of Object.entries(faulty)) {
    const codec = codecOf("Vocabulary", Vocabulary, () => null, fromPlain as never);
    const [problem] = problemsOf(restoreState(snapshot, { types: [codec] }));
    assert.equal(problem?.path, "deep/0");
    assert.ok(problem?.found.includes(found), problem?.found);
  }
});

test("types: all or nothing: a type that fails leaves every live object as it was, and no tensor", () => {
  const state = { v: tf.variable(tf.tensor([1, 2])), deep: [new Average(tf.tensor([3]))], end: new Date(0) };
  const failing = codecOf("Date", Date, Number, () => {
    throw new Error("failed");
  });
  using snapshot = captureState(state, { types });
  state.v.assign(tf.tensor([5, 6]));
  const before = tf.memory();
  for (const restored of [restoreInto(state, { types: [averageCodec, failing] })(snapshot)(), restoreState(snapshot)]) {
    assert.equal(restored._tag, "Left");
  }
  assert.deepEqual([...state.v.dataSync()], [5, 6]);
  assert.deepEqual(tf.memory(), before);
});

test("types: a loop saves with them, and a proof restores with them", async () => {
  const loader = Loader.fromArray([1, 2, 3]);
  const fresh = (): { cursor: Loader.Cursor; seen: Vocabulary[] } => ({ cursor: Loader.start(loader), seen: [] });
  type State = ReturnType<typeof fresh>;
  const step = (state: State, n: number): State => ({ ...state, seen: [...state.seen, words(n)] });
  const store = memory();
  const done = await pipe(fresh(), train({ loader, step, save: { to: store, every: 1, types } }), runOrThrow);
  assert.deepEqual((await loadState(store, { types })(fresh())).seen, done.seen);
  const proof = await proveResume({ fresh, step, loader, types, steps: 3 });
  assert.equal(proof.steps, 3);
});

test("types: a subclass is not its base, and cycles are errors, also in fields", () => {
  class Special extends Vocabulary {}
  const special = { deep: [new Special(new Map())] } as object;
  assert.throws(
    () => captureState(special, { types }),
    /deep\/0: .*found an instance of Special: the codec named "Vocabulary" takes no subclasses/,
  );

  class Item {
    next: unknown = null;
  }
  const item = new Item();
  item.next = { item };
  const items = [codecOf("Item", Item, ({ next }) => ({ next }), () => new Item())];
  assert.throws(() => captureState({ item } as object, { types: items }), /item\/next\/item: .*without a cycle.*item/);
  class Own extends tf.SGDOptimizer {
    item = item;
  }
  assert.throws(() => captureState({ own: new Own(1) }, { types: items }), /fields\/item\/next\/item.*without a cycle/);
});

test("types: what the toolkit captures by itself goes first", () => {
  const everything = new t.Type<object, null>(
    "Everything",
    (u): u is object => typeof u === "object",
    (_, context) => t.failure(null, context),
    () => null,
  );
  const state = {
    rng: Rng.make(1),
    model: tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] }),
  };
  using snapshot = captureState(state, { types: [everything] });
  assert.deepEqual(right(restoreState(snapshot)).rng, state.rng);
});

test("types: what is no codec, and two of one name, are a TypeError at the call with the expected form", () => {
  const unchecked = { captureState, restoreState, restoreInto, saveState, loadState, resume, fit } as never as Record<
    string,
    (...args: unknown[]) => unknown
  >;
  using snapshot = captureState({ a: 1 });
  class ZodObject {
    readonly "~standard" = { version: 1, vendor: "zod", validate: () => ({ value: 1 }) };
    encode(): void {}
  }
  const wrong = [new ZodObject(), Vocabulary, () => 1, { name: "x", is: () => true }, null, "Vocabulary"];
  for (const codec of wrong) {
    const options = { types: [codec] };
    const form =
      /types\[0\] to be a codec of io-ts, (.*codecOf\(name, Class, toPlain, fromPlain\)|because a checkpoint also .*), found/;
    assert.throws(() => unchecked["captureState"]?.({ a: 1 }, options), form);
    assert.throws(() => unchecked["restoreState"]?.(snapshot, options), form);
    assert.throws(() => unchecked["restoreInto"]?.({ a: 1 }, options), form);
    assert.throws(() => unchecked["saveState"]?.(memory(), options), form);
    assert.throws(() => unchecked["loadState"]?.(memory(), options), form);
    assert.throws(() => unchecked["resume"]?.(memory(), options), form);
    assert.throws(() => unchecked["fit"]?.({ to: memory(), ...options }), form);
  }
  assert.throws(() => captureState({}, { types: vocabularyCodec as never }), /types to be an array.*, found/);
  assert.throws(
    () => captureState({}, { types: [vocabularyCodec, codecOf("Vocabulary", Date, Number, () => new Date())] }),
    /^TypeError: Expected types to be an array of codecs with different names, found two named "Vocabulary"$/,
  );
  assert.throws(() => codecOf("", Vocabulary, Number, () => words(1)), /name of codecOf/);
  assert.throws(() => codecOf("V", {} as never, Number, () => words(1)), /Class of codecOf to be a class/);
});

test("types: a toPlain that returns its own value is a TypeError with the path", () => {
  const codec = codecOf("Vocabulary", Vocabulary, (value) => value as never, () => words(1));
  assert.throws(() => captureState({ deep: [words(1)] }, { types: [codec] }), /TypeError: .*deep\/0|deep\/0: /);
});

test("types: resume of an empty store gives the fresh components", async () => {
  const fresh = { vocabulary: words(1) };
  assert.equal(await runOrThrow(resume(memory(), { types })(fresh)), fresh);
});
