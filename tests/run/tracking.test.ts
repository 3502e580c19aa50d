/**
 * What a tracker receives from `train`, `fit` and `fitDataset`, in which order, and what becomes of what it throws.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import * as tf from "@tensorflow/tfjs";
import { newLocationState } from "../../lib/store/location.ts";
import {
  type DogearError,
  explain,
  fit,
  fitDataset,
  list,
  Loader,
  loadState,
  memory,
  pipe,
  resume,
  saveState,
  type Store,
  train,
  type TrainOptions,
} from "../../mod.ts";
import type { Tracker, TrackerStart } from "../../lib/trackers/mod.ts";
import * as E from "fp-ts/lib/Either.js";
import { storeFailed } from "../../lib/store/mod.ts";
import { proveResume } from "../../lib/prove/mod.ts";
import { needs } from "../support/portable.ts";

await tf.setBackend("cpu");

const loader = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2), Loader.repeat(3));

interface State {
  readonly sum: number;
  readonly cursor: Loader.Cursor;
}

const fresh = (): State => ({ sum: 0, cursor: Loader.start(loader) });
const step = (state: State, [a = 0]: readonly number[]): State => ({ ...state, sum: state.sum + a });

/** A tracker that records its calls, one of which fails. */
function recording(calls: string[] = [], fails = ""): Tracker & { readonly starts: TrackerStart[] } {
  const called = (name: string, call: string): Promise<void> => {
    calls.push(call);
    if (name === fails) throw new Error(`${name} failed`);
    return Promise.resolve();
  };
  const starts: TrackerStart[] = [];
  return {
    starts,
    log: (values, step) => void called("log", `log ${step} ${JSON.stringify(values)}`),
    start: (at) => {
      starts.push(at);
      return called("start", `start ${at.step}`);
    },
    flush: () => called("flush", "flush"),
    close: () => called("close", "close"),
  };
}

/** A store that records its commits among the calls. */
function observed(calls: string[], store: Store = memory()): Store {
  return {
    ...store,
    begin: async () => {
      const saving = await store.begin();
      if (saving._tag === "Left") return saving;
      const { commit } = saving.right;
      return {
        ...saving,
        right: {
          ...saving.right,
          commit: (manifest, condition) => async () => {
            const committed = await commit(manifest, condition)();
            if (committed._tag === "Right") calls.push(`saved ${committed.right}`);
            return committed;
          },
        },
      };
    },
  };
}

type Options = Partial<TrainOptions<State, readonly number[]>>;

async function trained(options: Options, state: State = fresh()) {
  return await train<State, readonly number[]>({ loader, step, metrics: ({ sum }) => ({ sum }), ...options })(state)();
}

/** The left of a result. */
async function left(result: Promise<{ readonly _tag: string; readonly left?: unknown }>): Promise<DogearError> {
  const { _tag, left } = await result;
  assert.equal(_tag, "Left");
  return left as DogearError;
}

/** A store with the same checkpoints, as a new process opens it. */
function anew(store: Store): Store {
  const state = newLocationState();
  return { ...store, place: () => state };
}

test("trackers: they start when the first save is committed, are flushed before each save, and closed at the end", async () => {
  const calls: string[] = [];
  const to = observed(calls);
  const tracker = recording(calls);
  const done = await trained({ trackers: [tracker], logEvery: 2, save: { to, every: 4 } });
  assert.equal(done._tag, "Right");
  assert.deepEqual(calls, [
    ...["saved 0", "start 0"],
    ...['log 2 {"sum":4}', 'log 4 {"sum":8}', "flush", "saved 1", 'log 6 {"sum":12}', "flush", "saved 2"],
    "close",
  ]);
  const [{ run } = assert.fail()] = (await list(to)).entries;
  assert.deepEqual(tracker.starts, [{ step: 0, run, parent: null }]);
});

test("trackers: a resumed run starts them at its batch, with the same name", async () => {
  const store = memory();
  const save = { to: store, every: 2 };
  const failing = (state: State, batch: readonly number[], { epoch }: { readonly epoch: number }): State =>
    epoch === 1 ? assert.fail("killed") : step(state, batch);
  await trained({ step: failing, save });
  const to = anew(store);
  const tracker = recording();
  assert.equal((await trained({ trackers: [tracker], save: { to } }, await resume(to)(fresh())))._tag, "Right");
  const [{ run } = assert.fail()] = (await list(store)).entries;
  assert.deepEqual(tracker.starts, [{ step: 2, run, parent: null }]);
});

