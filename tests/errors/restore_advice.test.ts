/**
 * Law *advice works*: the options that a refused load advises load the checkpoint at once, and it lists the saved tensors that they do not restore.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { writeCheckpoint } from "../../lib/checkpoint/write.ts";
import {
  captureState,
  explain,
  Loader,
  type LoadOptions,
  loadState,
  memory,
  resume,
  Rng,
  runOrThrow,
  saveState,
} from "../../mod.ts";
import { advised, left } from "../support/situations.ts";
import { torture } from "../support/torture.ts";

// --- models that are edited

/** A layer of a script, which may be changed later. */
interface Part {
  /** Which layer it is, whatever it is called. */
  readonly id: number;
  readonly name: string;
  readonly units: number;
  readonly activation: "relu" | "tanh";
}

type Edit = readonly [edit: "insert" | "remove" | "rename" | "resize" | "activate", at: number];

/** How the script trains: with tfjs's own loop, with the optimizer as a component, or both. */
type Training = "none" | "compiled" | "separate" | "both";

function edited(parts: readonly Part[], edits: readonly Edit[]): readonly Part[] {
  return edits.reduce((parts, [edit, at], i): readonly Part[] => {
    const place = at % parts.length;
    const [before, part, after] = [parts.slice(0, place), parts[place]!, parts.slice(place + 1)];
    if (edit === "insert") {
      const added: Part = { id: 100 + i, name: `added${i}`, units: 2, activation: "relu" };
      return [...before, added, part, ...after];
    }
    if (edit === "remove") return parts.length === 1 ? parts : [...before, ...after];
    const changes = {
      rename: { name: `renamed${i}` },
      resize: { units: part.units + 1 },
      activate: { activation: part.activation === "relu" ? "tanh" : "relu" },
    } as const;
    return [...before, { ...part, ...changes[edit] }, ...after];
  }, parts);
}

/** The components of a script, with the variables that its optimizer has slots for. */
function scriptOf(parts: readonly Part[], training: Training, optimizer: tf.Optimizer, name: string) {
  const model = tf.sequential({
    layers: parts.map(({ name, units, activation }, i) =>
      tf.layers.dense({ name, units, activation, ...i === 0 && { inputShape: [2] } })
    ),
  });
  const isCompiled = training === "compiled" || training === "both";
  if (isCompiled) model.compile({ optimizer, loss: "meanSquaredError" });
  const isListed = training === "separate" || training === "both";
  return { model, components: { [name]: model, ...(isListed ? { optimizer } : {}), step: 0 } as object };
}

/** The first moments of an optimizer. */
function momentsOf(optimizer: tf.Optimizer): readonly tf.Variable[] {
  const { accumulatedFirstMoment = [] } = optimizer as {
    accumulatedFirstMoment?: readonly { variable: tf.Variable }[];
  };
  return accumulatedFirstMoment.map(({ variable }) => variable);
}

/** The shapes of the weights of each layer. */
function shapesOf(parts: readonly Part[]): ReadonlyMap<number, string> {
  return new Map(parts.map(({ id, units }, i) => [id, `${parts[i - 1]?.units ?? 2},${units}`]));
}

/** Trains for a step, and marks each variable and its moment with the layer that it is of. */
async function trainAndMark(
  parts: readonly Part[],
  script: ReturnType<typeof scriptOf>,
  optimizer: tf.Optimizer,
  training: Training,
) {
  const { model } = script;
  const [x, y] = [tf.ones([1, 2]), tf.ones([1, parts.at(-1)!.units])];
  const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  if (training === "separate") {
    optimizer.minimize(() => tf.losses.meanSquaredError(y, model.predict(x) as tf.Tensor), false, variables);
  }
  if (training === "compiled" || training === "both") await model.trainOnBatch(x, y);
  const ids = parts.flatMap(({ id }) => [id, id]);
  variables.forEach((variable, i) => variable.assign(tf.fill(variable.shape, 10 + ids[i]!)));
  momentsOf(optimizer).forEach((moment, i) => moment.assign(tf.fill(moment.shape, 10 + ids[i]!)));
}

const anEdit: fc.Arbitrary<Edit> = fc.tuple(
  fc.constantFrom("insert", "remove", "rename", "resize", "activate"),
  fc.nat({ max: 9 }),
);

const someParts = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom("relu", "tanh")), {
  minLength: 1,
  maxLength: 4,
}).map((all) => all.map(([units, activation], id): Part => ({ id, name: `part${id}`, units, activation })));

