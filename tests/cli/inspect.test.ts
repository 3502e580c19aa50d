/**
 * `dogear inspect`, and the statistics of tensors.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import { directory, Loader, pipe, Rng, saveState, Scaler, Schedule } from "../../mod.ts";
import { statistics } from "../../lib/cli/statistics.ts";
import { findPart, tensorNames } from "../../lib/checkpoint/mod.ts";
import type { Named, Node } from "../../lib/state/mod.ts";
import { heldBytes } from "../../lib/state/array.ts";
import { widthOf } from "../../lib/cli/text_width.ts";
import { copied, dogear, dogearWithin, flip, inside, json, place, run } from "../support/command_line.ts";
import { torture } from "../support/torture.ts";

test("inspect: shows a checkpoint and its components", async () => {
  const { code, text } = await dogear("inspect", `${run}@1`);
  assert.equal(code, 0);
  const [about, components] = text.split("\n\n") as [string, string];
  assert.match(
    about,
    /^checkpoint {2}1 in .*\nsaved .*Z\nby {10}dogear .*\nrun .*, after checkpoint 0\nstep {8}20\nmetrics {5}loss 0.05/,
  );
  assert.equal(
    components,
    [
      "component  kind         about",
      "model      LayersModel  2 layers, 17 parameters",
      "w          Variable     float32 [6]",
      "rng        Rng          xoroshiro128plus",
      'note       record       text "a\\u001b[31mb", c/d [1n, -0]',
      "step       number       20",
    ].join("\n"),
  );
  const { value } = await json("inspect", run);
  const { checkpoint, step, parent, components: found } = value;
  assert.deepEqual([checkpoint, step, parent], [2, 30, 1]);
  assert.deepEqual(found[1], {
    name: "w",
    kind: "Variable",
    tensors: 1,
    elements: 6,
    files: ["state/w.safetensors"],
    about: "float32 [6]",
  });
});

test("inspect: shows shape, range, mean, NaN count and histogram of a tensor", async () => {
  const expected = [
    "dtype       float32",
    "shape       [6]",
    "file        state/w.safetensors",
    "elements    6",
    "range       -2 to 6",
    "mean        1, standard deviation 3",
    "NaN         1",
    "infinite    1",
    "zero        2",
    "",
    "  -2 to -1.2  ###############                 1",
    "-1.2 to -0.4                                  0",
    " -0.4 to 0.4  ##############################  2",
    "  0.4 to 1.2                                  0",
    "    1.2 to 2                                  0",
    "    2 to 2.8                                  0",
    "  2.8 to 3.6                                  0",
    "  3.6 to 4.4                                  0",
    "  4.4 to 5.2                                  0",
    "    5.2 to 6  ###############                 1",
  ].join("\n");
  assert.deepEqual(await dogear("inspect", run, "w/value"), { code: 0, text: expected, said: "" });
  assert.ok((await dogear("inspect", `${run}@0`, "w")).text.endsWith(expected));
  const { value } = await json("inspect", `${run}@latest`, "w/value");
  const { statistics: found, parts } = value;
  const { histogram, ...rest } = found;
  assert.deepEqual(rest, {
    of: "elements",
    count: 6,
    nan: 1,
    infinite: 1,
    zeros: 2,
    min: -2,
    max: 6,
    mean: 1,
    deviation: 3,
  });
  assert.equal(histogram.length, 10);
  assert.deepEqual(parts, [{ path: "w/value", dtype: "float32", shape: [6], file: "state/w.safetensors" }]);
});

// --- a training with everything in it

/** A checkpoint of two models that share an encoder, with frozen and custom layers, optimizers with slots, and every state value. */
async function everything(): Promise<string> {
  const path = place();
  const encoder = tf.sequential({
    name: "encoder",
    layers: [tf.layers.dense({ units: 4, inputShape: [4], name: "narrow" }), tf.layers.batchNormalization()],
  });
  const [left, right] = [tf.input({ shape: [4], name: "left" }), tf.input({ shape: [4], name: "right" })];
  const shared = tf.layers.dense({ units: 4, name: "shared" });
  const both = [shared.apply(left), shared.apply(encoder.apply(right))] as tf.SymbolicTensor[];
  const joined = tf.layers.concatenate({ name: "joined" }).apply(both) as tf.SymbolicTensor;
  const doubled = new Doubled({ name: "doubled" }).apply(joined) as tf.SymbolicTensor;
  const frozen = tf.layers.dense({ units: 3, name: "frozen", trainable: false });
  const model = tf.model({ inputs: [left, right], outputs: frozen.apply(doubled) as tf.SymbolicTensor });
  const critic = tf.sequential({ layers: [encoder, tf.layers.dense({ units: 1, name: "score" })] });
  critic.compile({ optimizer: tf.train.rmsprop(0.02), loss: "meanSquaredError" });
  const optimizer = tf.train.adam(0.001);
  optimizer.minimize(() => (model.apply([tf.ones([2, 4]), tf.ones([2, 4])]) as tf.Tensor).square().mean());
  const schedule = Schedule.next(Schedule.step({ base: 0.5, every: 1, factor: 0.5 }));
  const cursor = Loader.start(pipe(Loader.fromArray([1, 2, 3]), Loader.shuffle(7)));
  const state = {
    critic,
    cursor,
    "lêft/漢字\u202e\n": "x".repeat(300),
    rng: Rng.make(1),
    scaler: Scaler.make(),
    schedule,
  };
  const nets = {
    best: tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2], name: "only" })] }),
    at: 3,
  };
  const best: number | null = null;
  await saveState(directory(path))({ model, ...state, optimizer, momentum: tf.train.momentum(0.1, 0.9), nets, best });
  return path;
}

