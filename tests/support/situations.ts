/**
 * Every way in which a script and a checkpoint can fail to fit, by real calls: the errors whose sentences `tests/errors/explain.test.ts` has.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as t from "io-ts";
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import {
  captureState,
  codecOf,
  directory,
  type DogearError,
  explain,
  fit,
  fitDataset,
  type FitOptions,
  Loader,
  type LoadOptions,
  loadState,
  memory,
  pipe,
  readTensor,
  release,
  restoreInto,
  restoreState,
  resume,
  Rng,
  runOrThrow,
  saveState,
  Schedule,
  type StateTree,
  type Store,
  train,
} from "../../mod.ts";
import type { Either } from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { fromCsv, fromLines } from "../../lib/data/mod.ts";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { jsonLines, type Tracker } from "../../lib/trackers/mod.ts";
import { fault, watched } from "./watched_disk.ts";

// --- types

/** A situation gives its error, and may check that the remedy of the sentence helps. */
export type Situation = () => DogearError | Promise<DogearError>;

// --- constructors

const scratch = await mkdtemp(join(tmpdir(), "dogear-situations-"));

/** Removes the stores of all situations. */
export const cleanUp = (): Promise<void> => rm(scratch, { recursive: true, force: true });

let made = 0;
const place = (): string => join(scratch, `run_${made++}`);

function leftOf<E>(result: Either<E, unknown>): E {
  return result._tag === "Left" ? result.left : assert.fail(`Expected a left, found ${typeof result.right}`);
}

/** The left of a task. */
export async function left<E>(task: TaskEither<E, unknown>): Promise<E> {
  return leftOf(await task());
}

