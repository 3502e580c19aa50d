/**
 * Nonsense given to everything that is exported: each argument of each function is a TypeError that names it, or there is a reason why not.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import * as data from "../../lib/data/mod.ts";
import * as prove from "../../lib/prove/mod.ts";
import * as contract from "../../lib/store/contract/mod.ts";
import * as s3 from "../../lib/store/s3/mod.ts";
import * as trackers from "../../lib/trackers/mod.ts";
import * as main from "../../mod.ts";

/** What the entries of the package export. */
const dogear = { ...main, ...data, ...prove, ...contract, ...s3, ...trackers };
const { Loader, Retention, Rng, Scaler, Schedule } = dogear;

const folder = mkdtempSync(join(tmpdir(), "dogear-arguments-"));
after(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, "lines"), "1\n2\n");

/** Wrong arguments by name. */
const nonsense: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  NaN: NaN,
  "-1": -1,
  "0": 0,
  "1": 1,
  "1.5": 1.5,
  Infinity: Infinity,
  true: true,
  '""': "",
  '"nonsense"': "nonsense",
  "1n": 1n,
  "{}": {},
  "{ nonsense: 1 }": { nonsense: 1 },
  "[]": [],
  "[undefined]": [undefined],
  "a function": () => 5,
  "a symbol": Symbol("nonsense"),
  "a Map": new Map(),
};
type Nonsense = keyof typeof nonsense;

/** An argument: what it is called in messages, a value that is right, and which nonsense is none here. */
interface Argument {
  readonly name: RegExp;
  readonly right: unknown;
  readonly fine: readonly Nonsense[];
  /** The fields of a record, and which nonsense is none in each. */
  readonly fields: Fields;
}

type Fields = Readonly<Record<string, readonly Nonsense[]>>;

/** A function: its arguments, call by call, and whether what they give is to be run. */
interface Callable {
  readonly calls: readonly (readonly Argument[])[];
  readonly run: boolean;
}

const arg = (name: RegExp, right: unknown, ...fine: readonly Nonsense[]): Argument => ({
  name,
  right,
  fine,
  fields: {},
});
/** A record of fields; `right` are those that it must have. */
const fields = (name: RegExp, right: object, fields: Fields): Argument => ({ name, right, fine: [], fields });
const options = (fields: Fields = {}): Argument => ({ name: /option/, right: {}, fine: ["undefined", "{}"], fields });

const yes: readonly Nonsense[] = ["undefined", "true"];
const text: readonly Nonsense[] = ["undefined", '""', '"nonsense"'];
const word: readonly Nonsense[] = ["undefined", '"nonsense"'];
const from1: readonly Nonsense[] = ["undefined", "1"];
const from0: readonly Nonsense[] = ["undefined", "0", "1"];
const callback: readonly Nonsense[] = ["undefined", "a function"];
const rate: readonly Nonsense[] = ["0", "1", "1.5"];
const never: readonly Nonsense[] = ["undefined"];
const seeds: readonly Nonsense[] = ["-1", "0", "1", "1n", '""', '"nonsense"'];
const calls = (...calls: readonly (readonly Argument[])[]): Callable => ({ calls, run: false });
/** What is found only when the task is run: a rejection with a TypeError, as at once. */
const tasks = (...calls: readonly (readonly Argument[])[]): Callable => ({ calls, run: true });

const some = Loader.fromArray([1, 2, 3, 4]);
const loader = arg(/loader|iterable/, some);
const count = arg(/\bn\b/, 2, "1");
const store = arg(/store/, dogear.memory());
const snapshot = arg(/snapshot/, dogear.captureState({ step: 1 }));
const rng = arg(/generator/, Rng.make(1));
const schedule = arg(/schedule/, Schedule.constant({ base: 1 }));
const scaler = arg(/scaler/, Scaler.make());
const path = arg(/path/, join(folder, "lines"), '"nonsense"');
const f = arg(/\bf\b|function|predicate/, (x: unknown) => x, "a function");
const seed = arg(/seed/, 1, ...seeds);
/** Any record is a record of components, an empty one too. */
const components = arg(/record|components/, { step: 1 }, "{}", "{ nonsense: 1 }");
const policy = arg(/policy/, Retention.latest(1), "a function");
const rates = (right: object, of: Fields): Callable => calls([fields(/option|Expected \w+\.\w+/, right, of)]);
const fingerprinted = (source: Argument): Callable => calls([source, options({ fingerprint: text })]);
const codecs: Fields = { codecs: ["undefined", "{}"], types: ["undefined", "[]"] };
const keeping: Fields = { keep: callback, digest: never };
const notes: readonly Nonsense[] = ["undefined", '""', '"nonsense"', "{}", "{ nonsense: 1 }"];
const writing: Fields = {
  step: ["undefined", "NaN", "-1", "0", "1", "1.5", "Infinity"],
  metrics: ["undefined", "{}", "{ nonsense: 1 }"],
  note: notes,
  id: yes,
  onProgress: callback,
};
const names: readonly Nonsense[] = ["undefined", "[]"];
const selecting: Fields = { only: names, keep: names, skip: names, convert: names, rename: ["undefined", "{}"] };
const reading: Fields = { checkpoint: from0, fallback: yes, onReport: callback, onProgress: callback };
const saving: Fields = {
  to: [],
  every: from1,
  seconds: ["undefined", "1", "1.5", "Infinity"],
  whenBusy: never,
  metrics: callback,
  note: notes,
  onSaved: callback,
  ...codecs,
};
const tracking: Fields = { trackers: ["undefined", "[]"], logEvery: from1 };
const fitting: Fields = {
  ...saving,
  ...tracking,
  seed: ["undefined", ...seeds],
  with: ["undefined", "{}"],
  stopOn: names,
  fallback: yes,
  onReport: callback,
  restoreBest: never,
  progress: [...yes, "{}"],
};
const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
const training = { loader: some, step: (state: object) => state };