/** A layer of the user's own, without a rule for its shape. */
class Doubled extends tf.layers.Layer {
  static readonly className: string = "Doubled";
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.mul(Array.isArray(inputs) ? inputs[0]! : inputs, 2);
  }
}
tf.serialization.registerClass(Doubled);

const trained = await everything();

test("inspect: says in a line what each component is", async () => {
  const { text } = await dogearWithin(120, "inspect", trained);
  const [, table = ""] = text.split("\n\n");
  const rows = table.split("\n").map((line) => line.split(/ {2,}/));
  const about = Object.fromEntries(rows.map(([name, , , , said]) => [name, said]));
  assert.deepEqual(about, {
    component: "about",
    model: "7 layers, 83 parameters, 48 trainable",
    critic: "2 layers, 41 parameters, 33 trainable; compiled with RMSProp, lea…",
    cursor: "epoch 0, position 0 of 3",
    "lêft~1漢字\\u202e\\x0a": `"${"x".repeat(64)}…`,
    rng: "xoroshiro128plus",
    scaler: "scale 65536",
    schedule: "step, rate 0.25, step 1",
    optimizer: "Adam, learning rate 0.001, 1 step, 2 slots",
    momentum: "Momentum, learning rate 0.1, 0 steps, 1 slot",
    nets: "best LayersModel, at 3",
    best: "null",
  });
});

test("inspect: of a model it shows layers, output shapes, parameters and totals, and how to see the rest", async () => {
  assert.equal(
    (await dogearWithin(100, "inspect", trained, "model")).text.replaceAll(trained, "RUN"),
    [
      "layer                                type                output shape  parameters  trainable",
      "right                                InputLayer          [null, 4]              0          0",
      "left                                 InputLayer          [null, 4]              0          0",
      "encoder                              Sequential          [null, 4]             36         28",
      "  narrow                             Dense               [null, 4]             20         20",
      "  batch_normaliza…tchNormalization1  BatchNormalization  [null, 4]             16          8",
      "shared                               Dense               [null, 4]             20         20",
      "joined                               Concatenate         [null, 8]              0          0",
      "doubled                              Doubled             ?                      0          0",
      "frozen                               Dense               ?                     27          0",
      "",
      "parameters     83",
      "trainable      48",
      "not trainable  35",
      "",
      "one tensor  dogear inspect RUN model/narrow/kernel",
      "all values  dogear inspect RUN model --all",
    ].join("\n"),
  );
  const critic = await dogear("inspect", trained, "critic");
  assert.match(
    critic.text,
    /^optimizer {6}RMSProp, learning rate 0.02, 0 steps, 3 slots:\n {15}critic\/compile\/optimizer$/m,
  );
  const { value } = await json("inspect", trained, "model");
  assert.deepEqual([value.model.parameters, value.model.trainable, value.model.layers.length], [83, 48, 9]);
  assert.ok(value.parts.some(({ path }: { path: string }) => path === "model/layers/3/weights/kernel/value"));
  // A model in plain data is one line of it.
  assert.match((await dogear("inspect", trained, "nets")).text, /\nnets\/best +LayersModel +1 layer, 3 parameters\n/);
  assert.match(
    (await dogear("inspect", trained, "nets", "--all")).text,
    /\nnets\/best\/layers\/0\/weights\/bias\/value /,
  );
});