test("trackers: metrics are those of the state after onEpochEnd, and label checkpoints as without trackers", async () => {
  const labels = async (options: Options) => {
    const to = memory();
    await trained({ ...options, onEpochEnd: (state) => ({ ...state, sum: state.sum + 100 }), save: { to, every: 1 } });
    return (await list(to)).entries.map(({ metrics }) => metrics);
  };
  const calls: string[] = [];
  assert.deepEqual(await labels({ trackers: [recording(calls)] }), await labels({}));
  assert.deepEqual(calls.filter((call) => call.startsWith("log")), [
    ...['log 1 {"sum":1}', 'log 2 {"sum":104}', 'log 3 {"sum":105}', 'log 4 {"sum":208}'],
    ...['log 5 {"sum":209}', 'log 6 {"sum":312}'],
  ]);
});

test("trackers: without save the run has no name; without metrics nothing is logged", async () => {
  const calls: string[] = [];
  const tracker = recording(calls);
  // A store that is only resumed from names no run.
  const state = await resume(memory())(fresh());
  assert.equal((await train({ loader, step, trackers: [tracker] })(state)())._tag, "Right");
  assert.deepEqual(calls, ["start 0", "close"]);
  assert.deepEqual(tracker.starts, [{ step: 0, run: null, parent: null }]);
});

test("trackers: a fork has its new name before its first save, and the checkpoint that it forked from", async () => {
  const store = memory();
  await trained({ until: ({ sum }) => sum >= 4, save: { to: store } });
  const [first] = (await list(store)).entries;
  for (const load of ["newest", "older"] as const) {
    const to = anew(store);
    const tracker = recording();
    const state = load === "newest" ? await resume(to)(fresh()) : await loadState(to, { checkpoint: 0 })(fresh());
    const before = (await list(to)).entries.length;
    const done = await trained({ trackers: [tracker], save: { to, fork: load === "newest", every: 2 } }, state);
    assert.equal(done._tag, "Right");
    const { entries } = await list(to);
    const [checkpoint, step] = load === "newest" ? [1, 2] : [0, 0];
    const added = entries.slice(before);
    assert.ok(added.length > 0 && added.every(({ run }) => run === added[0]?.run && run !== first?.run));
    assert.deepEqual(tracker.starts, [{
      step,
      run: added[0]?.run,
      parent: { run: first?.run, checkpoint, step },
    }]);
    if (load === "older") break;
    // Once resumed, it is a run like any other.
    const again = anew(store);
    const later = recording();
    await trained({ trackers: [later], save: { to: again } }, await resume(again)(fresh()));
    assert.deepEqual(later.starts, [{ step: 6, run: added[0]?.run, parent: null }]);
  }
});

test("trackers: a fork whose step went back stays in the run that they were told", async () => {
  const to = memory();
  await saveState(to)({ step: 9, sum: 0, cursor: Loader.start(loader) });
  const tracker = recording();
  const state = { step: 0, ...fresh() };
  const done = await train({
    loader,
    step: (s: typeof state) => ({ ...s, step: s.step + 1 }),
    trackers: [tracker],
    save: { to, fork: true, every: 2 },
  })(state)();
  assert.equal(done._tag, "Right");
  const [old, ...own] = (await list(to)).entries;
  assert.ok(own.length > 1 && own.every(({ run }) => run === tracker.starts[0]?.run));
  assert.equal(tracker.starts[0]?.parent?.run, old?.run);
});

test("trackers: whatever one throws is StepFailed by trackers, and all are closed once", async () => {
  for (const [name, at] of [["start", 0], ["log", 1], ["flush", 2], ["close", 6]] as const) {
    const calls: string[] = [];
    const others: string[] = [];
    const error = await left(trained({
      trackers: [recording(calls, name), recording(others)],
      save: { to: memory(), every: 2 },
    }));
    assert.ok(error._tag === "StepFailed" && error.by === "trackers" && error.at === at, JSON.stringify(error));
    assert.match(explain(error), new RegExp(`^A tracker failed after ${at} batch(es)?: Error: ${name} failed\\. `));
    for (const list of [calls, others]) assert.equal(list.filter((call) => call === "close").length, 1);
  }
});

test("trackers: a rejected flush saves nothing", async () => {
  const to = memory();
  const error = await left(trained({ trackers: [recording([], "flush")], save: { to, every: 2 } }));
  assert.equal(error._tag, "StepFailed");
  assert.deepEqual((await list(to)).entries.map(({ step }) => step), [0]);
});