/** The options that a sentence advises. */
export function advised(sentence: string): LoadOptions {
  const found = /(?:loadState|resume)\(store, (\{.*\})\)$/m.exec(sentence)?.[1] ?? "{}";
  return JSON.parse(found.replace(/([{,] )(only|keep|skip|convert|rename):/g, '$1"$2":'));
}

/** Saves components and loads others, which must fail. With the options of the sentence, if it has any, they load. */
function loading(saved: () => object, live: () => object, options: LoadOptions = {}): Situation {
  return async () => {
    const store = memory();
    await saveState(store)(saved());
    const error = await left(loadState(store, options)(live()));
    const advice = advised(explain(error));
    if (Object.keys(advice).length > 0) {
      const result = await loadState(store, advice)(live())();
      if (result._tag === "Left") assert.fail(`${explain(error)}\nThe remedy does not help:\n${explain(result.left)}`);
    }
    return error;
  };
}

interface Layers {
  readonly units?: number;
  readonly names?: readonly string[];
  readonly activation?: "relu" | "tanh";
  readonly useBias?: boolean;
}

/** A model of the units of its layers without names, and of layers. */
const stack = (...layers: readonly (number | tf.layers.Layer)[]): tf.Sequential =>
  tf.sequential({
    layers: layers.map((one, i) =>
      typeof one === "number" ? tf.layers.dense({ units: one, ...(i === 0 ? { inputShape: [4] } : {}) }) : one
    ),
  });

/** A layer by its name. */
const named = (name: string, units = 4): tf.layers.Layer => tf.layers.dense({ name, units, inputShape: [4] });

/** A functional model with these layers one after the other. */
function chain(...names: readonly string[]): tf.LayersModel {
  const input = tf.input({ shape: [4] });
  const output = names.reduce((x, name) => named(name).apply(x) as tf.SymbolicTensor, input);
  return tf.model({ inputs: input, outputs: output });
}

/** A model of dense layers. */
function model(
  { units = 4, names = ["stem", "head"], activation = "relu", useBias = true }: Layers = {},
): tf.Sequential {
  return tf.sequential({
    layers: names.map((name, i) =>
      tf.layers.dense({
        name,
        units: i === names.length - 1 ? 1 : units,
        activation,
        useBias,
        ...(i === 0 ? { inputShape: [2] } : {}),
      })
    ),
  });
}

function optimizerOf(loss: "meanSquaredError" | "meanAbsoluteError" = "meanSquaredError", optimizer = "sgd") {
  const made = model();
  made.compile({ loss, optimizer });
  return made;
}

const [x, y] = [tf.ones([8, 2]), tf.ones([8, 1])];

/** Trains by `fit`, then calls it again with something changed, as in a new process: same checkpoints, another store. */
function fitting(
  change: {
    readonly model?: () => tf.LayersModel;
    readonly x?: tf.Tensor;
    readonly args?: tf.ModelFitArgs;
    readonly options?: Partial<FitOptions>;
    readonly first?: tf.ModelFitArgs;
  },
): Situation {
  return async () => {
    const args: tf.ModelFitArgs = { epochs: 3, batchSize: 4, verbose: 0, ...change.first };
    const [path, copy] = [place(), place()];
    await fit({ to: directory(path) })(optimizerOf(), x, y, args);
    // This process does not remember the copy, as another process would not.
    await cp(path, copy, { recursive: true });
    return await left(
      fit({ to: { ...directory(copy), location: "runs/fit" }, ...change.options })(
        (change.model ?? optimizerOf)(),
        change.x ?? x,
        y,
        { ...args, ...change.args },
      ),
    );
  };
}

const batches = (n: number, seed = 7): Loader.Loader<number[]> =>
  pipe(Loader.fromArray(Array.from({ length: n }, (_, i) => i)), Loader.shuffle(seed), Loader.batch(2));

class Vocabulary {
  constructor(readonly words: readonly string[]) {}
}
const vocabulary = new t.Type<Vocabulary, readonly string[], unknown>(
  "Vocabulary",
  (u): u is Vocabulary => u instanceof Vocabulary,
  (u) => t.success(new Vocabulary(u as string[])),
  ({ words }) => words,
);

function thrown(message: string): never {
  throw new Error(message);
}

function wordsCodec(fromPlain: () => Vocabulary): t.Type<Vocabulary, StateTree> {
  return codecOf("Vocabulary", Vocabulary, ({ words }) => words, fromPlain);
}

/** Saves a vocabulary, then loads it with another codec. */
function vocabularyWith(more: object, codec: () => t.Type<Vocabulary, StateTree>): Situation {
  return async () => {
    const store = memory();
    const saving = codecOf("Vocabulary", Vocabulary, ({ words }) => ({ words, ...more }), () => new Vocabulary([]));
    await saveState(store, { codecs: { vocab: saving } })({ vocab: new Vocabulary(["a"]) });
    return await left(loadState(store, { codecs: { vocab: codec() } })({ vocab: new Vocabulary([]) }));
  };
}

/** The store of a run with two checkpoints. */
async function twoCheckpoints(): Promise<readonly [store: Store, path: string]> {
  const path = place();
  const store = directory(path);
  for (const step of [1, 2]) await saveState(store)({ step, w: tf.tensor1d([step]) });
  return [store, path];
}

const withOptimizer = (made: tf.LayersModel, optimizer: tf.Optimizer): object => ({ model: made, optimizer, step: 1 });

function trainedByMomentum(): readonly [tf.LayersModel, tf.Optimizer] {
  const [made, optimizer] = [model(), tf.train.momentum(0.1, 0.9)];
  optimizer.minimize(() => tf.mean(made.apply(x) as tf.Tensor) as tf.Scalar);
  return [made, optimizer];
}

class Scale extends tf.layers.Layer {
  static readonly className = "Scale";
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return [inputs].flat()[0] as tf.Tensor;
  }
}

/** A training that logs to a tracker. */
function logging(tracker: Tracker) {
  const [loader, step] = [batches(12), (state: { cursor: Loader.Cursor }) => state];
  return train({ loader, step, metrics: () => ({ loss: 1 }), trackers: [tracker] })({ cursor: Loader.start(loader) });
}