test("inspect: the commands that it shows work, and every name in a difference is one that it takes", async () => {
  const { text } = await dogear("inspect", trained, "model");
  const shown = [...text.matchAll(/^(?:one tensor|all values) {2}dogear (.*)$/gm)].map(([, line]) => line!.split(" "));
  assert.equal(shown.length, 2);
  for (const words of shown) assert.equal((await dogear(...words)).code, 0, words.join(" "));
  const { text: found } = await dogearWithin(Infinity, "diff", `${run}@0`, "@2");
  const names = [...found.matchAll(/^(model\/\S+) /gm)].map(([, name]) => name!);
  assert.equal(names.length, 4);
  for (const name of names) assert.equal((await dogear("inspect", run, name)).code, 0, name);
});

test("inspect: a name that two tensors have is that of neither: each is found by the name that is shown", () => {
  const array = (name?: string): Node => ({
    is: "array",
    held: heldBytes("float32", [1], new Uint8Array(4)),
    ...(name === undefined ? {} : { name }),
  });
  const record = (of: Readonly<Record<string, Node>>): Node => ({ is: "record", entries: Object.entries(of) });
  const components: readonly Named[] = [
    ["m", record({ a: array("twin/kernel"), b: array("twin/kernel"), c: array("a"), d: array("own"), e: array() })],
  ];
  const names = tensorNames(components);
  assert.deepEqual([...names.values()], ["m/a", "m/b", "m/c", "m/own", "m/e"]);
  for (const [path, name] of names) assert.equal(findPart(components, name)?.[0], path);
});

test("inspect and diff: lines fit in 60, 80 and 120 columns, whatever the names", async () => {
  const path = place();
  const names = ["n".repeat(200), "漢字".repeat(60), "\u202eevil\n\u001b[2J", "a b/c~d", "🏳️‍🌈".repeat(50)];
  for (const value of [1, 2]) {
    const dense = names.map((_, i) => tf.layers.dense({ units: 2, inputShape: [2], name: `${"n".repeat(200)}${i}` }));
    const model = tf.sequential({ layers: dense });
    // tfjs checks names when it builds a layer.
    dense.forEach((layer, i) => Object.assign(layer, { name: names[i] }));
    const plain = names.map((name) => [name, { [name]: value % 2 === 0 ? name : null, words: Uint8Array.of(value) }]);
    const rngs = Object.fromEntries(names.map((name) => [name, Rng.make(value)]));
    await saveState(directory(path))({ model, rngs, ...Object.fromEntries(plain) });
  }
  for (const width of [60, 80, 120]) {
    for (const at of [path, trained]) {
      const parts = at === path ? [["rngs"], ["model"], ["model", "--all"], [names[0]!]] : [["critic"], ["nets"]];
      const lines = [["inspect", at], ...parts.map((part) => ["inspect", at, ...part])];
      if (at === path) {
        lines.push(["diff", `${at}@0`, "@1"], ["diff", `${at}@0`, "@1", "--all"], ["inspect", at, "xyz"]);
      }
      for (const words of lines) {
        const { text } = await dogearWithin(width, ...words);
        for (const line of text.split("\n")) {
          assert.doesNotMatch(line, /[\p{Cc}\u202e\u2028]/u);
          // Paths of runs and files and words of commands are never cut.
          if (line.includes(at) || /^(file)? +\S+$/.test(line)) continue;
          assert.ok(widthOf(line) <= width, `${words.join(" ")} in ${width}: ${widthOf(line)} ${line}`);
        }
      }
    }
  }
});