test("advice: after any edits of a model, its options load at once, keep or name what is trained, and move no slot", () =>
  fc.assert(
    fc.asyncProperty(
      someParts,
      fc.array(anEdit, { minLength: 1, maxLength: 3 }),
      fc.constantFrom<Training>("none", "compiled", "separate", "both"),
      fc.boolean(),
      async (parts, edits, training, isRenamed) => {
        const before = tf.train.adam(0.1);
        const saved = scriptOf(parts, training, before, "model");
        await trainAndMark(parts, saved, before, training);
        const store = memory();
        await saveState(store)(saved.components);
        const changed = edited(parts, edits);
        const optimizer = tf.train.adam(0.1);
        const { model, components } = scriptOf(changed, training, optimizer, isRenamed ? "net" : "model");
        const first = await resume(store)(components)();
        if (first._tag === "Left") {
          const text = explain(first.left);
          if (text.includes("Say which is which")) return;
          const again = await resume(store, advised(text))(components)();
          if (again._tag === "Left") assert.fail(`${text}\nThe options do not help:\n${explain(again.left)}`);
          // It lists all that is left unused.
          const values = new Set(model.layers.map((layer) => layer.weights[0]!.read().dataSync()[0]));
          for (const { id, name } of parts.filter(({ id }) => !values.has(10 + id))) {
            assert.match(text, new RegExp(`No saved tensor|Not restored with that: .*\\b${name}\\b`), `${id}`);
          }
        }
        const [was, is] = [shapesOf(parts), shapesOf(changed)];
        changed.forEach(({ id, name }, i) => {
          if (name !== `part${id}` || was.get(id) !== is.get(id)) return;
          for (const weight of model.layers[i]!.weights) assert.equal(weight.read().dataSync()[0], 10 + id, name);
        });
        const marks = model.trainableWeights.map((weight) => [String(weight.shape), weight.read().dataSync()[0]]);
        momentsOf(optimizer).forEach((moment, i) => {
          assert.deepEqual([String(moment.shape), moment.dataSync()[0]], marks[i]);
        });
        if (training === "compiled" || training === "both") {
          await model.trainOnBatch(tf.ones([1, 2]), tf.ones([1, changed.at(-1)!.units]));
        }
      },
    ),
    { numRuns: 60 * torture },
  ));

test("advice: the options for layers that were added or removed restore all the others", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.boolean(), fc.constantFrom("relu", "tanh"), fc.constantFrom("both", "one")), {
        minLength: 1,
        maxLength: 5,
      }),
      fc.boolean(),
      fc.boolean(),
      async (sorts, isAdded, isFunctional) => {
        const build = (all: boolean): tf.LayersModel => {
          const layers = sorts.flatMap(([hasName, activation, side], i) => {
            const of = { units: 2, activation: activation as "relu", biasInitializer: "ones" as const };
            return all || side === "both" ? [tf.layers.dense(hasName ? { ...of, name: `part${i}` } : of)] : [];
          });
          const input = tf.input({ shape: [2] });
          const start = tf.layers.dense({ units: 2, name: "start", inputShape: [2] });
          if (!isFunctional) return tf.sequential({ layers: [start, ...layers] });
          const outputs = [start, ...layers].reduce((x, layer) => layer.apply(x) as tf.SymbolicTensor, input);
          return tf.model({ inputs: input, outputs });
        };
        const biases = (model: tf.LayersModel): readonly number[] =>
          model.layers.flatMap((layer) =>
            layer.weights[1] === undefined ? [] : [layer.weights[1].read().dataSync()[0]!]
          );
        const [saved, live] = [build(!isAdded), build(isAdded)];
        saved.layers.forEach((layer, i) => layer.weights[1]?.write(tf.fill([2], i + 10)));
        const store = memory();
        await saveState(store)({ model: saved });
        const result = await loadState(store)({ model: live })();
        if (result._tag === "Left") {
          const text = explain(result.left);
          assert.match(text, isAdded ? /\{ keep: / : /\{ skip: /);
          const again = await loadState(store, advised(text))({ model: live })();
          assert.equal(again._tag, "Right", text);
        }
        const [before, after] = [biases(saved), biases(live).filter((bias) => bias >= 10)];
        assert.deepEqual(after, isAdded ? before : before.filter((bias) => after.includes(bias)));
        assert.equal(after.length, Math.min(before.length, live.layers.length - (isFunctional ? 1 : 0)));
      },
    ),
    { numRuns: 25 * torture },
  ));