/** Every function that is exported, by its name. */
const table: Readonly<Record<string, Callable | string>> = {
  "Loader.fromArray": calls([arg(/data/, [1], "[]", "[undefined]")]),
  "Loader.fromRows": calls([arg(/data/, Float32Array.of(1, 2)), arg(/size/, 1, "1")]),
  "Loader.fromTensor": calls([arg(/tensor/, tf.tensor1d([1]))]),
  "Loader.fromIndexed": calls([{
    ...fields(/source|length|at/, { length: 1, at: (i: number) => i }, {
      length: ["0", "1"],
      at: ["a function"],
      fingerprint: text,
    }),
    // They have a length, and samples by index.
    fine: ["[]", "[undefined]"],
  }]),
  "Loader.fromIterable": fingerprinted(arg(/source/, () => [1], "a function")),
  "Loader.fromBody": fingerprinted(arg(/source/, () => new Response("a"), "a function")),
  "Loader.fromDataset": fingerprinted(arg(/source/, tf.data.array([1]))),
  "Loader.start": calls([loader]),
  "Loader.iterate": calls([loader, options({ epoch: from0 })]),
  "Loader.from": calls([arg(/cursor/, Loader.start(some))], [loader]),
  "Loader.check": calls([arg(/live cursor/, Loader.start(some)), arg(/saved cursor/, Loader.start(some))]),
  "Loader.at": tasks([arg(/\bn\b/, 0, "0", "1")], [loader]),
  "Loader.length": calls([loader]),
  "Loader.batchesPerEpoch": calls([loader]),
  "Loader.isEpochEnd": calls([loader], [arg(/cursor/, Loader.start(some))]),
  "Loader.progressAt": calls([loader], [arg(/cursor/, Loader.start(some))]),
  "Loader.map": calls([f, options({ concurrency: from1 })], [loader]),
  "Loader.mapRandom": calls([f, options({ seed: ["undefined", ...seeds], concurrency: from1 })], [loader]),
  "Loader.filter": calls([f], [loader]),
  "Loader.batch": calls([count, options({ dropLast: yes })], [loader]),
  "Loader.unbatch": calls([loader]),
  "Loader.window": calls([count, options({ stride: from1 })], [loader]),
  "Loader.shuffle": calls([seed], [loader]),
  "Loader.shuffleWindow": calls([arg(/\bn\b/, 2), seed], [loader]),
  "Loader.shard": calls([
    fields(/option|world/, { rank: 0, world: 1 }, {
      rank: ["0"],
      world: ["1"],
      evenBatches: yes,
      // There is no batch before it.
      splitBatches: never,
      dropLast: yes,
    }),
  ], [loader]),
  "Loader.take": calls([arg(/\bn\b/, 2, "0", "1")], [loader]),
  "Loader.repeat": calls([arg(/epochs/, 2, "undefined", "1", "Infinity")], [loader]),
  "Loader.prefetch": calls([arg(/\bn\b/, 2, "0", "1")], [loader]),
  "Loader.progress": calls([f], [loader]),
  "Loader.cache": calls([loader]),
  "Loader.collate": calls([arg(/\bf\b/, () => tf.scalar(1), "undefined", "a function")], [loader]),
  "Loader.zip": calls([arg(/loader/, [some])]),
  "Loader.concat": calls([arg(/loader/, [some])]),
  "Loader.mix": calls([arg(/weights/, [1])], [arg(/loader/, [some])]),
  "Loader.skip": calls([arg(/\bn\b/, 2, "0", "1")], [
    arg(/iterable/, some, "[]", "[undefined]", '""', '"nonsense"', "a Map"),
  ]),
  skip: "Loader.skip",

  "Retention.latest": calls([count], [arg(/catalogue/, [], "[]")]),
  "Retention.every": calls([count], [arg(/catalogue/, [], "[]")]),
  "Retention.best": calls([
    count,
    arg(/metric/, "loss", '"nonsense"'),
    arg(/mode/, "min"),
    options({ keepUnmeasured: yes }),
  ], [arg(/catalogue/, [], "[]")]),
  "Retention.steps": calls([arg(/steps/, [1000], "[]")], [arg(/catalogue/, [], "[]")]),
  "Retention.within": calls([arg(/span/, "7d")], [arg(/catalogue/, [], "[]")]),
  "Retention.onePer": calls([arg(/span/, "1h")], [arg(/catalogue/, [], "[]")]),
  "Retention.any": calls([policy, policy]),
  "Retention.all": calls([policy, policy]),

  "Rng.make": calls([seed, arg(/algorithm/, "xoroshiro128plus", "undefined")]),
  "Rng.float": calls([rng]),
  "Rng.floats": calls([arg(/\bn\b/, 2, "0", "1")], [rng]),
  "Rng.int": calls([arg(/from/, 0, "-1", "0", "1"), arg(/to/, 2, "0", "1")], [rng]),
  "Rng.ints": calls([arg(/\bn\b/, 2, "0", "1"), arg(/from/, 0, "-1", "0", "1"), arg(/to/, 2, "0", "1")], [rng]),
  "Rng.fork": calls([arg(/name/, "a", '""', '"nonsense"')], [rng]),
  "Rng.skip": calls([arg(/\bn\b/, 2, "0", "1", "1n")], [rng]),
  "Rng.withRandom": calls([rng], [arg(/thunk/, () => 1, "a function")]),

  "Schedule.constant": rates({ base: 1 }, { base: rate }),
  "Schedule.step": rates({ base: 1, every: 1, factor: 0.5 }, { base: rate, every: ["1"], factor: rate }),
  "Schedule.multiStep": rates({ base: 1, milestones: [1], factor: 0.5 }, {
    base: rate,
    milestones: ["[]"],
    factor: rate,
  }),
  "Schedule.exponential": rates({ base: 1, factor: 0.5 }, { base: rate, factor: rate }),
  "Schedule.cosine": rates({ base: 1, steps: 2 }, { base: rate, steps: ["1"], final: rate }),
  "Schedule.linear": rates({ base: 1, steps: 2 }, { base: rate, steps: ["1"], final: rate }),
  "Schedule.polynomial": rates({ base: 1, steps: 2 }, { base: rate, steps: ["1"], power: rate, final: rate }),
  "Schedule.oneCycle": rates({ peak: 1, steps: 3 }, {
    peak: rate,
    steps: [],
    rise: ["0", "1"],
    initial: rate,
    final: rate,
    anneal: ["undefined"],
    threePhase: ["undefined", "true", "false"],
  }),
  "Schedule.plateau": rates({ base: 1, factor: 0.5, patience: 1 }, {
    base: rate,
    factor: ["0"],
    patience: ["0", "1"],
    threshold: rate,
    thresholdMode: ["undefined"],
    mode: [],
    cooldown: ["0", "1"],
    final: rate,
  }),
  "Schedule.warmup": calls([
    arg(/steps/, 0, "0", "1"),
    arg(/from/, 0, "undefined", "0", "1", "1.5"),
  ], [schedule]),
  "Schedule.sequence": calls([arg(/parts/, [[Schedule.constant({ base: 1 }), 1]])]),
  "Schedule.product": calls([arg(/schedules/, [Schedule.constant({ base: 1 })])]),
  "Schedule.rate": calls([schedule]),
  "Schedule.next": calls([schedule, arg(/metric/, 1, "undefined", "NaN", "-1", "0", "1", "1.5", "Infinity")]),

  "Scaler.make": calls([
    options({ scale: ["1", "1.5"], growthFactor: ["1.5"], backoffFactor: [], growthInterval: ["1"] }),
  ]),
  "Scaler.scale": calls([scaler]),
  "Scaler.unscale": calls([scaler], [arg(/gradients/, [tf.scalar(1)], "{}", "[]", "a Map", "a function")]),
  "Scaler.update": calls([arg(/overflow/, true, "true")], [scaler]),

  directory: calls([arg(/path/, "x", '"nonsense"'), options(keeping)]),
  memory: calls([options(keeping)]),
  s3: calls([
    arg(/URL/, "s3://bucket/run"),
    options({
      ...keeping,
      endpoint: never,
      region: word,
      credentials: callback,
      partSize: never,
      concurrency: from1,
      create: never,
      timeout: never,
    }),
  ]),
  lease: calls([
    arg(/URL/, "s3://bucket/run"),
    arg(/name/, "a", '"nonsense"'),
    options({
      seconds: from1,
      endpoint: never,
      region: word,
      credentials: callback,
      partSize: never,
      concurrency: from1,
      create: never,
      timeout: never,
    }),
  ]),
  jsonLines: calls([arg(/path/, "x", '"nonsense"')]),
  tensorBoard: calls([arg(/folder/, "x", '"nonsense"')]),
  mirrored: calls([store, store, options({ onFailed: callback })]),
  list: calls([store]),
  plan: calls([store, options({ run: word, onProgress: callback })], [policy]),
  prune: calls([store, options({ onProgress: callback })], [
    arg(/plan/, { _tag: "Plan", keep: [], remove: [], verified: [] }),
  ]),
  saveState: tasks([store, options({ ...writing, ...codecs })], [components]),
  writeSnapshot: calls([store, options(writing)], [snapshot]),
  saver: calls([store, options({ ...writing, ...codecs, whenBusy: never, onSaved: callback })]),
  loadState: calls([store, options({ ...reading, ...codecs, ...selecting })], [components]),
  resume: calls([store, options({ ...reading, ...codecs, ...selecting })], [components]),
  readSnapshot: calls([store, options(reading)]),
  loadModel: calls([store, options({ ...reading, name: word, compile: yes })]),

  readTensor: calls([
    store,
    fields(/option|path/, { path: "step" }, {
      path: ['"nonsense"'],
      checkpoint: from0,
      rows: never,
      verify: yes,
    }),
  ]),

  captureState: calls([components, options(codecs)]),
  codecOf: calls([
    arg(/name/, "Date", '"nonsense"'),
    arg(/Class/, Date),
    arg(/toPlain/, Number, "a function"),
    arg(/fromPlain/, () => new Date(), "a function"),
  ]),
  restoreState: calls([snapshot, options(codecs)]),
  restoreInto: calls([components, options({ ...codecs, ...selecting, onReport: callback })], [snapshot]),
  id: calls([snapshot]),
  diff: calls([snapshot, snapshot]),
  release: calls([snapshot]),

  train: calls([
    fields(/option|loader|step/, training, {
      loader: [],
      step: ["a function"],
      onEpochEnd: callback,
      until: callback,
      cursor: word,
      metrics: callback,
      ...tracking,
      save: never,
      stopOn: names,
      progress: [...yes, "{}"],
    }),
  ]),
  fit: calls([fields(/option|`to`/, { to: dogear.memory() }, fitting)]),
  fit_: tasks([arg(/option|`to`/, { to: dogear.memory() })], [
    arg(/model/, model),
    ...[tf.zeros([1, 1]), tf.zeros([1, 1])].map((data) => arg(/./, data, ...Object.keys(nonsense))),
  ]),
  fitDataset: calls([fields(/option|`to`/, { to: dogear.memory() }, fitting)]),
  fitDataset_: tasks([arg(/option|`to`/, { to: dogear.memory() })], [
    arg(/model/, model),
    ...[tf.data.array([]), { epochs: 1 }].map((data) => arg(/./, data, ...Object.keys(nonsense))),
  ]),
  accumulateGrads: calls([arg(/micro-batches/, [1], "[undefined]")], [arg(/loss/, () => tf.scalar(1), "a function")]),
  trainOnBatch: tasks([
    arg(/model/, model),
    // tfjs refuses them itself.
    ...[tf.zeros([1, 1]), tf.zeros([1, 1])].map((data) => arg(/./, data, ...Object.keys(nonsense))),
  ], [rng]),
  proveResume: calls([
    fields(/option|fresh/, { ...training, fresh: () => ({ cursor: Loader.start(some) }) }, {
      fresh: ["a function"],
      step: ["a function"],
      onEpochEnd: callback,
      until: callback,
      loader: [],
      cursor: word,
      ...codecs,
      steps: ["undefined"],
      at: names,
      process: ["undefined", "true"],
      patience: ["undefined", "1", "1.5", "Infinity"],
    }),
  ]),
  setLearningRate: calls([arg(/optimizer/, tf.train.sgd(1)), arg(/rate/, 1, "0", "1", "1.5")]),
  exactBackend: "takes no argument",

  fromLines: calls([path, options({ index: never })]),
  fromJsonLines: calls([path, options({ index: never, codec: never, largeIntegers: never })]),
  fromCsv: calls([path, options({ index: never, separator: never, names, codec: never })]),
  fromNpy: calls([path]),
  fromFolder: calls([path, options({ endings: names })]),
  fromParquet: calls([path, options({ columns: names, groups: from1, codec: never })]),

  storeLaws: calls([arg(/make/, dogear.memory, "a function"), options({ reopen: callback })]),
  savingOf: calls([
    arg(/writer/, Object.fromEntries(["put", "reuse", "commit", "discard"].map((name) => [name, () => 1]))),
  ]),
  digester: calls([arg(/algorithm/, "crc32", "undefined")]),
  checkedChunk: calls([arg(/chunk/, Uint8Array.of(1))]),
  checkStoreOptions: "it is the check of the options of directory and memory",
  checkRange: "it is the check of read, which storeLaws tries",
  ofCheckpoint: "it is the check of manifest and remove, which storeLaws tries",
  ofPart: "it is the check of open, which storeLaws tries",
  storeFailed: "it puts a store's own words into a value",
  numberTaken: "it only puts its arguments into a value",

  pipe: "fp-ts's own",
  explain: calls([arg(/error/, { _tag: "Released" })]),
  runMain: "it says so and sets the exit code, see tests/run/run_main.test.ts",
  runOrThrow: tasks([arg(/task/, () => Promise.resolve({ _tag: "Right", right: 1 }))]),
};