test("trackers: a log that is a promise is waited for, and its rejection is a failure", async () => {
  let [open, most] = [0, 0];
  const slow = {
    log: async () => {
      most = Math.max(most, ++open);
      await setTimeout(1);
      open--;
    },
    flush: () => Promise.resolve(assert.equal(open, 0)),
    close: () => Promise.resolve(assert.equal(open, 0)),
  };
  assert.equal((await trained({ trackers: [slow], save: { to: memory(), every: 2 } }))._tag, "Right");
  assert.ok(most > 0);
  const rejecting = { log: () => Promise.reject(new Error("offline")), close: async () => {} };
  for (const save of [undefined, { to: memory(), every: 2 }]) {
    const error = await left(trained({ trackers: [{ ...rejecting }], ...(save && { save }) }));
    assert.ok(error._tag === "StepFailed" && error.by === "trackers" && (error.cause as Error).message === "offline");
  }
});

test("trackers: the error of the training comes before that of close", async () => {
  const failing = (): State => assert.fail("mistake");
  const error = await left(trained({ trackers: [recording([], "close")], step: failing }));
  assert.ok(error._tag === "StepFailed" && error.by === undefined);
});

test("trackers: they are closed if metrics throw, and if the data is other data, with which they do not start", async () => {
  const calls: string[] = [];
  const metrics = () => assert.fail("my mistake");
  await assert.rejects(() => trained({ trackers: [recording(calls)], metrics }), /my mistake/);
  assert.deepEqual(calls, ["start 0", "close"]);
  const others: string[] = [];
  const cursor = Loader.start(pipe(Loader.fromArray([1, 2]), Loader.batch(2)));
  const error = await left(trained({ trackers: [recording(others)] }, { sum: 0, cursor }));
  assert.equal(error._tag, "CursorMismatch");
  assert.deepEqual(others, ["close"]);
});

needs("POSIX signals")("trackers: at a signal they are flushed before the save, then closed", async () => {
  const calls: string[] = [];
  const to = observed(calls);
  const error = await left(trained({
    trackers: [recording(calls)],
    step: async (state, batch, { epoch, batch: number }) => {
      if (epoch === 1 && number === 0) process.kill(process.pid, "SIGUSR2");
      // Deno delivers a signal later.
      await setTimeout(10);
      return step(state, batch);
    },
    save: { to },
    stopOn: ["SIGUSR2"],
  }));
  assert.equal(error._tag, "Stopped");
  assert.deepEqual(calls.slice(-3), ["flush", "saved 1", "close"]);
});

test("trackers: of two processes that begin at once, the one that is refused starts none", async () => {
  const store = memory();
  const [first, second] = [anew(store), anew(store)];
  const states = [await resume(first)(fresh()), await resume(second)(fresh())] as const;
  const calls: string[] = [];
  assert.equal((await trained({ save: { to: first } }, states[0]))._tag, "Right");
  const error = await left(trained({ trackers: [recording(calls)], save: { to: second } }, states[1]));
  assert.equal(error._tag, "Overtaken");
  assert.deepEqual(calls, ["close"]);
});

test("trackers: they start without waiting for a mirror", async () => {
  const calls: string[] = [];
  const offline = storeFailed("upload", "s3://bucket", "ENETUNREACH", "no network");
  const to: Store = { ...memory(), drain: () => Promise.resolve(E.left(offline)) };
  assert.deepEqual(await left(trained({ trackers: [recording(calls)], save: { to } })), offline);
  assert.deepEqual(calls.filter((call) => call.startsWith("log")).length, 6);
});

test("trackers: a proof runs the steps of a training, and logs nothing", async () => {
  const calls: string[] = [];
  const options = { metrics: () => assert.fail("it was asked"), trackers: [recording(calls)], logEvery: 2 };
  await proveResume({ loader, step, fresh, steps: 4, ...options });
  assert.deepEqual(calls, []);
});

test("trackers: one is for one training", async () => {
  const tracker = recording();
  assert.equal((await trained({ trackers: [tracker] }))._tag, "Right");
  await assert.rejects(() => trained({ trackers: [tracker] }), /TypeError: Expected new trackers for each training/);
});

test("trackers: wrong options are a TypeError at the call", () => {
  const wrong = (options: object, message: RegExp) =>
    assert.throws(() => train({ loader, step, ...options } as never), (error) => {
      assert.ok(error instanceof TypeError);
      assert.match(error.message, message);
      return true;
    });
  const tracker = recording();
  wrong({ trackers: tracker }, /^Expected trackers to be an array, such as \[jsonLines\(path\)\], found an object$/);
  wrong(
    { trackers: [{ close: async () => {} }] },
    /^Expected trackers\[0\] to be a tracker, such as jsonLines\(path\)/,
  );
  wrong({ trackers: [tracker, { log: () => {} }] }, /^Expected trackers\[1\]/);
  wrong({ trackers: [{ ...tracker, flush: true }] }, /^Expected trackers\[0\]/);
  wrong({ trackers: [tracker, tracker] }, /^Expected trackers to be different trackers/);
  wrong({ trackers: [{ log: () => {}, close: async () => {}, flsh: async () => {} }] }, /did you mean `flush`/);
  wrong({ tracker: [tracker] }, /did you mean `trackers`/);
  wrong({ logevery: 2 }, /did you mean `logEvery`/);
  wrong({ logEvery: 0 }, /^Expected logEvery to be an integer from 1/);
  const own = { to: memory() };
  assert.throws(() => fit({ ...own, trackers: [{}] } as never), /^TypeError: Expected trackers\[0\] to be a tracker/);
  assert.throws(() => fitDataset({ ...own, logEvery: 1.5 }), /^TypeError: Expected logEvery/);
});