export const situations: Readonly<Record<string, Situation>> = {
  "other data": loading(() => ({ cursor: Loader.start(batches(10)) }), () => ({ cursor: Loader.start(batches(12)) })),
  "another shuffle seed": loading(
    () => ({ cursor: Loader.start(batches(10)) }),
    () => ({ cursor: Loader.start(batches(10, 8)) }),
  ),
  "other data in train": async () => {
    const step = (state: { cursor: Loader.Cursor }) => state;
    return await left(train({ loader: batches(12), step })({ cursor: Loader.start(batches(10)) }));
  },
  "data of another content": loading(
    () => ({ cursor: Loader.start(Loader.fromArray([1, 2])) }),
    () => ({ cursor: Loader.start(Loader.fromArray([1, 3])) }),
  ),
  "filtered data of another length": loading(
    () => ({ cursor: Loader.start(pipe(Loader.fromArray([1, 2]), Loader.filter((n: number) => n > 1))), step: 1 }),
    () => ({ cursor: Loader.start(pipe(Loader.fromArray([1, 2, 3]), Loader.filter((n: number) => n > 1))), step: 0 }),
  ),
  "a shuffle that was not saved": async () => {
    const store = memory();
    await saveState(store)({ cursor: Loader.start(Loader.fromArray([1, 2])) });
    return await left(resume(store)({ cursor: Loader.start(pipe(Loader.fromArray([1, 2]), Loader.shuffle("a"))) }));
  },
  "data of another sort": loading(
    () => ({ cursor: Loader.start(Loader.fromArray([1, 2])) }),
    () => ({ cursor: Loader.start(Loader.fromIndexed({ length: 2, at: (i) => i })) }),
  ),
  "a data file that does not exist": async () => await left(fromLines(join(scratch, "none.txt"))),
  "a data file that is a folder": async () => await left(fromLines(scratch)),
  "a record that cannot be read": async () => {
    const path = join(scratch, "bad.csv");
    await writeFile(path, "a,b\n1,2\n3\n");
    const loader = Loader.batch(1)(await runOrThrow(fromCsv(path, { index: "memory" })));
    const step = (state: { cursor: Loader.Cursor }) => state;
    return await left(train({ loader, step })({ cursor: Loader.start(loader) }));
  },
  "a gzip file to index": async () => {
    const path = join(scratch, "lines.csv.gz");
    await writeFile(path, gzipSync("a,b\n"));
    return await left(fromCsv(path, { index: "memory" }));
  },
  "a tracker that throws": async () =>
    await left(logging({ log: () => assert.fail("offline"), close: () => Promise.resolve() })),
  "a log that is a folder": async () => await left(logging(jsonLines(scratch))),
  "a log that is another file": async () => {
    const path = join(scratch, "table.csv");
    await writeFile(path, "a,b\n");
    return await left(logging(jsonLines(path)));
  },
  "a renamed layer": loading(() => ({ model: model() }), () => ({ model: model({ names: ["body", "head"] }) })),
  "an added layer": loading(
    () => ({ model: model() }),
    () => ({ model: model({ names: ["stem", "middle", "head"] }) }),
  ),
  "a removed layer": loading(
    () => ({ model: model({ names: ["stem", "middle", "head"] }) }),
    () => ({ model: model() }),
  ),
  "a layer added beside one without a name": loading(
    () => ({ model: stack(named("body"), tf.layers.dropout({ rate: 0.1 }), named("head", 1)) }),
    () => ({ model: stack(named("body"), tf.layers.dropout({ rate: 0.1 }), named("middle"), named("head", 1)) }),
  ),
  "a layer without a name removed": loading(
    () => ({ model: stack(named("body"), tf.layers.dropout({ rate: 0.1 }), named("head", 1)) }),
    () => ({ model: stack(named("body"), named("head", 1)) }),
  ),
  "a layer removed from a functional model": loading(
    () => ({ model: chain("body", "middle", "head") }),
    () => ({ model: chain("body", "head") }),
  ),
  "more layers and others, without names": loading(() => ({ model: stack(8, 1) }), () => ({ model: stack(16, 16, 1) })),
  "other units": loading(() => ({ model: model() }), () => ({ model: model({ units: 8 }) })),
  "a layer named in the script alone": loading(
    () => ({ model: tf.sequential({ layers: [tf.layers.dense({ units: 1, activation: "relu", inputShape: [2] })] }) }),
    () => ({ model: model({ names: ["hidden"] }) }),
  ),
  "a layer named in the checkpoint alone": loading(
    () => ({ model: model({ names: ["hidden"] }) }),
    () => ({ model: tf.sequential({ layers: [tf.layers.dense({ units: 1, activation: "relu", inputShape: [2] })] }) }),
  ),
  "another activation": loading(() => ({ model: model() }), () => ({ model: model({ activation: "tanh" }) })),
  "a layer without its bias": loading(() => ({ model: model() }), () => ({ model: model({ useBias: false }) })),
  "layers in another order": loading(
    () => ({ model: model({ names: ["a", "b", "c"], units: 2 }) }),
    () => ({ model: model({ names: ["b", "a", "c"], units: 2 }) }),
  ),
  "a tensor of another shape": loading(() => ({ w: tf.zeros([2, 3]) }), () => ({ w: tf.zeros([2, 4]) })),
  "a tensor of another dtype": loading(
    () => ({ w: tf.zeros([2]) }),
    () => ({ w: tf.zeros([2], "int32") }),
  ),
  "a removed component": loading(() => ({ step: 1, ema: [1] }), () => ({ step: 0 })),
  "an added component": loading(() => ({ step: 1 }), () => ({ step: 0, best: Infinity })),
  "a misspelt component": loading(() => ({ step: 1, best: 0.5 }), () => ({ step: 0, bset: Infinity })),
  "a renamed component": loading(() => ({ step: 1, net: model() }), () => ({ step: 0, model: model() })),
  "a renamed record": loading(
    () => ({ step: 1, notes: { best: 0.5, history: [] } }),
    () => ({ step: 0, info: { best: Infinity, history: [] } }),
  ),
  "another optimizer": loading(
    () => ({ optimizer: tf.train.adam(0.1), step: 1 }),
    () => ({ optimizer: tf.train.sgd(0.1), step: 0 }),
  ),
  "another option of the optimizer": loading(
    () => ({ optimizer: tf.train.rmsprop(0.1) }),
    () => ({ optimizer: tf.train.rmsprop(0.1, 0.9, 0, 1e-7, true) }),
  ),
  "an optimizer of other variables": async () => {
    const store = memory();
    await saveState(store)(withOptimizer(...trainedByMomentum()));
    return await left(
      loadState(store, { keep: ["model/head"] })(
        withOptimizer(model({ names: ["stem", "new", "head"] }), tf.train.momentum(0.1, 0.9)),
      ),
    );
  },
  "an optimizer of a kept layer": async () => {
    const store = memory();
    await saveState(store)(withOptimizer(...trainedByMomentum()));
    return await left(
      loadState(store, { keep: ["model/head"] })(withOptimizer(model(), tf.train.momentum(0.1, 0.9))),
    );
  },
  "a resized layer of a trained model": async () => {
    const compiled = (units: number) => {
      const made = tf.sequential({ layers: [named("stem"), named("head", units)] });
      made.compile({ loss: "meanSquaredError", optimizer: tf.train.adam(0.1) });
      return { model: made, optimizer: made.optimizer };
    };
    const saved = compiled(2);
    await saved.model.trainOnBatch(tf.ones([1, 4]), tf.ones([1, 2]));
    return await loading(() => saved, () => compiled(3))();
  },
  "another schedule": loading(
    () => ({ schedule: Schedule.cosine({ base: 1, steps: 10 }) }),
    () => ({ schedule: Rng.make(1) }),
  ),
  "a number for a string": loading(() => ({ phase: "warm-up" }), () => ({ phase: 1 })),
  "a model for null": loading(() => ({ best: null }), () => ({ best: model() })),
  "a model that is not compiled": loading(() => ({ model: optimizerOf() }), () => ({ model: model() })),
  "another loss": loading(() => ({ model: optimizerOf() }), () => ({ model: optimizerOf("meanAbsoluteError") })),
  "shared in the checkpoint": loading(
    () => {
      const w = tf.variable(tf.scalar(1));
      return { a: w, b: w };
    },
    () => ({ a: tf.variable(tf.scalar(1)), b: tf.variable(tf.scalar(1)) }),
  ),
  "shared in the script": loading(
    () => ({ a: tf.variable(tf.scalar(1)), b: tf.variable(tf.scalar(1)) }),
    () => {
      const w = tf.variable(tf.scalar(1));
      return { a: w, b: w };
    },
  ),
  "variables made while training": loading(
    () => ({ ema: { kernel: tf.variable(tf.scalar(1)) }, step: 1 }),
    () => ({ ema: {}, step: 0 }),
  ),
  "a codec left out": async () => {
    const store = memory();
    const state = { vocab: new Vocabulary(["a"]) };
    await saveState(store, { codecs: { vocab: vocabulary } })(state);
    return await left(loadState(store)({ vocab: null }));
  },
  "another codec for a component": vocabularyWith(
    {},
    () => new t.Type("Words", vocabulary.is, vocabulary.validate, String),
  ),
  "a codec that throws": vocabularyWith({}, () => wordsCodec(() => thrown("no words"))),
  "a codec that makes another class": vocabularyWith({}, () => wordsCodec(() => new Date(0) as never)),
  "a codec that cannot encode what it decoded": vocabularyWith(
    { made: tf.scalar(1) },
    () => codecOf("Vocabulary", Vocabulary, () => thrown("no tensor"), () => new Vocabulary([])),
  ),
  "a codec whose is throws": async () => {
    const store = memory();
    await saveState(store)({ vocab: ["a"] });
    const codec = new t.Type(
      "Words",
      (_): _ is Vocabulary => thrown("no idea"),
      vocabulary.validate,
      vocabulary.encode,
    );
    return await left(loadState(store, { types: [codec] })({ vocab: new Date(0) as never }));
  },
  "a custom loss": () => {
    const made = model();
    made.compile({ loss: (_: tf.Tensor, p: tf.Tensor) => tf.mean(p) as never, optimizer: "sgd" });
    const result = restoreState(captureState({ model: made }));
    return leftOf(result);
  },
  "a class that is not registered": () => {
    const made = tf.sequential({ layers: [new Scale({ inputShape: [2] } as object)] });
    const result = restoreState(captureState({ model: made }));
    return leftOf(result);
  },
  "a snapshot in memory": () => {
    const result = restoreInto({ step: 0, w: tf.scalar(1) })(captureState({ step: "1", w: tf.zeros([2]) }))();
    return leftOf(result);
  },
  "several differences": loading(
    () => ({ model: model(), optimizer: tf.train.adam(), cursor: Loader.start(batches(10)), history: [1] }),
    () => ({ model: model({ units: 8 }), optimizer: tf.train.sgd(1), cursor: Loader.start(batches(12)), best: 0 }),
  ),
  "a part that does not exist": loading(() => ({ step: 1 }), () => ({ step: 0 }), { skip: ["ema"] }),
  "a tensor that is converted already": loading(
    () => ({ w: tf.zeros([2]) }),
    () => ({ w: tf.zeros([2]) }),
    { convert: ["w"] },
  ),
  "a layer that does not exist": loading(
    () => ({ model: model() }),
    () => ({ model: model({ names: ["body", "head"] }) }),
    { rename: { "model/stemm": "model/body" } },
  ),
  "a newer format": async () => {
    const [store, path] = await twoCheckpoints();
    await writeFile(join(path, "checkpoints/checkpoint_1/snapshot.json"), '{"format":"dogear/99"}');
    return await left(loadState(store)({ step: 0, w: tf.zeros([1]) }));
  },
  "a damaged checkpoint, an older one": async () => {
    const [store, path] = await twoCheckpoints();
    await truncate(join(path, "checkpoints/checkpoint_1/state/w.safetensors"), 3);
    return await left(loadState(store)({ step: 0, w: tf.zeros([1]) }));
  },
  "a damaged checkpoint, no older one": async () => {
    const [store, path] = await twoCheckpoints();
    for (const n of [0, 1]) await writeFile(join(path, `checkpoints/checkpoint_${n}/snapshot.json`), "{}");
    return await left(loadState(store)({ step: 0, w: tf.zeros([1]) }));
  },
  "damage found by readTensor": async () => {
    const [store, path] = await twoCheckpoints();
    await truncate(join(path, "checkpoints/checkpoint_1/state/w.safetensors"), 3);
    return await left(readTensor(store, { path: "w" }));
  },
  "a metric that is NaN": async () => {
    const store = memory();
    for (const step of [1, 2]) await saveState(store, { metrics: { loss: NaN, accuracy: 0 } })({ step });
    return await left(loadState(store, { checkpoint: { best: "loss", mode: "min" } })({ step: 0 }));
  },
  "an empty store": async () => await left(loadState(memory())({ step: 0 })),
  "a checkpoint that does not exist": async () => {
    const [store] = await twoCheckpoints();
    return await left(loadState({ ...store, location: "runs/digits" }, { checkpoint: 7 })({ step: 0 }));
  },
  "a checkpoint that does not exist among many": async () => {
    const store = memory();
    for (let step = 0; step < 23; step++) await saveState(store)({ step });
    return await left(loadState(store, { checkpoint: 99 })({ step: 0 }));
  },
  "a checkpoint asked of an empty store": async () => await left(loadState(memory(), { checkpoint: 7 })({ step: 0 })),
  "overtaken by another process": async () => {
    const path = place();
    const [first, second] = [directory(path), directoryOn(localFileSystem)(path)];
    await saveState(first)({ step: 1 });
    await loadState({ ...second, location: "another" })({ step: 0 });
    await saveState({ ...second, location: "another" })({ step: 2 });
    return await left(saveState(first)({ step: 2 }));
  },
  "a step that went back": async () => {
    const store = memory();
    await saveState(store)({ step: 5 });
    await loadState(store)({ step: 0 });
    return await left(saveState(store)({ step: 1 }));
  },
  "a checkpoint's folder as a run": async () => {
    const [, path] = await twoCheckpoints();
    return await left(loadState(directory(join(path, "checkpoints/checkpoint_1")))({ step: 0 }));
  },
  "the folder of the checkpoints as a run": async () => {
    const [, path] = await twoCheckpoints();
    return await left(loadState(directory(join(path, "checkpoints")))({ step: 0 }));
  },
  "a released snapshot": async () => {
    const snapshot = captureState({ step: 1 });
    await release(snapshot);
    const result = restoreState(snapshot);
    return leftOf(result);
  },
  "a full disk": async () => {
    const path = place();
    await mkdir(path);
    const full = watched(
      localFileSystem,
      (operation) => operation.name === "write" ? fault(operation, "ENOSPC") : undefined,
    );
    return await left(saveState(directoryOn(full)(path))({ w: tf.zeros([4]) }));
  },
  "a mount of an object store": async () => {
    const mountinfo = () => Promise.resolve(`36 35 0:52 / ${scratch} rw - fuse.gcsfuse bucket rw\n`);
    return await left(resume(directoryOn({ ...localFileSystem, mountinfo })(place()))({ step: 0 }));
  },
  "a mount without renames": async () => {
    const disk = watched(
      localFileSystem,
      (operation) => operation.name === "rename" ? fault(operation, "ENOSYS") : undefined,
    );
    return await left(saveState(directoryOn(disk)(place()))({ step: 0 }));
  },
  "fewer epochs of fit": fitting({ args: { epochs: 2 } }),
  "another batch size of fit": fitting({ args: { batchSize: 2 } }),
  "other data of fit": fitting({ x: tf.zeros([8, 2]) }),
  "another callback of fit": fitting({
    first: { callbacks: tf.callbacks.earlyStopping({ monitor: "loss", patience: 5 }) },
    args: { callbacks: [] },
  }),
  "another model of fit": fitting({
    model: () => {
      const made = model({ units: 8 });
      made.compile({ loss: "meanSquaredError", optimizer: "sgd" });
      return made;
    },
  }),
  "another optimizer of fit": fitting({ model: () => optimizerOf("meanSquaredError", "adam") }),
  "another loss of fit": fitting({ model: () => optimizerOf("meanAbsoluteError") }),
  "an object of fit that was not saved": fitting({ options: { with: { ema: tf.variable(tf.scalar(1)) } } }),
  "two calls of fit at once": async () => {
    const to = memory();
    const args = { epochs: 1, verbose: 0 as const };
    const first = fit({ to })(optimizerOf(), x, y, args)();
    await new Promise((resolve) => setImmediate(resolve));
    const error = await left(fit({ to })(optimizerOf(), x, y, args));
    await first;
    return error;
  },
  "another restoreBest of fit": fitting({ options: { restoreBest: { metric: "loss", mode: "min" } } }),
  "an unseeded shuffle of fitDataset": async () => {
    const dataset = tf.data.array([1, 2]).shuffle(2).map(() => ({ xs: x, ys: y }));
    return await left(fitDataset({ to: memory() })(optimizerOf(), dataset, { epochs: 1, verbose: 0 }));
  },
  "fitDataset for fit": async () => {
    const to = memory();
    await fit({ to })(optimizerOf(), x, y, { epochs: 1, verbose: 0 });
    const dataset = tf.data.array([1, 2]).map(() => ({ xs: x, ys: y }));
    const error = await left(fitDataset({ to })(optimizerOf(), dataset, { epochs: 1, verbose: 0 }));
    return error._tag === "Mismatch" ? { ...error, problems: error.problems.slice(0, 1) } : error;
  },
  "a second call of fit": async () => {
    const to = memory();
    const args = { epochs: 1, verbose: 0 as const };
    await fit({ to })(optimizerOf(), x, y, args);
    const other = optimizerOf();
    other.setWeights(other.getWeights().map((weight) => tf.zerosLike(weight)));
    return await left(fit({ to })(other, x, y, args));
  },
  "a second call of fit with another model": async () => {
    const to = memory();
    const args = { epochs: 1, verbose: 0 as const };
    await fit({ to })(optimizerOf(), x, y, args);
    return await left(fit({ to })(anotherModel(), x, y, args));
  },
  "a second call of fit with the model of the first": async () => {
    const [to, made] = [memory(), optimizerOf()];
    const args = { epochs: 1, verbose: 0 as const };
    await fit({ to })(made, x, y, args);
    return await left(fit({ to })(made, x, y, args));
  },
  "a second call of fit with another optimizer": async () => {
    const to = memory();
    const args = { epochs: 1, verbose: 0 as const };
    await fit({ to })(optimizerOf(), x, y, args);
    return await left(fit({ to })(optimizerOf("meanSquaredError", "adam"), x, y, args));
  },
  "another loop's checkpoint for fit": async () => {
    const to = memory();
    await saveState(to)({ step: 1 });
    return await left(fit({ to })(optimizerOf(), x, y, { epochs: 1, verbose: 0 }));
  },
};

function anotherModel(): tf.LayersModel {
  const made = model({ names: ["a", "b"] });
  made.compile({ loss: "meanSquaredError", optimizer: "sgd" });
  return made;
}

/** A sentence without what differs between runs: folders, times and runtimes. */
export function plainly(sentence: string): string {
  return sentence.replaceAll(scratch, "/runs").replace(/run_\d+/g, "run").replace(/\.saving-[\w.-]+/g, ".saving")
    .replace(
      /(bun|deno) \d+\.\d+\.\d+ at [\d:.TZ-]+/g,
      "RUNTIME at TIME",
    );
}
