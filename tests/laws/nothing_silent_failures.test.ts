import {
  captureState,
  directory,
  id,
  Loader,
  loadState,
  type Problem,
  release,
  restoreInto,
  Rng,
  Scaler,
  Schedule,
  type Store,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { crc32 } from "node:zlib";
import { runOrThrow, saveState } from "../../mod.ts";
import { torture } from "../support/torture.ts";

interface Shape {
  readonly units?: number;
  readonly layer?: "dense" | "lstm";
  readonly name?: string;
  readonly loss?: string;
  readonly optimizer?: () => tf.Optimizer;
  readonly variable?: () => tf.Variable;
  readonly data?: readonly number[];
  readonly seed?: number;
}

const scratch: string[] = [];
before(async () => void await tf.setBackend("cpu"));
after(async () => {
  for (const folder of scratch) await rm(folder, { recursive: true, force: true });
});

/** A state with every kind in it, all of them moved on from where they begin. */
async function build(shape: Shape = {}): Promise<Record<string, unknown>> {
  const { units = 3, layer = "lstm", name = "head", loss = "meanSquaredError", seed = 7 } = shape;
  const { optimizer = () => tf.train.adam(0.01), variable = () => tf.variable(tf.tensor([1, 2, 3]), true) } = shape;
  const layers = [
    layer === "lstm"
      ? tf.layers.lstm({ units, stateful: true, batchInputShape: [2, 4, 3] })
      : tf.layers.flatten({ batchInputShape: [2, 4, 3] }),
    tf.layers.batchNormalization(),
    tf.layers.dense({ units: 1, name }),
  ];
  const model = tf.sequential({ layers });
  model.compile({ optimizer: "sgd", loss });
  const [x, y] = [tf.randomNormal([2, 4, 3]), tf.ones([2, 1])];
  await model.trainOnBatch(x, y);
  const own = optimizer();
  const w = variable();
  if (w.dtype === "float32") own.minimize(() => w.square().sum().asScalar(), false, [w]);
  const loader = Loader.shuffle(seed)(Loader.fromArray(shape.data ?? [1, 2, 3, 4, 5, 6, 7, 8]));
  tf.dispose([x, y]);
  return {
    model,
    optimizer: own,
    w,
    t: tf.tensor([[1, 2], [3, 4]]),
    rng: Rng.float(Rng.make(seed))[1],
    cursor: Loader.start(loader),
    schedule: Schedule.next(Schedule.cosine({ base: 1, steps: 10 })),
    scaler: Scaler.update(true)(Scaler.make()),
    history: [1, 2, 3],
    nested: { v: tf.variable(tf.scalar(1)), note: "x" },
  };
}

type Problems = readonly Problem[];

/** Restores in a way that must fail, and gives the problems; everything live must be bit for bit as before. */
async function refused(
  live: Record<string, unknown>,
  restore: () => Promise<{ readonly _tag: string; readonly left?: unknown }>,
): Promise<unknown> {
  const now = captureState(live);
  const whole = await id(now)();
  release(now)();
  const memory = tf.memory();
  const result = await restore();
  assert.equal(result._tag, "Left");
  assert.deepEqual(tf.memory(), memory);
  const later = captureState(live);
  assert.equal(await id(later)(), whole);
  release(later)();
  return result.left;
}

const without = (state: Record<string, unknown>, name: string): Record<string, unknown> =>
  Object.fromEntries(Object.entries(state).filter(([key]) => key !== name));

interface Fault {
  readonly saved?: Shape;
  readonly live?: Shape;
  readonly change?: (live: Record<string, unknown>) => Record<string, unknown>;
  /** Each problem's path and kind. */
  readonly problems: readonly string[];
}

const faults: Readonly<Record<string, Fault>> = {
  "a component that the snapshot lacks": { change: (live) => ({ ...live, more: 1 }), problems: ["more missing"] },
  "a component that the run lacks": { change: (live) => without(live, "rng"), problems: ["rng extra"] },
  "a renamed component": {
    change: (live) => ({ ...without(live, "rng"), random: live["rng"] }),
    problems: ["random missing", "rng extra"],
  },
  "a variable of another shape": { live: { variable: () => tf.variable(tf.zeros([4])) }, problems: ["w shape"] },
  "a variable of another dtype": {
    saved: { variable: () => tf.variable(tf.tensor([1, 2, 3], [3], "int32")) },
    problems: ["w dtype"],
  },
  "a variable of another name": {
    live: { variable: () => tf.variable(tf.tensor([1, 2, 3]), true, "mine") },
    saved: { variable: () => tf.variable(tf.tensor([1, 2, 3]), true, "yours") },
    problems: ["w name"],
  },
  "a tensor of another shape": { change: (live) => ({ ...live, t: tf.zeros([2, 3]) }), problems: ["t shape"] },
  "another kind": { change: (live) => ({ ...live, rng: 3, scaler: [1] }), problems: ["rng kind", "scaler kind"] },
  "plain data of another kind": { change: (live) => ({ ...live, history: "long" }), problems: ["history kind"] },
  "an entry more in a record of variables": {
    change: (live) => ({ ...live, nested: { ...live["nested"] as object, u: tf.variable(tf.scalar(0)) } }),
    problems: ["nested/u missing"],
  },
  "another optimizer class": { live: { optimizer: () => tf.train.momentum(0.1, 0.9) }, problems: ["optimizer class"] },
  "another optimizer flag": {
    live: { optimizer: () => tf.train.rmsprop(0.1, 0.9, 0, 1e-7, true) },
    saved: { optimizer: () => tf.train.rmsprop(0.1) },
    problems: ["optimizer/centered config"],
  },
  "another layer class": { live: { layer: "dense" }, problems: ["model/layers/0 class"] },
  "another number of units": {
    live: { units: 4 },
    problems: [
      "model/layers/0/config/units config",
      "model/layers/0/layers/cell/weights/kernel shape",
      "model/layers/2/weights/kernel shape",
    ],
  },
  "another layer name": { live: { name: "tail" }, problems: ["model/layers/2 name"] },
  "another loss": { live: { loss: "meanAbsoluteError" }, problems: ["model/compile/loss config"] },
  "a loader of another length": { live: { data: [1, 2, 3] }, problems: ["cursor/length length"] },
  "other data": { live: { data: [8, 7, 6, 5, 4, 3, 2, 1] }, problems: ["cursor/fingerprint data"] },
  "several faults at once": {
    live: { loss: "meanAbsoluteError", variable: () => tf.variable(tf.zeros([4])), optimizer: () => tf.train.sgd(1) },
    change: (live) => ({ ...without(live, "scaler"), history: 1 }),
    problems: ["model/compile/loss config", "w shape", "optimizer class", "scaler extra", "history kind"],
  },
};

for (const [name, fault] of Object.entries(faults)) {
  test(`all or nothing, nothing silent: ${name}`, async () => {
    const saved = await build(fault.saved);
    const snapshot = captureState(saved);
    const live = (fault.change ?? ((state) => state))(await build(fault.live));
    const error = await refused(live, () => Promise.resolve(restoreInto(live)(snapshot)())) as {
      readonly problems: Problems;
    };
    const found = error.problems.map(({ path, kind }) => `${path} ${kind}`);
    for (const problem of fault.problems) {
      const [path, kind] = problem.split(" ");
      assert.ok(
        found.some((text) => text.startsWith(path as string) && text.endsWith(` ${kind}`)),
        `${problem} is not among\n${found.join("\n")}`,
      );
    }
    release(snapshot)();
    tf.disposeVariables();
  });
}

test("all or nothing: a released snapshot", async () => {
  const live = await build();
  const snapshot = captureState(live);
  release(snapshot)();
  assert.deepEqual(await refused(live, () => Promise.resolve(restoreInto(live)(snapshot)())), { _tag: "Released" });
  tf.disposeVariables();
});

async function savedStore(): Promise<
  { readonly store: Store; readonly live: Record<string, unknown>; readonly folder: string }
> {
  const folder = await mkdtemp(join(tmpdir(), "dogear-failures-"));
  scratch.push(folder);
  const store = directory(folder);
  const live = await build();
  await runOrThrow(saveState(store)(live));
  await runOrThrow(saveState(store)(live));
  return { store, live: await build(), folder: join(folder, "checkpoints", "checkpoint_1") };
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort();
}

/** A manifest with a change in its body, under a digest that fits. */
function rewritten(text: string, change: (body: string) => string, format = "dogear/1"): string {
  const body = change(text.slice(text.indexOf('"manifest":') + 11, -2));
  const digest = crc32(new TextEncoder().encode(body)).toString(16).padStart(8, "0");
  return `{"format":"${format}","crc32":"${digest}","manifest":${body}}\n`;
}

const damages: Readonly<Record<string, (file: string, bytes: Uint8Array, round: number) => Promise<void>>> = {
  "a flipped bit": (file, bytes, round) => {
    const at = Math.floor((round + 0.5) * bytes.length * 0.618) % bytes.length;
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (round % 8));
    return writeFile(file, bytes);
  },
  "a truncated file": (file, bytes, round) => truncate(file, Math.floor(bytes.length * round / 10)),
  "an extended file": (file, bytes, round) => writeFile(file, new Uint8Array([...bytes, ...new Uint8Array(round + 1)])),
  "a missing file": (file) => rm(file),
};