test("inspect: a missing part is answered with the one that was meant, or with what there is", async () => {
  const said = async (part: string): Promise<string> =>
    (await dogear("inspect", trained, part)).said.replace(/^Expected a part of checkpoint 0, found ".*?"\. /, "");
  const answers: readonly (readonly [string, string])[] = [
    ["modle", "Did you mean model?"],
    ["MODEL", "Did you mean model?"],
    ["opt", "Did you mean optimizer?"],
    ["modle/narow/kernel", "Did you mean model/narrow/kernel?"],
    ["model/narrow/kernal", "Did you mean model/narrow/kernel?"],
    ["model/narow", "Did you mean model/narrow?"],
    ["modle/narow", "Did you mean model/narrow?"],
    ["optimizer/config/learningRat", "Did you mean optimizer/config/learningRate?"],
    ["optimiser/confg/beta1", "Did you mean optimizer/config/beta1?"],
    ["optimizer/slotz", "Did you mean optimizer/slots?"],
    ["model/layers/9", "model/layers has 0, 1, 2, 3, 4, 5, 6"],
    ["best/x", "best has no parts"],
    ["zzzzzz", "Its components are model, critic, cursor, lêft~1漢字~1"],
  ];
  for (const [part, answer] of answers) {
    const found = await said(part);
    assert.ok(part === "zzzzzz" ? found.startsWith(answer.slice(0, 40)) : found === answer, `${part}: ${found}`);
  }
});

test("inspect: finds a tensor by its path or by its name in the file", async () => {
  const byName = await dogear("inspect", run, "model/last/kernel");
  const byPath = await dogear("inspect", run, "model/layers/1/weights/kernel/value");
  assert.equal(byName.code, 0);
  assert.equal(byName.text, byPath.text);
  assert.match(byName.text, /shape {7}\[4, 1\]\n[^]*range {7}32 to 32\n/);
  const component = await dogear("inspect", run, "model", "--all");
  assert.match(component.text, /\nmodel\/layers\/0\/weights\/kernel\/value +float32 +\[2, 4\] first\/kernel\n/);
});

test("inspect: shows the tensors of a layer by its name or its path, also of a nested one, and --all its values", async () => {
  const { code, text } = await dogear("inspect", run, "model/last");
  assert.equal(code, 0);
  assert.equal(
    text.replaceAll(run, "RUN"),
    [
      "tensor             dtype    shape",
      "model/last/kernel  float32  [4, 1]",
      "model/last/bias    float32  [1]",
      "",
      "all values  dogear inspect RUN model/last --all",
    ].join("\n"),
  );
  assert.equal((await dogear("inspect", run, "model/layers/1")).text, text.replace("last --all", "layers/1 --all"));
  const { value } = await json("inspect", run, "model/last");
  assert.deepEqual(value, (await json("inspect", run, "model/layers/1")).value);
  assert.equal(value.path, "model/layers/1");
  assert.match((await dogear("inspect", run, "model/last", "--all")).text, /\/config\/units +number +1\n/);
  // Every row of the table of a model can be asked for, if its name is the only one.
  const { model: { layers } } = (await json("inspect", trained, "model")).value;
  const names: readonly string[] = layers.map(({ name }: { name: string }) => name);
  for (const name of names) {
    const isOne = names.filter((other) => other === name).length === 1;
    assert.equal((await dogear("inspect", trained, `model/${name}`)).code, isOne ? 0 : 2, name);
  }
  assert.ok(layers.some(({ depth }: { depth: number }) => depth > 0));
});