test("advice: options that are advised restore what is trained, where it fits", async () => {
  const network = (activation: "relu" | "tanh", value: number, name: string): tf.Sequential => {
    const made = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [2], activation, name })] });
    made.setWeights(made.getWeights().map((weight) => tf.fill(weight.shape, value)));
    return made;
  };
  const store = memory();
  await saveState(store)({ net: network("relu", 7, "a"), rng: Rng.make(1), step: 3 });
  const sum = (model: tf.LayersModel): number =>
    model.getWeights().flatMap((weight) => [...weight.dataSync()]).reduce((a, b) => a + b);
  const changes: readonly (() => { readonly model: tf.Sequential })[] = [
    () => ({ model: network("relu", 0, "a"), rng: Rng.make(1), step: 0, best: 1 }),
    () => ({ model: network("relu", 0, "a"), generator: Rng.make(1), step: 0 }),
    () => ({ model: network("tanh", 0, "a"), rng: Rng.make(1), step: 0 }),
    () => ({ model: network("tanh", 0, "b"), rng: Rng.make(1), step: 0 }),
  ];
  for (const change of changes) {
    const options = advised(explain(await left(resume(store)(change()))));
    const { model } = await resume(store, options)(change());
    assert.equal(sum(model), 42, JSON.stringify(options));
  }
});

test("advice: which of two renamed components is which is not guessed", async () => {
  const store = memory();
  await saveState(store)({ first: Rng.make(1), second: Rng.make(2), step: 3 });
  const text = explain(await left(resume(store)({ one: Rng.make(1), two: Rng.make(1), step: 0 })));
  assert.match(text, /Change the names back, or say which is which: rename: \{ "first": …, "second": … \}$/);
});

test("advice: advice repeats the options that the call was given", async () => {
  const store = memory();
  const saved = { a: tf.zeros([1]), b: tf.zeros([1]), c: tf.zeros([1]), d: tf.zeros([1]), w: 0 };
  await saveState(store)(saved);
  const live = { a: tf.zeros([2]), b: tf.zeros([2]), e: tf.zeros([1]), w: 0 };
  const adviceOn = async (options: LoadOptions): Promise<LoadOptions> =>
    advised(explain(await left(resume(store, options)(live))));
  const all: LoadOptions = { keep: ["a", "b"], rename: { c: "e" }, skip: ["d"] };
  assert.deepEqual(await adviceOn({ keep: ["a"], rename: { c: "e" } }), all);
  assert.deepEqual(await adviceOn({ keep: ["a"], rename: { c: "e", gone: "b" } }), all);
  // No part is both in `only` and in `keep`.
  assert.deepEqual(await adviceOn({ only: ["a", "w"] }), { only: ["w"], keep: ["a"] });
  assert.ok(await resume(store, all)(live));
});

test("advice: where data differs that another runtime saved, it names that runtime", async () => {
  const text = async (runtime: string): Promise<string> => {
    const store = memory();
    using snapshot = captureState({ cursor: Loader.start(Loader.fromArray([0.1, 0.2])) });
    const environment = { dogear: "0.2.0", tfjs: "4.22.0", runtime, backend: "none" };
    const label = { run: "4e2f2e46-0000-4000-8000-000000000001", step: null, parent: null, metrics: {}, time: 0 };
    await runOrThrow(
      writeCheckpoint(store, snapshot.encoded, { ...label, environment }, {
        after: undefined,
        parentFiles: [],
        onProgress: () => {},
      }),
    );
    return explain(await left(resume(store)({ cursor: Loader.start(Loader.fromArray([0.1, 0.3])) })));
  };
  const runtime = "Bun" in globalThis ? "bun 1.0.0" : "deno 1.0.0";
  assert.match(await text("other 1.0.0"), /\nother 1\.0\.0 saved it\. Math\.sin, Math\.exp and their like can differ/);
  assert.doesNotMatch(await text(runtime), /saved it/);
});

test("advice: with a layer added to a compiled model, the optimizer trains that layer too", async () => {
  const network = (...names: readonly string[]): tf.Sequential => {
    const layers = names.map((name, i) => tf.layers.dense({ name, units: 2, ...(i === 0 ? { inputShape: [2] } : {}) }));
    const made = tf.sequential({ layers });
    made.compile({ optimizer: "sgd", loss: "meanSquaredError" });
    return made;
  };
  const store = memory();
  const [x, y] = [tf.ones([1, 2]), tf.ones([1, 2])];
  const saved = network("a", "c");
  await saved.trainOnBatch(x, y);
  await saveState(store)({ model: saved });
  const { model } = await resume(store, { keep: ["model/b"] })({ model: network("a", "b", "c") });
  assert.deepEqual(model.layers[0]!.getWeights()[0]!.dataSync(), saved.layers[0]!.getWeights()[0]!.dataSync());
  const before = model.layers.map((layer) => layer.getWeights()[1]!.dataSync().slice());
  await model.trainOnBatch(x, y);
  model.layers.forEach((layer, i) => assert.notDeepEqual(layer.getWeights()[1]!.dataSync(), before[i]));
});