function model(): tf.LayersModel {
  const network = tf.sequential({
    layers: [tf.layers.dense({ units: 1, inputShape: [2], kernelInitializer: "zeros" })],
  });
  network.compile({ optimizer: tf.train.sgd(0), loss: "meanSquaredError" });
  return network;
}

const [x, y] = [tf.ones([8, 2]), tf.fill([8, 1], 2)];
const dataset = (): tf.data.Dataset<tf.TensorContainer> =>
  tf.data.zip({ xs: tf.data.array([[1, 1], [1, 1]]), ys: tf.data.array([[2], [2]]) }).batch(1) as never;

for (const by of ["fit", "fitDataset"] as const) {
  test(`trackers: ${by} logs batches and epochs, at the number of batches`, async () => {
    const run = async (to: Store, tracker: Tracker, epochs: number, name?: string) => {
      const options = { to, trackers: [tracker], logEvery: 2, ...(name !== undefined && { name }) };
      return by === "fit"
        ? await fit(options)(model(), x, y, { epochs, batchSize: 3, validationSplit: 0.25, verbose: 0 })()
        : await fitDataset(options)(model(), dataset(), { epochs, validationData: dataset() as never, verbose: 0 })();
    };
    const calls: string[] = [];
    const store = memory();
    const first = recording(calls);
    assert.equal((await run(observed(calls, store), first, 2))._tag, "Right");
    const epoch = (step: number) => `log ${step} {"epoch/val_loss":4,"epoch/loss":4}`;
    const sorted = calls.map((call) =>
      call.replace('"epoch/loss":4,"epoch/val_loss":4', '"epoch/val_loss":4,"epoch/loss":4')
    );
    assert.deepEqual(sorted, [
      ...["saved 0", "start 0", 'log 2 {"batch/loss":4}', epoch(2), "flush", "saved 1"],
      ...['log 4 {"batch/loss":4}', epoch(4), "flush", "saved 2", "close"],
    ]);
    const [{ run: name } = assert.fail()] = (await list(store)).entries;
    assert.deepEqual(first.starts, [{ step: 0, run: name, parent: null }]);

    const whole: string[] = [];
    assert.equal((await run(anew(store), recording(whole), 2))._tag, "Right");
    assert.deepEqual(whole, ["close"]);
    const more = recording();
    assert.equal((await run(anew(store), more, 3))._tag, "Right");
    assert.deepEqual(more.starts, [{ step: 4, run: name, parent: null }]);
    const other = recording();
    assert.equal((await run(store, other, 1, "other"))._tag, "Right");
    const named = (await list(store)).entries.at(-1)?.run;
    assert.notEqual(named, name);
    assert.deepEqual(other.starts, [{ step: 0, run: named, parent: null }]);
  });
}

test("trackers: a forked fit has its new name before its first save", async () => {
  const store = memory();
  const args = { epochs: 1, batchSize: 4, verbose: 0 as const };
  await fit({ to: store })(model(), x, y, args);
  const first = (await list(store)).entries.at(-1);
  const tracker = recording();
  await fit({ to: anew(store), fork: true, trackers: [tracker] })(model(), x, y, { ...args, epochs: 2 });
  const run = (await list(store)).entries.at(-1)?.run;
  const parent = { run: first?.run, checkpoint: first?.checkpoint, step: 2 };
  assert.deepEqual(tracker.starts, [{ step: 2, run, parent }]);
});

test("no trace: with trackers, the checkpoints of a fit are those without", async () => {
  const ids = async (trackers: readonly Tracker[]) => {
    const to = memory();
    const before = tf.memory().numTensors;
    const network = model();
    const history = await fit({ to, every: 1, trackers })(network, x, y, { epochs: 2, batchSize: 3, verbose: 0 });
    const tensors = tf.memory().numTensors - before;
    return [
      tensors,
      history.history,
      (await list(to)).entries.map(({ step, metrics, bytes }) => ({ step, metrics, bytes })),
    ];
  };
  assert.deepEqual(await ids([recording()]), await ids([]));
});