test("inspect: shows plain data leaf by leaf, with control characters escaped", async () => {
  const { text } = await dogear("inspect", run, "note");
  assert.equal(
    text,
    [
      "path         type    value",
      'note/text    string  "a\\u001b[31mb"',
      "note/c~1d/0  bigint  1n",
      "note/c~1d/1  number  -0",
    ].join("\n"),
  );
  assert.equal((await dogear("inspect", run, "note/text")).text.split("\n")[1], 'note/text  string  "a\\u001b[31mb"');
  const { value } = await json("inspect", run, "note/c~1d/0");
  assert.deepEqual(value.parts, [{ path: "note/c~1d/0", kind: "bigint", value: "1" }]);
});

test("inspect: an unknown part is an error that names the components; damaged tensors are not shown", async () => {
  const { code, said } = await dogear("inspect", run, "xyz/x");
  assert.equal(code, 2);
  assert.match(said, /found "xyz\/x". Its components are model, w, rng, note, step$/);
  assert.match((await dogear("inspect", run, "kernell")).said, /found "kernell". Did you mean model\/.*kernel/);
  assert.match(
    (await dogear("inspect", run, "model/las")).said,
    /found "model\/las". Did you mean model\/last\?$/,
  );
  const old = await dogear("inspect", run, "1");
  assert.equal(old.code, 2);
  assert.ok(old.said.endsWith(`. A checkpoint is written after its run: ${run}@1`), old.said);
  const path = await copied();
  await flip(inside(path, 2, "state/w.safetensors"));
  const damaged = await dogear("inspect", path, "w");
  assert.deepEqual([damaged.code, damaged.text], [1, ""]);
  assert.match(damaged.said, /state\/w\.safetensors: expected CRC-32/);
  assert.equal((await dogear("inspect", path, "model/last/kernel")).code, 0);
});

test("statistics: every number is counted once", () => {
  const numbers = fc.oneof(fc.float(), fc.constantFrom(NaN, Infinity, -Infinity, 0, -0, 3.4e38, -3.4e38));
  fc.assert(
    fc.property(fc.array(numbers, { maxLength: 50 }), (given) => {
      const array = Float32Array.from(given);
      const found = statistics(
        heldBytes("float32", [array.length], new Uint8Array(array.buffer)),
        new Uint8Array(array.buffer),
      );
      const finite = [...array].filter(Number.isFinite);
      assert.equal(found.count, array.length);
      assert.equal(found.nan, [...array].filter(Number.isNaN).length);
      assert.equal(found.infinite, array.length - finite.length - found.nan);
      assert.equal(found.zeros, finite.filter((x) => x === 0).length);
      assert.equal(found.histogram.reduce((sum, { count }) => sum + count, 0), finite.length);
      if (finite.length === 0) return assert.ok(Number.isNaN(found.min) && found.histogram.length === 0);
      assert.deepEqual([found.min + 0, found.max + 0], [Math.min(...finite) + 0, Math.max(...finite) + 0]);
      const mean = finite.reduce((sum, x) => sum + x, 0) / finite.length;
      assert.ok(Math.abs(found.mean - mean) <= 1e-9 * Math.max(1, Math.abs(found.max), Math.abs(found.min)));
      const edges = found.histogram.flatMap(({ from, to }) => [from, to]);
      assert.ok(edges.every((edge, i) => Number.isFinite(edge) && (i === 0 || edges[i - 1]! <= edge)));
      assert.deepEqual([edges[0]! + 0, edges.at(-1)! + 0], [found.min + 0, found.max + 0]);
    }),
    { numRuns: 300 * torture },
  );
  const strings = statistics(heldBytes("string", [2], new Uint8Array()), Uint8Array.of(1, 0, 0, 0, 65, 0, 0, 0, 0));
  assert.deepEqual([strings.of, strings.min, strings.max], ["lengths of strings in bytes", 0, 1]);
  const both = Float32Array.of(3, 4);
  const complex = statistics(heldBytes("complex64", [1], new Uint8Array()), new Uint8Array(both.buffer));
  assert.deepEqual([complex.of, complex.min, complex.max], ["real and imaginary parts", 3, 4]);
});