/** Functions under their names, those of namespaces too. */
const exported: Readonly<Record<string, unknown>> = Object.fromEntries(
  Object.entries(dogear).flatMap(([name, value]) =>
    typeof value === "function"
      ? [[name, value]]
      : Object.entries(value).filter(([, member]) => typeof member === "function")
        .map(([member, value]) => [`${name}.${member}`, value])
  ),
);

/** Calls a function with its arguments, call by call, one of them in place of the right one: what is thrown, if anything. */
async function thrown(name: string, { calls, run }: Callable, at: number, k: number, value: unknown): Promise<unknown> {
  try {
    let result = exported[name.replace("_", "")];
    for (const [i, args] of calls.entries()) {
      const given = args.map(({ right }, j) => i === at && j === k ? value : right);
      result = (result as (...args: readonly unknown[]) => unknown)(...given);
    }
    if (run) await (typeof result === "function" ? result() : result);
    return undefined;
  } catch (error) {
    return error;
  }
}

test("arguments: every exported function is tried with nonsense, or listed with a reason", () => {
  const tried = new Set(Object.keys(table).map((name) => name.replace("_", "")));
  assert.deepEqual([...tried].sort(), Object.keys(exported).sort());
});

for (const [name, callable] of Object.entries(table)) {
  if (typeof callable === "string") continue;
  test(`${name}: nonsense is a TypeError that names the argument`, async () => {
    for (const [at, args] of callable.calls.entries()) {
      for (const [k, { name: word, fine, fields, right }] of args.entries()) {
        const refused = async (what: string, value: unknown, names: RegExp): Promise<void> => {
          const place = `argument ${k + 1} of call ${at + 1} of ${name} as ${what}`;
          const error = await thrown(name, callable, at, k, value);
          assert.ok(error instanceof TypeError, `Expected a TypeError for ${place}, found ${error}`);
          assert.match(error.message, /[Ee]xpected /, place);
          assert.match(error.message, names, place);
        };
        for (const [what, value] of Object.entries(nonsense)) {
          if (!fine.includes(what)) await refused(what, value, word);
        }
        for (const [field, fineHere] of Object.entries(fields)) {
          for (const [what, value] of Object.entries(nonsense)) {
            const given = { ...right as object, [field]: value };
            if (!fineHere.includes(what)) await refused(`{ ${field}: ${what} }`, given, new RegExp(field));
            else {assert.equal(
                await thrown(name, callable, at, k, given),
                undefined,
                `{ ${field}: ${what} } of ${name}`,
              );}
          }
        }
      }
    }
  });
}

