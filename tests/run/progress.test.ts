/**
 * The progress of a training: a bar on a terminal, plain lines elsewhere.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { fit, fitDataset, Loader, memory, pipe, resume, runOrThrow, train } from "../../mod.ts";
import { printable } from "../../lib/errors/mod.ts";
import { proveResume } from "../../lib/prove/mod.ts";
import { progressDisplay, type ProgressFacts, progressLine } from "../../lib/run/progress.ts";
import { widthOf } from "../../lib/cli/text_width.ts";
import * as TE from "fp-ts/lib/TaskEither.js";
import { needs } from "../support/portable.ts";
import { torture } from "../support/torture.ts";

/** A text with a name for the escape character. */
const visible = (text: string): string => text.replaceAll("\u001b", "ESC");

// --- text

const facts: ProgressFacts = {
  epoch: 3,
  epochs: 8,
  batches: 141,
  total: 376,
  rate: 52.13,
  save: { checkpoint: 14, ago: 2.2 },
  took: null,
  metrics: { loss: 0.43112, accuracy: 0.9 },
};

test("progress: what fits at 120, 80, 60 and 40 columns", () => {
  const lines = [120, 80, 60, 40, 24, 8, 6].map((width) => progressLine(facts, width));
  assert.deepEqual(lines, [
    "epoch 3/8  [########--------------]  141/376  52 batches/s  5 s left  saved 14 (2 s ago)  loss 0.4311  accuracy 0.9",
    "epoch 3/8  [####------]  141/376  52 batches/s  5 s left  saved 14  loss 0.4311",
    "epoch 3/8  141/376  5 s left  saved 14  loss 0.4311",
    "141/376  5 s left  loss 0.4311",
    "141/376  5 s left",
    "141/376",
    "",
  ]);
});

test("progress: a plain line has every part but the bar", () => {
  assert.equal(
    progressLine(facts, Infinity),
    "epoch 3/8  141/376  52 batches/s  5 s left  saved 14 (2 s ago)  loss 0.4311  accuracy 0.9",
  );
});

test("progress: parts that are unknown are left out", () => {
  const unknown = { ...facts, epochs: null, total: null, rate: null, save: null, metrics: {} };
  assert.equal(progressLine(unknown, 80), "epoch 3  batch 141");
  assert.equal(
    progressLine({ ...facts, save: "saving", metrics: {} }, Infinity),
    "epoch 3/8  141/376  52 batches/s  5 s left  saving",
  );
  const over = { ...facts, batches: 376, epoch: 8, took: 7.4, save: null, metrics: {} };
  assert.equal(progressLine(over, Infinity), "epoch 8/8  376/376  52 batches/s  in 7 s");
  assert.equal(
    progressLine({ ...facts, batches: 0, total: 0, save: null, metrics: {} }, 60),
    "epoch 3/8  [##########]  0/0  52 batches/s  0 s left",
  );
});

test("progress: rates of fast and slow trainings", () => {
  const rates = [0.004, 0.4, 0.999, 1, 9.94, 9.96, 1234.5].map((rate) =>
    progressLine({ ...facts, rate, total: null, save: null, metrics: {} }, Infinity).split("  ")[2]
  );
  assert.deepEqual(rates, [
    "250 s/batch",
    "2.5 s/batch",
    "1.0 s/batch",
    "1.0 batches/s",
    "9.9 batches/s",
    "10 batches/s",
    "1235 batches/s",
  ]);
});