for (const [name, damage] of Object.entries(damages)) {
  test(`all or nothing, nothing silent: ${name} of a checkpoint`, async () => {
    const { store, live, folder } = await savedStore();
    // Without its manifest a folder is no checkpoint: the one before it is then the newest, and loads.
    const files = (await filesIn(folder)).filter((file) =>
      name !== "a missing file" || !file.endsWith("snapshot.json")
    );
    for (const file of files) {
      const whole = await readFile(file);
      for (let round = 0; round < Math.min(8, 2 * torture); round++) {
        await damage(file, Uint8Array.from(whole), round);
        const error = await refused(live, loadState(store)(live)) as { readonly _tag: string; readonly older?: number };
        assert.ok(["Damaged", "NewerFormat"].includes(error._tag), `${file}: ${error._tag}`);
        if (error._tag === "Damaged") assert.equal(error.older, 0);
        await writeFile(file, whole);
      }
    }
    tf.disposeVariables();
  });
}

test("nothing silent: a manifest of a later format, with an unknown kind, with a missing reference", async () => {
  const { store, live, folder } = await savedStore();
  const file = join(folder, "snapshot.json");
  const text = await readFile(file, "utf8");
  const load = async (changed: string): Promise<unknown> => {
    await writeFile(file, changed);
    return await refused(live, loadState(store)(live));
  };
  assert.deepEqual(await load(rewritten(text, (body) => body, "dogear/2")), {
    _tag: "NewerFormat",
    checkpoint: 1,
    found: "dogear/2",
    supported: "dogear/1",
  });
  const unknown = await load(rewritten(text, (body) => body.replace('"kind":"Scaler"', '"kind":"Sealer"'))) as {
    readonly problems: Problems;
  };
  assert.deepEqual(unknown.problems.map(({ path, kind }) => [path, kind]), [["scaler", "kind"]]);
  const dangling = await load(
    rewritten(text, (body) => body.replace(/\["history",\[[^\]]*\]\]/, '["history",{"shared":"nowhere"}]')),
  ) as { readonly problems: Problems };
  assert.deepEqual(dangling.problems.map(({ path, kind }) => [path, kind]), [["history", "sharing"]]);
  tf.disposeVariables();
});