test("curried: what belongs to the second call is a TypeError in the first one, which says how to write both", () => {
  for (const [name, callable] of Object.entries(table)) {
    if (typeof callable === "string" || callable.calls.length < 2) continue;
    const [own, next] = callable.calls.map((args) => args.map(({ right }) => right)) as [unknown[], unknown[]];
    const f = exported[name.replace("_", "")] as (...args: readonly unknown[]) => unknown;
    const says = { name: "TypeError", message: /: write \S.*\)\([a-z]/ };
    assert.throws(() => f(...own, ...next), says, name);
    // Components may be a record whose names are those of options.
    const hasOptions = own.length > 1 && callable.calls[0]!.at(-1)!.name.source === "option";
    if (hasOptions && !/^(saveState|loadState|resume)$/.test(name)) {
      assert.throws(() => f(...own.slice(0, -1), ...next), says, name);
    }
    // The map of an array gives an index and the array.
    assert.doesNotThrow(() => f(...own, 0, [own]), name);
  }
});

/** Calls as a script without types makes them, and what they are answered. */
// deno-lint-ignore no-explicit-any -- to call it as a script without types would
const unchecked = dogear as any;
const to = dogear.memory();
const misspelt: Readonly<Record<string, readonly [call: () => unknown, answer: RegExp]>> = {
  "saveState metric": [
    () => unchecked.saveState(to, { metric: { loss: 1 } }),
    /^Expected an option of saveState: step, metrics, .*, found `metric`: did you mean `metrics`\?$/,
  ],
  "components in place of the options of saveState": [
    () => unchecked.saveState(to, { a: 1 }),
    /found `a`: the components come after it: saveState\(store\)\(components\)/,
  ],
  "two at once": [
    () => unchecked.saveState(to, { setp: 1, metrcs: {} }),
    /`setp`: .*`step`\?; `metrcs`: .*`metrics`\?/,
  ],
  "loadState keeep": [() => unchecked.loadState(to, { keeep: ["a"] }), /did you mean `keep`\?/],
  "resume chekpoint": [() => unchecked.resume(to, { chekpoint: 1 }), /option of resume: .*did you mean `checkpoint`\?/],
  "readSnapshot falback": [() => unchecked.readSnapshot(to, { falback: true }), /readSnapshot.*`fallback`/],
  "loadModel component": [() => unchecked.loadModel(to, { nam: "a" }), /option of loadModel: .*did you mean `name`\?/],
  "a number in the with of fit": [
    () => unchecked.fit({ to, with: { best: 0.5 } }),
    /^Expected with\.best to be an object, found 0\.5, a number, which cannot be refilled: pass .* with: \{ mine \} where mine\.best is changed$/,
  ],
  "a string in the with of fitDataset": [
    () => unchecked.fitDataset({ to, with: { a: {}, word: "x" } }),
    /^Expected with\.word to be an object, found "x", a string, which cannot be refilled/,
  ],
  "the restoreBest of fit": [
    () => unchecked.fit({ to, restoreBest: { metric: "loss", mode: "least" } }),
    /Expected restoreBest\.mode to be "min" or "max", found "least"/,
  ],
  "a restoreBest of fit without its mode": [
    () => unchecked.fit({ to, restoreBest: { metric: "loss" } }),
    /Expected restoreBest\.mode to be "min" or "max", found no such field/,
  ],
  "true as the restoreBest of fit": [
    () => unchecked.fit({ to, restoreBest: true }),
    /Expected restoreBest to be an object such as \{ metric: "val_loss", mode: "min" \}, found true/,
  ],
  "writeSnapshot codecs": [
    () => unchecked.writeSnapshot(to, { codecs: {} }),
    /option of writeSnapshot: .*found `codecs`/,
  ],
  "saver whenbusy": [() => unchecked.saver(to, { whenbusy: "skip" }), /option of saver: .*`whenBusy`/],
  "restoreInto onreport": [() => unchecked.restoreInto({}, { onreport: () => {} }), /restoreInto.*`onReport`/],
  "captureState codec": [() => unchecked.captureState({}, { codec: {} }), /captureState.*`codecs`/],
  "restoreState codec": [
    () => unchecked.restoreState(dogear.captureState({}), { codec: {} }),
    /restoreState.*`codecs`/,
  ],
  "train stepp": [() => unchecked.train({ ...training, stepp: 1 }), /option of train: .*found `stepp`/],
  "train stopon": [() => unchecked.train({ ...training, stopon: [] }), /did you mean `stopOn`\?/],
  "the save of train": [() => unchecked.train({ ...training, save: { to, evry: 1 } }), /save of train: .*`every`/],
  "the save of train without a store": [
    () => unchecked.train({ ...training, save: { too: to, every: 1 } }),
    /option of save of train: to, .*found `too`: did you mean `to`\?/,
  ],
  "fit evry": [() => unchecked.fit({ to, evry: 50 }), /option of fit: .*did you mean `every`\?/],
  "fitDataset everyy": [
    () => unchecked.fitDataset({ to, everyy: 50 }),
    /option of fitDataset: .*did you mean `every`\?/,
  ],
  "fit without a store": [
    () => unchecked.fit({ seed: 42 }),
    /^Expected `to` to be a store .*found undefined: write to: directory\("runs\/digits"\)/,
  ],
  "fit with a path": [() => unchecked.fit({ to: "runs/x" }), /found "runs\/x": write to: directory\("runs\/x"\)/],
  "a path for a store": [
    () => unchecked.saveState("runs/x"),
    /^Expected the store to be a store .*found "runs\/x": write saveState\(directory\("runs\/x"\)\)\(components\)$/,
  ],
  "a path for the store of resume": [
    () => unchecked.resume("runs/x"),
    /found "runs\/x": write resume\(directory\("runs\/x"\)\)\(components\)$/,
  ],
  "a signal for the signals": [
    () => unchecked.train({ ...training, stopOn: "SIGTERM" }),
    /^Expected stopOn to be an array of signals, found "SIGTERM": write stopOn: \["SIGTERM"\]$/,
  ],
  "fit without data": [
    () => unchecked.fit({ to })(model),
    /^Expected x of model\.fit to be a tensor, or an array or record of tensors, such as tf\.tensor2d\(\[\[0, 1\]\]\), found undefined$/,
  ],
  "fit with plain arrays": [
    () => unchecked.fit({ to })(model, tf.ones([1, 2]), [[1], [2]]),
    /^Expected y of model\.fit to be a tensor, .*found an array of 2$/,
  ],
  "fit with a string of epochs": [
    () => unchecked.fit({ to })(model, tf.ones([1, 2]), tf.ones([1, 1]), { epochs: "13" }),
    /^Expected epochs of model\.fit to be a number, found "13"$/,
  ],
  "fitDataset with an array": [
    () => unchecked.fitDataset({ to })(model, [1, 2], { epochs: 1 }),
    /^Expected the dataset of model\.fitDataset to be a dataset of tf\.data, such as tf\.data\.array\(samples\)\.batch\(32\), found \[1, 2\]$/,
  ],
  "fitDataset with a loader": [
    () => unchecked.fitDataset({ to })(model, some, { epochs: 1 }),
    /^Expected the dataset of model\.fitDataset to be a dataset of tf\.data, because train\(\{ loader, step \}\) takes a loader, found an object$/,
  ],
  "no store": [
    () => unchecked.saveState({ a: 1 }),
    /found an object: write saveState\(directory\("runs\/digits"\)\)\(components\)$/,
  ],
  "the arguments of fit epoch": [
    () => unchecked.fit({ to })(model, null, null, { epoch: 5 }),
    /^Expected an option of model\.fit: .*found `epoch`: did you mean `epochs`\?$/,
  ],
  "the arguments of fit batch_size": [
    () => unchecked.fit({ to })(model, null, null, { epochs: 5, batch_size: 8 }),
    /did you mean `batchSize`\?/,
  ],
  "the arguments of fit as no record": [
    () => unchecked.fit({ to })(model, null, null, null),
    /options of model\.fit to be a record of options, found null/,
  ],
  "the arguments of fitDataset validationdata": [
    () => unchecked.fitDataset({ to })(model, null, { epochs: 5, validationdata: 8 }),
    /option of model\.fitDataset: .*did you mean `validationData`\?/,
  ],
  "the arguments of fitDataset forgotten": [
    () => unchecked.fitDataset({ to })(model, null),
    /options of model\.fitDataset to be a record of options, found undefined/,
  ],
  "a callback of fit onEpochEnds": [
    () => unchecked.fit({ to })(model, null, null, { callbacks: [{}, { onEpochEnds: () => {}, count: 0 }] }),
    /option of callbacks\[1\] of model\.fit: .*found `onEpochEnds`: did you mean `onEpochEnd`\?/,
  ],
  "a callback of fitDataset onBatchend": [
    () => unchecked.fitDataset({ to })(model, null, { epochs: 1, callbacks: { onBatchend: () => {} } }),
    /option of callbacks of model\.fitDataset: .*did you mean `onBatchEnd`\?/,
  ],
  "a function as a callback of fit": [
    () => unchecked.fit({ to })(model, null, null, { callbacks: () => {} }),
    /^Expected callbacks of model\.fit to be an object, such as \{ onEpochEnd: .*, found a function$/,
  ],
  "a hole among the callbacks of fit": [
    () => unchecked.fit({ to })(model, null, null, { callbacks: [, {}] }),
    /^Expected callbacks\[0\] of model\.fit to be an object, .* found undefined$/,
  ],
  "callbacks of both sorts": [
    () => unchecked.fit({ to })(model, null, null, { callbacks: [{}, tf.callbacks.earlyStopping()] }),
    /all of tfjs's classes or all plain objects, found both: make each plain object a new tf\.CustomCallback$/,
  ],
  "a store as the save of train": [
    () => unchecked.train({ ...training, save: to }),
    /^Expected the options of save of train to be a record of options, found a store: write \{ to: store \}$/,
  ],
  "a store as the options of fit": [() => unchecked.fit(to), /found a store: write \{ to: store \}$/],
  "components in place of the options of resume": [
    () => unchecked.resume(to, { step: 0 }),
    /found `step`: the components come after it: resume\(store\)\(components\)$/,
  ],
  "a URL as a folder": [
    () => unchecked.directory("s3://bucket/run"),
    /found "s3:\/\/bucket\/run": a URL is no path; for checkpoints in object storage use the store s3\(\)/,
  ],
  "an Error to explain": [
    () => unchecked.explain(new Error("x", { cause: { _tag: "Released" } })),
    /found an Error: pass .* the cause of what runOrThrow threw$/,
  ],
  "a result to explain": [
    () => unchecked.explain({ _tag: "Left", left: { _tag: "Released" } }),
    /found "Left": pass the left of a result/,
  ],
  "an unsafe end of Rng.int": [
    () => unchecked.Rng.int(0, 2 ** 60),
    /the end of Rng\.int to be a safe integer from 0 on/,
  ],
  "plan rum": [() => unchecked.plan(to, { rum: "a" }), /option of plan: .*`run`/],
  "prune onprogres": [() => unchecked.prune(to, { onprogres: () => {} }), /option of prune: .*`onProgress`/],
  "memory digset": [() => unchecked.memory({ digset: "sha256" }), /`digest`/],
  "proveResume step": [() => unchecked.proveResume({ ...training, fresh: () => ({}), patince: 1 }), /`patience`/],
  "train and its state at once": [
    () => unchecked.train(training, { cursor: Loader.start(some) }),
    /^Expected state in a second call of train, found it in the first: write train\(options\)\(state\)$/,
  ],
  "Rng.withRandom and its thunk at once": [
    () => unchecked.Rng.withRandom(Rng.make(1), () => 1),
    /: write Rng\.withRandom\(rng\)\(f\)$/,
  ],
  "Loader.batch and its loader at once": [
    () => unchecked.Loader.batch(32, some),
    /: write Loader\.batch\(32\)\(loader\), or pipe\(loader, Loader\.batch\(32\)\)$/,
  ],
  "Loader.batch with options, and its loader at once": [
    () => unchecked.Loader.batch(32, { dropLast: true }, some),
    /: write Loader\.batch\(32, options\)\(loader\), or pipe/,
  ],
  "Loader.batch droplast": [
    () => unchecked.Loader.batch(2, { droplast: true }),
    /option of Loader\.batch: .*`dropLast`/,
  ],
  "Loader.shard evenBatch": [
    () => unchecked.Loader.shard({ rank: 0, world: 1, evenBatch: true }),
    /option of Loader\.shard: .*`evenBatches`/,
  ],
  "Loader.map concurency": [() => unchecked.Loader.map((x: unknown) => x, { concurency: 2 }), /`concurrency`/],
  "Loader.mapRandom sed": [() => unchecked.Loader.mapRandom((x: unknown) => x, { sed: 2 }), /`seed`/],
  "Loader.window stide": [() => unchecked.Loader.window(2, { stide: 2 }), /`stride`/],
  "Loader.iterate epochs": [() => unchecked.Loader.iterate(some, { epochs: 2 }), /`epoch`/],
  "Loader.fromIterable fingerprnt": [
    () => unchecked.Loader.fromIterable(() => [1], { fingerprnt: "a" }),
    /`fingerprint`/,
  ],
  "Loader.fromIndexed fingerPrint": [
    () => unchecked.Loader.fromIndexed({ length: 1, at: (i: number) => i, fingerPrint: "a" }),
    /`fingerprint`/,
  ],
  "Schedule.cosine step": [
    () => unchecked.Schedule.cosine({ base: 1e-2, step: 15 }),
    /^Expected an option of Schedule\.cosine: base, steps, final, found `step`: did you mean `steps`\?$/,
  ],
  "the store of train": [
    () => unchecked.train({ ...training, save: { store: to } }),
    /found `store`: did you mean `to`\?$/,
  ],
  "the store of fit": [() => unchecked.fit({ store: to }), /found `store`: did you mean `to`\?$/],
  "the keep of train": [
    () => unchecked.train({ ...training, save: { to, keep: () => {} } }),
    /found `keep`: it is an option of the store: directory\(path, \{ keep \}\)$/,
  ],
  "the retention of saveState": [
    () => unchecked.saveState(to, { retention: 3 }),
    /found `retention`: it is an option of the store: directory\(path, \{ keep \}\)$/,
  ],
  "directory retention": [() => unchecked.directory("x", { retention: 3 }), /did you mean `keep`\?$/],
  "Schedule.cosine lr": [() => unchecked.Schedule.cosine({ lr: 1, steps: 2 }), /found `lr`: did you mean `base`\?$/],
  "Schedule.oneCycle max_lr": [
    () => unchecked.Schedule.oneCycle({ max_lr: 1, steps: 2 }),
    /`max_lr`: did you mean `peak`\?$/,
  ],
  "Schedule.cosine and a number": [
    () => unchecked.Schedule.cosine(0.1, 100),
    /^Expected the options of Schedule\.cosine to be a record of options, found 0\.1: write \{ base, steps, final \}$/,
  ],
  "saveState and a step": [() => unchecked.saveState(to, 5), /found 5: write \{ step, metrics, \w+, … \}$/],
  "Schedule.warmup and its schedule first": [
    () => unchecked.Schedule.warmup(Schedule.constant({ base: 1 }), 10),
    /^Expected schedule in a second call of Schedule\.warmup, .*: write pipe\(schedule, Schedule\.warmup\(10\)\)$/,
  ],
  "Loader.batch and its loader first": [
    () => unchecked.Loader.batch(some, 4, { dropLast: true }),
    /: write pipe\(loader, Loader\.batch\(n, options\)\)$/,
  ],
  "fromCsv delimiter": [() => unchecked.fromCsv("x", { delimiter: ";" }), /`delimiter`: did you mean `separator`\?$/],
  "fromCsv header": [() => unchecked.fromCsv("x", { header: true }), /`header`: did you mean `names`\?$/],
  "fromCsv schema": [() => unchecked.fromCsv("x", { schema: {} }), /`schema`: did you mean `codec`\?$/],
  "a far name of fit": [
    () => unchecked.fit({ to, best: 1, constructor: 2 }),
    /found `best`: did you mean `restoreBest`\?; `constructor`: write one of these names, or leave it out$/,
  ],
  "Scaler.make grow": [() => unchecked.Scaler.make({ growthfactor: 3 }), /`growthFactor`/],
  "fromCsv seperator": [() => unchecked.fromCsv("x", { seperator: ";" }), /`separator`/],
  "fromJsonLines codecs": [() => unchecked.fromJsonLines("x", { codecs: {} }), /`codec`/],
  "fromFolder ending": [() => unchecked.fromFolder("x", { ending: [] }), /`endings`/],
  "fromParquet column": [() => unchecked.fromParquet("x", { column: [] }), /`columns`/],
};

for (const [what, [call, answer]] of Object.entries(misspelt)) {
  test(`options: ${what} is a TypeError that says what to write`, () => {
    assert.throws(call, { name: "TypeError", message: answer });
  });
}

test("options: a data set, and a module with more exports than proveResume takes, are accepted", () => {
  const indexed = { length: 1, at: (i: number) => i, close: () => {}, name: "digits" };
  assert.equal(Loader.length(Loader.fromIndexed(indexed)), 1);
  const module = { ...training, fresh: () => ({ cursor: Loader.start(some) }), data: [1], store: to, model, x: 1 };
  assert.equal(typeof dogear.proveResume(module), "function");
  assert.equal(typeof dogear.train(module as never), "function");
});

test("options: callbacks of classes, plain objects with other fields and no callbacks are accepted", () => {
  class Mine extends tf.Callback {
    onEpochEnds = 1;
  }
  for (
    const callbacks of [undefined, null, [], {}, [{ onEpochEnd: () => {}, seen: 0 }], new Mine(), [
      tf.callbacks.earlyStopping(),
      new Mine(),
      new tf.CustomCallback({ onTrainEnd: () => {} }),
    ]]
  ) {
    assert.equal(typeof unchecked.fit({ to })(model, tf.ones([1, 2]), tf.ones([1, 1]), { callbacks }), "function");
    assert.equal(typeof unchecked.fitDataset({ to })(model, tf.data.array([1]), { epochs: 1, callbacks }), "function");
  }
});

test("train: a state that is not a record is a TypeError that names the missing cursor", async () => {
  for (const state of [null, undefined, 5, "state", []]) {
    await assert.rejects(unchecked.train(training)(state)(), { name: "TypeError", message: /component "cursor"/ });
  }
});

test("codecs: a schema of another library is a TypeError at once, because components are also encoded", () => {
  /** As those of zod (a class with parse, decode and encode) and of valibot (a plain object). */
  class ZodObject {
    parse = (value: unknown): unknown => value;
    safeParse = (value: unknown): unknown => ({ success: true, data: value });
    validate = (value: unknown): unknown => value;
    decode = (value: unknown): unknown => value;
    encode = (value: unknown): unknown => value;
  }
  const valibot = { kind: "schema", type: "object", "~standard": { validate: (value: unknown) => ({ value }) } };
  const arktype = Object.assign(() => {}, valibot);
  const asked = "codecs.a to be a codec of io-ts,";
  const decodesOnly =
    `${asked} because a checkpoint also encodes: a Standard Schema, such as one of zod, only decodes,`;
  for (
    const [codec, message] of [
      [
        new ZodObject(),
        `${asked} such as t.type({ text: t.string }) or codecOf(name, Class, toPlain, fromPlain), found an instance of ZodObject`,
      ],
      [valibot, `${decodesOnly} found an object`],
      [arktype, `${decodesOnly} found a function`],
    ] as const
  ) {
    for (
      const call of [
        () => unchecked.captureState({ a: 1 }, { codecs: { a: codec } }),
        () => unchecked.restoreState(dogear.captureState({ a: 1 }), { codecs: { a: codec } }),
        () => unchecked.restoreInto({ a: 1 }, { codecs: { a: codec } }),
        () => unchecked.saveState(to, { codecs: { a: codec } }),
        () => unchecked.loadState(to, { codecs: { a: codec } }),
        () => unchecked.saver(to, { codecs: { a: codec } }),
        () => unchecked.train({ ...training, save: { to, codecs: { a: codec } } }),
        () => unchecked.fit({ to, codecs: { a: codec } }),
      ]
    ) assert.throws(call, (thrown: Error) => thrown instanceof TypeError && thrown.message.includes(message));
  }
});