test("progress: never wider than the terminal, no number cut, whatever the names", () => {
  const name = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom(
      "精度精度精度精度精度精度精度",
      "\u202elosse\u0301",
      "\x1b[31mred\x1b[2J",
      "👍🇩🇪".repeat(9),
      "a".repeat(1e4),
    ),
  );
  const count = fc.oneof(fc.nat(), fc.constantFrom(0, 1, Number.MAX_SAFE_INTEGER));
  const given = fc.record({
    epoch: count,
    epochs: fc.option(count),
    batches: count,
    total: fc.option(count),
    rate: fc.option(fc.double({ min: 0, max: 1e9, noNaN: true })),
    save: fc.oneof(
      fc.constantFrom("saving" as const, null),
      fc.record({ checkpoint: count, ago: fc.double({ min: 0, noNaN: true }) }),
    ),
    took: fc.option(fc.double({ min: 0, noNaN: true })),
    metrics: fc.dictionary(name, fc.double(), { maxKeys: 12 }),
  });
  fc.assert(
    fc.property(given, fc.integer({ min: 0, max: 200 }), (facts, width) => {
      const line = progressLine(facts, width);
      assert.equal(printable(line), line);
      assert.ok(widthOf(line) <= width, `${widthOf(line)} columns of ${width}: ${line}`);
      // Names that look like the end of a part cannot be told apart here.
      if (Object.keys(facts.metrics).some((name) => /[[(]|^ | {2}| $/.test(name))) return;
      const parts = (text: string): readonly string[] => text.split("  ").map((part) => part.replace(/ \(.*/, ""));
      const whole = parts(progressLine(facts, Infinity));
      assert.ok(parts(line).every((part) => part === "" || /^\[[#-]+\]$/.test(part) || whole.includes(part)), line);
    }),
    { numRuns: 300 * torture },
  );
});

// --- when it is drawn

interface Recorded {
  readonly writes: string[];
  readonly stream: { write: (text: string) => void; isTTY: boolean; columns: number };
}

function recorded(isTTY: boolean, columns = 80): Recorded {
  const writes: string[] = [];
  return { writes, stream: { write: (text) => void writes.push(text), isTTY, columns } };
}

const at = (epoch: number, total: number | null = 100) => () => ({ epoch, epochs: 2, total, metrics: {} });

test("progress: a bar is drawn at most ten times a second, each time with one write that begins and erases its line", () => {
  let now = 0;
  const { writes, stream } = recorded(true);
  const display = progressDisplay({ progress: { to: stream, everySeconds: 0.001 } }, () => now);
  display.begin(0, at(1));
  let asked = 0;
  for (let batch = 1; batch <= 100; batch++) {
    now += 10;
    display.after(batch, () => (asked++, at(1)()));
  }
  display.end(true);
  // One at the start, ten in a second, one at the end.
  assert.equal(writes.length, 12);
  assert.equal(asked, 11);
  assert.ok(writes.every((text) => /^\r[^\r\n]*ESC\[K\n?$/.test(visible(text))));
  assert.deepEqual(writes.map((text) => text.endsWith("\n")), [...writes.slice(1).map(() => false), true]);
  assert.match(writes.at(-1)!, /100\/100 {2}100 batches\/s {2}in 1 s/);
});

test("progress: plain lines come at the start, every ten seconds, and at the end", () => {
  let now = 0;
  const { writes, stream } = recorded(false);
  const display = progressDisplay({ progress: { to: stream } }, () => now);
  display.begin(0, at(1));
  for (let batch = 1; batch <= 25; batch++) {
    now += 1000;
    display.after(batch, at(1, 25));
  }
  display.end(true);
  assert.deepEqual(writes, [
    "epoch 1/2    0/100\n",
    "epoch 1/2  10/25  1.0 batches/s  15 s left\n",
    "epoch 1/2  20/25  1.0 batches/s  5 s left\n",
    "epoch 1/2  25/25  1.0 batches/s  in 25 s\n",
  ]);
});

test("progress: after a resume, rate and time left are those of this process, without its first batch", () => {
  let now = 5e6;
  const { writes, stream } = recorded(true, 120);
  const display = progressDisplay({ progress: { to: stream } }, () => now);
  display.begin(900, at(2, 1000));
  // The first batch compiles what it runs.
  now += 60_000;
  display.after(901, at(2, 1000));
  now += 2000;
  display.after(905, at(2, 1000));
  assert.match(writes.at(-1)!, /905\/1000 {2}2\.0 batches\/s {2}48 s left/);
  assert.doesNotMatch(writes.at(-2)!, /batches\/s|left/);
});

test("progress: a save in flight, its age, and a bar that is erased before onSaved", async () => {
  let now = 0;
  const { writes, stream } = recorded(true);
  const display = progressDisplay({ progress: { to: stream } }, () => now);
  const next = (batch: number): void => {
    now += 5000;
    display.after(batch, at(1));
  };
  display.begin(0, at(1));
  await display.beforeSave(TE.right(undefined))();
  next(1);
  assert.match(writes.at(-1)!, /saving/);
  const saved = { checkpoint: 7 } as never;
  display.receiving(undefined)(saved);
  next(2);
  assert.match(writes.at(-1)!, /saved 7 \(5 s ago\)/);
  let before = "";
  display.receiving(() => void (before = writes.at(-1)!))(saved);
  assert.equal(before, "\r\x1b[K");
  // It is erased once.
  const { length } = writes;
  display.clear();
  assert.equal(writes.length, length);
});

test("progress: a stream that fails, changes its width or does not know it ends no training", () => {
  let now = 0;
  const failing = {
    isTTY: true,
    columns: 0,
    write: (): never => {
      throw new Error("closed");
    },
  };
  const display = progressDisplay({ progress: { to: failing } }, () => now);
  display.begin(0, at(1));
  display.end(false);
  const { writes, stream } = recorded(true, 0);
  const other = progressDisplay({ progress: { to: stream } }, () => now);
  other.begin(0, at(1));
  assert.equal(writes[0]!.length > 30, true);
  stream.columns = 20;
  now += 1000;
  other.after(1, at(1));
  assert.ok(writes[1]!.length <= 20 + 3, writes[1]);
});

// --- trainings

const loader = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.batch(2), Loader.repeat(2));
const step = (state: { readonly sum: number; readonly cursor: Loader.Cursor }, [a = 0]: readonly number[]) => ({
  ...state,
  sum: state.sum + a,
});

test("progress: train shows it, is the same with it, and shows nothing unless asked", async () => {
  const { writes, stream } = recorded(false);
  const run = async (progress: boolean | object) => {
    const store = memory();
    const state = await resume(store)({ sum: 0, cursor: Loader.start(loader) });
    return await train({ loader, step, metrics: ({ sum }) => ({ sum }), save: { to: store, every: 2 }, progress })(
      state,
    );
  };
  assert.deepEqual(await run({ to: stream, everySeconds: 1e9 }), await run(false));
  assert.equal(writes.length, 2);
  assert.match(writes[0]!, /^epoch 1\/2 {2}0\/6/);
  assert.match(writes[1]!, /^epoch 2\/2 {2}6\/6 .* in \d+ s {2}saved 3 \(\d+ s ago\) {2}sum 18\n$/);
});

needs("POSIX signals")(
  "progress: a bar ends with a line end after an error, a signal and an end of one's own; a training that never began shows none",
  async () => {
    const begin = { sum: 0, cursor: Loader.start(loader) };
    const endedWith: string[] = [];
    const endings: readonly (readonly [object, RegExp])[] = [
      [{
        step: () => {
          throw new Error("mine");
        },
      }, /0\/6ESC\[K\n$/],
      [{
        step: (state: object, _: unknown, at: { batch: number }) => {
          if (at.batch === 1) process.emit("SIGUSR2");
          return state;
        },
        stopOn: ["SIGUSR2"],
      }, /2\/6.*ESC\[K\n$/],
      [{ step, until: ({ sum }: { sum: number }) => sum > 3 }, /2\/6 .*in \d+ s.*ESC\[K\n$/],
      [{ step, loader: Loader.fromArray([1]) }, /^$/],
    ];
    for (const [more, expected] of endings) {
      const { writes, stream } = recorded(true);
      const ended = await train({ loader, step, progress: { to: stream }, ...more } as never)(begin as never)();
      assert.match(visible(writes.join("")), expected);
      assert.equal(writes.join("").split("\n").length, expected.source === "^$" ? 1 : 2);
      endedWith.push(ended._tag === "Left" ? ended.left._tag : ended._tag);
    }
    assert.deepEqual(endedWith, ["StepFailed", "Stopped", "Right", "CursorMismatch"]);
  },
);

test("progress: the bar is erased before onEpochEnd prints", async () => {
  const { writes, stream } = recorded(true);
  const before: (string | undefined)[] = [];
  const onEpochEnd = (
    state: { sum: number; cursor: Loader.Cursor },
  ) => (before.push(writes.at(-1)), stream.write("mine\n"), state);
  await train({ loader, step, onEpochEnd, progress: { to: stream } })({ sum: 0, cursor: Loader.start(loader) });
  assert.equal(before[0], "\r\x1b[K");
});

test("progress: a stream without a length shows no total in its first epoch, and no time left", async () => {
  const streamed = pipe(Loader.fromIterable(() => [1, 2, 3]), Loader.batch(1), Loader.repeat(2));
  const { writes, stream } = recorded(false);
  const begin = { sum: 0, cursor: Loader.start(streamed) };
  await train({ loader: streamed, step, progress: { to: stream, everySeconds: 1e-9 } })(begin);
  assert.deepEqual(writes.map((line) => /^(.*?)(?: {2}\d+ batches.*)?\n$/.exec(line)![1]), [
    "epoch 1  batch 0",
    "epoch 1  batch 1",
    "epoch 1  batch 2",
    "epoch 1  batch 3",
    "epoch 2/2  4/6",
    "epoch 2/2  5/6",
    "epoch 2/2  6/6",
    "epoch 2/2  6/6",
  ]);
});

test("progress: fit and fitDataset show epochs, and the logs of the last batch and epoch", async () => {
  const build = (): tf.LayersModel => {
    const model = tf.sequential({
      layers: [tf.layers.dense({ units: 1, inputShape: [1], kernelInitializer: "ones" })],
    });
    model.compile({ optimizer: "sgd", loss: "meanSquaredError" });
    return model;
  };
  const { writes, stream } = recorded(false);
  const progress = { to: stream, everySeconds: 1e-9 };
  const args = { epochs: 2, batchSize: 2, validationSplit: 0.5 };
  const store = memory();
  await fit({ to: store, progress })(build(), tf.ones([8, 1]), tf.zeros([8, 1]), args);
  const parts = (line: string): string =>
    line.trim().replace(
      / {2}(?:[\d.]+ batches\/s|saved|saving|\d+ s left|in \d).*?(?= {2}[a-z_]+ [\d.e-]+(?: {2}|$)|$)/,
      "",
    );
  assert.match(parts(writes[0]!), /^epoch 1\/2 {2}0\/4$/);
  assert.match(writes[1]!, /^epoch 1\/2 {2}1\/4 .*loss 1\n$/);
  assert.match(writes[3]!, /^epoch 2\/2 {2}3\/4 .*loss [\d.]+ {2}val_loss [\d.]+\n$/);
  assert.match(writes.at(-1)!, /^epoch 2\/2 {2}4\/4 .*in \d+ s {2}saved 2 .*loss [\d.]+ {2}val_loss [\d.]+\n$/);
  const { length } = writes;
  await fit({ to: memory(), progress: false })(build(), tf.ones([8, 1]), tf.zeros([8, 1]), args);
  assert.equal(writes.length, length);
  for (const epochs of [2, 3]) {
    await fit({ to: store, progress })(build(), tf.ones([8, 1]), tf.zeros([8, 1]), { ...args, epochs });
  }
  assert.deepEqual(writes.slice(length, length + 2), [
    "complete since checkpoint 2\n",
    "resumed from checkpoint 2\n",
  ]);
  assert.match(writes[length + 2]!, /^epoch 2\/3 {2}4\/6/);
  const stopped = memory();
  for (const epochs of [4, 6]) {
    const stopping = tf.callbacks.earlyStopping({ monitor: "loss", patience: 0, minDelta: 100 });
    await fit({ to: stopped, progress })(build(), tf.ones([8, 1]), tf.zeros([8, 1]), { epochs, callbacks: stopping });
  }
  const why = "a callback stopped it in epoch 2 of 6, which more epochs do not resume";
  assert.equal(writes.at(-1), `complete since checkpoint 2: ${why}\n`);
  const data = tf.data.array([1, 2, 3]).map((n) => ({ xs: [n], ys: [n] })).batch(1);
  await fitDataset({ to: memory(), progress })(build(), data, { epochs: 2 });
  assert.match(writes.at(-1)!, /^epoch 2\/2 {2}6\/6 .*loss 0\n$/);
});

test("progress: a proof takes the options of a training that has it, and shows nothing", async () => {
  const { writes, stream } = recorded(true);
  const fresh = () => ({ sum: 0, cursor: Loader.start(loader) });
  const proof = await runOrThrow(proveResume({ fresh, loader, step, progress: { to: stream } } as never));
  assert.ok(proof);
  assert.deepEqual(writes, []);
});

test("progress: wrong options are TypeErrors that name them", () => {
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [1, /^Expected progress to be true, false or a record of options, such as \{ to: process\.stdout \}, found 1$/],
    [process.stdout, /such as \{ to: process\.stdout \}, found an instance of \w+$/],
    [{ write: () => {} }, /such as \{ to: process\.stdout \}, found an object$/],
    [{ too: 1 }, /^Expected an option of progress: to, everySeconds, found `too`: did you mean `to`\?$/],
    [
      { to: process.stderr.write },
      /^Expected progress\.to to be a stream with write, such as process\.stderr, found a function$/,
    ],
    [{ everySeconds: 0 }, /^Expected progress\.everySeconds to be a number of seconds above 0, found 0$/],
  ];
  for (const [progress, message] of wrong) {
    assert.throws(() => train({ loader, step, progress } as never), { name: "TypeError", message });
    assert.throws(() => fit({ to: memory(), progress } as never), { name: "TypeError", message });
    assert.throws(() => fitDataset({ to: memory(), progress } as never), { name: "TypeError", message });
  }
  assert.throws(() => train({ loader, step, progess: true } as never), /did you mean `progress`\?/);
});

test("progress: a batch that is not drawn costs next to nothing", () => {
  const { stream } = recorded(true);
  const display = progressDisplay({ progress: { to: stream } });
  const position = at(1);
  display.begin(0, position);
  const batches = 1e6;
  const began = performance.now();
  for (let batch = 1; batch <= batches; batch++) display.after(batch, position);
  const each = 1e6 * (performance.now() - began) / batches;
  assert.ok(each < 5000, `${each.toFixed(0)} ns a batch`);
});
